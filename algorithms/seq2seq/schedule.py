"""What an evaluation decides: the learning rate, the best model, the end."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Literal

import numpy as np

from optml.algorithms.seq2seq.hyperparameters import Hyperparameters

log = logging.getLogger(__name__)


class Schedule:
    """The rule of early stopping (`algorithms.base.Stopping`) and of the learning rate, as Sockeye 1.10 has
    them: an evaluation is good that is better than all before it.

    epoch: the pass over the data that is under way, which the learner keeps up to date.
    """

    def __init__(self, settings: Hyperparameters, *, quiet: bool = False) -> None:
        self.settings = settings
        self.epoch = 0
        self.best = math.inf  # of what is to be small
        self.bad = 0  # evaluations since the best
        self.factor = 1.0
        self._waited = 0  # of them since the rate was reduced
        self._sign = 1.0 if settings.optimized_metric == "perplexity" else -1.0
        self._quiet = quiet

    def rate(self, updates: int) -> float:
        """The learning rate of the update behind so many."""
        settings = self.settings
        half = settings.fixed_rate_lr_half_life * settings.checkpoint_frequency_num_batches
        if settings.lr_scheduler_type == "fixed_rate_inv_t":
            return settings.learning_rate / (1 + updates / half)
        if settings.lr_scheduler_type == "fixed_rate_inv_sqrt_t":
            return settings.learning_rate / math.sqrt(1 + 3 * updates / half)
        return settings.learning_rate * self.factor

    def update(self, value: float) -> Literal["best", "stale", "stop"]:
        value *= self._sign
        if value < self.best:
            self.best, self.bad, self._waited = value, 0, 0
            return "best"
        self.bad += 1
        self._reduce()
        settings = self.settings
        early = settings.max_num_epochs is None and self.epoch >= settings.min_num_epochs
        return "stop" if early and self.bad >= settings.checkpoint_threshold else "stale"

    def _reduce(self) -> None:
        settings = self.settings
        if settings.lr_scheduler_type != "plateau_reduce":
            return
        self._waited += 1
        if self._waited >= settings.plateau_reduce_lr_threshold:
            self._waited = 0
            self.factor *= settings.plateau_reduce_lr_factor
            if not self._quiet:
                log.info("Learning rate lowered to %g", self.rate(0))

    def state_dict(self) -> dict[str, np.ndarray]:
        numbers = np.array([self.epoch, self.bad, self._waited], np.int64)
        return {"numbers": numbers, "values": np.array([self.best, self.factor])}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.epoch, self.bad, self._waited = state["numbers"].tolist()
        self.best, self.factor = state["values"].tolist()

"""The epoch of the best validation accuracy: its weights are kept, and training may stop early."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal

import numpy as np

from optml.algorithms.image_classification.hyperparameters import Hyperparameters

log = logging.getLogger(__name__)


class BestEpoch:
    """Best is an accuracy above all before it. With early_stopping, after early_stopping_min_epochs, training
    stops once early_stopping_patience epochs in a row had (accuracy - best) / best <=
    early_stopping_tolerance.

    quiet: on all hosts but the first.
    """

    def __init__(self, hyperparameters: Hyperparameters, *, quiet: bool = False) -> None:
        self.hyperparameters = hyperparameters
        self.quiet = quiet
        self.epoch = 0
        self.best = -1.0
        self.best_epoch = 0
        self.stale = 0

    def update(self, value: float) -> Literal["best", "stale", "stop", "last"]:
        """Take an epoch's accuracy; "last": it is the best, and the end."""
        hyperparameters = self.hyperparameters
        self.epoch += 1
        gained = self.best < 0 or value > self.best * (1 + hyperparameters.early_stopping_tolerance)
        self.stale = 0 if gained else self.stale + 1
        best = value > self.best
        if best:
            self.best, self.best_epoch = value, self.epoch
            if hyperparameters.checkpoint_frequency is None and not self.quiet:
                log.info("Storing the best model with validation accuracy: %f", value)
                log.info('Saved checkpoint to "model.safetensors"')
        late = self.epoch >= hyperparameters.early_stopping_min_epochs
        if hyperparameters.early_stopping and late and self.stale >= hyperparameters.early_stopping_patience:
            return "last" if best else "stop"
        return "best" if best else "stale"

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"numbers": np.array([self.epoch, self.best_epoch, self.stale]), "best": np.array(self.best)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.epoch, self.best_epoch, self.stale = state["numbers"].tolist()
        self.best = float(state["best"])

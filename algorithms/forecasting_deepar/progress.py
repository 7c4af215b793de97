"""Where training stands: losses, and the lines of the log."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, fields

import numpy as np

from optml.algorithms.forecasting_deepar import settings
from optml.algorithms.metrics import Metric

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """The state, all of it numbers; losses are means over points."""

    epoch: int = 0
    loss: float = math.nan  # of the last whole epoch
    batches: int = 0  # of this epoch
    points: float = 0.0  # that they count
    total: float = 0.0  # of the losses of these
    recent: float = 0.0  # points since the last line
    recent_total: float = 0.0

    def __post_init__(self) -> None:
        self.windows = 0  # since the last line that tells of the speed
        self._began = time.monotonic()

    def batch(self, total: float, points: float) -> list[Metric]:
        """One batch more: the loss of its points, which count so much. Every fifth one tells the loss since
        the line before."""
        number = self.batches
        self.batches += 1
        self.points += points
        self.total += total
        self.recent += points
        self.recent_total += total
        if number % settings.LOG_EVERY:
            return []
        recent = self.recent_total / self.recent
        log.info("Epoch[%d] Batch[%d] avg_epoch_loss=%f", self.epoch, number, self.total / self.points)
        now = time.monotonic()
        if number:  # from the first line on, as AWS's image measures
            speed = self.windows / max(now - self._began, 1e-9)
            log.info(
                "Epoch[%d] Batch [%d]\tSpeed: %.2f samples/sec\tloss=%f", self.epoch, number, speed, recent
            )
            self.recent = self.recent_total = 0.0
        self.windows, self._began = 0, now
        return [Metric("train:loss:batch", recent, batch=number)]

    def end_epoch(self) -> Metric:
        """The epoch's loss; the next one begins."""
        self.loss = self.total / self.points
        metric = Metric("train:loss", self.loss, epoch=self.epoch)
        self.epoch += 1
        self.batches = 0
        self.points = self.total = self.recent = self.recent_total = 0.0
        return metric

    def array(self) -> np.ndarray:
        """For a checkpoint."""
        return np.array([float(getattr(self, field.name)) for field in fields(self)])

    @classmethod
    def of_array(cls, values: np.ndarray) -> Progress:
        kinds = [float if field.type == "float" else int for field in fields(cls)]
        made = cls()
        for field, kind, value in zip(fields(cls), kinds, values.tolist(), strict=True):
            setattr(made, field.name, kind(value))
        return made

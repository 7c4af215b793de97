"""How well scores tell observed pairs from made-up ones."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

log = logging.getLogger(__name__)

SHARES = (0.01, 0.05, 0.5)  # of the quantiles that are told
ALARMS = 0.01  # share of usual pairs that score below the threshold


def area_under_curve(positives: np.ndarray, negatives: np.ndarray) -> float:
    """The chance that a positive scores higher than a negative, an equal score counting half: the area under
    the receiver operating characteristic. NaN where there are none of either."""
    if not len(positives) or not len(negatives):
        return float("nan")
    below = np.sort(negatives)
    lower = np.searchsorted(below, positives, "left").sum(dtype=np.float64)
    upper = np.searchsorted(below, positives, "right").sum(dtype=np.float64)
    return float((lower + upper) / 2 / len(positives) / len(negatives))


@dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles (3,) of the scores of observed pairs and of random ones, the threshold below which 1 % of the
    observed score, and the share of the random ones that do."""

    observed: np.ndarray
    random: np.ndarray
    threshold: float
    caught: float

    @classmethod
    def of(cls, positives: np.ndarray, negatives: np.ndarray) -> Spread:
        threshold = float(np.quantile(positives, ALARMS))
        caught = float((negatives < threshold).mean())
        return cls(np.quantile(positives, SHARES), np.quantile(negatives, SHARES), threshold, caught)

    @classmethod
    def of_array(cls, numbers: np.ndarray) -> Spread:
        """From what `array` gave."""
        return cls(numbers[:3], numbers[3:6], float(numbers[6]), float(numbers[7]))

    def array(self) -> np.ndarray:
        """(8,) float64."""
        return np.array([*self.observed, *self.random, self.threshold, self.caught])

    def facts(self) -> dict[str, float]:
        """What an artifact tells."""
        return {"threshold": self.threshold, "false_alarms": ALARMS, "random_below_threshold": self.caught}

    def announce(self) -> None:
        for name, quantiles in (("observed pairs", self.observed), ("random addresses", self.random)):
            texts = ", ".join(
                f"{q:.4g} ({100 * share:g} %)" for q, share in zip(quantiles, SHARES, strict=True)
            )
            log.info("Scores of the validation channel's %s, quantiles: %s", name, texts)
        log.info(
            "A threshold of %.4g takes %g %% of the validation channel's pairs for unusual, and %.4g %% of "
            "those with random addresses",
            self.threshold, 100 * ALARMS, 100 * self.caught,
        )  # fmt: skip

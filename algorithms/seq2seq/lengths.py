"""How long targets may become, and how long sources may be, from the lengths of the training data."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from optml.algorithms.seq2seq.hyperparameters import Hyperparameters

SPREAD = 2  # standard deviations above the mean that a target may have


@dataclass(frozen=True, slots=True)
class Lengths:
    """mean, std: of target tokens per source token.   source: tokens that are translated at a time.
    target: the most tokens that the decoder can say; None: any number."""

    mean: float
    std: float
    source: int
    target: int | None

    @classmethod
    def of(cls, ratios: np.ndarray, settings: Hyperparameters) -> Lengths:
        """ratios: (n,) of the training pairs."""
        return cls.told(float(ratios.mean()), float(ratios.std()), settings)

    @classmethod
    def told(cls, mean: float, std: float, settings: Hyperparameters) -> Lengths:
        """From what a model says (Sockeye 1.10: inference.py)."""
        factor, source = mean + SPREAD * std, settings.max_seq_len_source
        if math.ceil(factor * source) > settings.max_seq_len_target:
            source = max(1, math.floor(settings.max_seq_len_target / factor))
        return cls(mean, std, source, settings.max_seq_len_target if settings.decoder_type == "cnn" else None)

    def limits(self, sources: np.ndarray) -> np.ndarray:
        """(n,) int64: tokens of a target, `</s>` counted, at most, for sources of these lengths (n,)."""
        most = np.ceil((self.mean + SPREAD * self.std) * sources).astype(np.int64)
        limits: np.ndarray = np.maximum(1, most if self.target is None else np.minimum(most, self.target))
        return limits

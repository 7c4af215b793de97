"""What a model of pairs must beat: how often an entity was seen in a network."""

from __future__ import annotations

import numpy as np


class Counts:
    """How often an entity was seen in a /8, /16 and /24, as log odds against a uniform address. What a
    shorter prefix says counts as one more observation."""

    def __init__(self, entities: np.ndarray, addresses: np.ndarray) -> None:
        self._known = [
            np.unique(self._keys(entities, addresses, length), return_counts=True)
            for length in (0, 8, 16, 24)
        ]

    def score(self, entities: np.ndarray, addresses: np.ndarray) -> np.ndarray:
        total, *levels = (
            self._count(known, self._keys(entities, addresses, length))
            for known, length in zip(self._known, (0, 8, 16, 24), strict=True)
        )
        chance = np.ones(len(entities))
        for counts in levels:
            chance = (counts + chance / 256) / (total + 1)
        odds: np.ndarray = np.log(chance) + 24 * np.log(2)
        return odds

    @staticmethod
    def _keys(entities: np.ndarray, addresses: np.ndarray, length: int) -> np.ndarray:
        return (entities.astype(np.uint64) << np.uint64(24)) | (
            addresses.astype(np.uint64) >> np.uint64(32 - length)
        )

    @staticmethod
    def _count(known: tuple[np.ndarray, np.ndarray], keys: np.ndarray) -> np.ndarray:
        at = np.minimum(np.searchsorted(known[0], keys), len(known[0]) - 1)
        return np.where(known[0][at] == keys, known[1][at], 0).astype(np.float64)

"""A model in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from optml.algorithms.base import Algorithm, Model


@dataclass(frozen=True, slots=True)
class Served:
    """A model in memory, ready to answer; times in seconds."""

    algorithm: Algorithm
    model: Model
    device: str = "cpu"
    seconds: float = 0.0  # that one record takes, or less
    load_seconds: float = 0.0
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    version: str = ""

    def describe(self) -> dict[str, Any]:
        """What `GET /` tells of it."""
        from optml.serving.negotiation import readable, writable

        return {
            "algorithm": self.algorithm.slug,
            "title": self.algorithm.title,
            "version": self.version,
            "feature_dim": self.model.width,
            "content_types": readable(self.algorithm),
            "accepts": writable(self.algorithm),
            "hyperparameters": self.hyperparameters,
            "device": self.device,
        }

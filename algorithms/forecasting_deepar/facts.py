"""What is known of a network beside its hyperparameters and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Raw outputs, as their projections are called in the artifact. The order is that of
# `kernels.forecast`.
OUTPUTS = {
    "gaussian": ("mu", "sigma"),
    "student-T": ("mu", "sigma", "nu"),
    "negative-binomial": ("total_count", "logit"),
    "beta": ("alpha", "beta"),
    "deterministic-L1": ("mu",),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the training data has decided of a network.

    cardinality: of each cat.   dynamics: number of dynamic_feat.   scale: mean absolute value of all training
    observations, 1 if that is 0: what a window without observations is scaled by.
    """

    cardinality: tuple[int, ...]
    dynamics: int
    scale: float

    def to_json(self) -> dict[str, Any]:
        return {
            "cardinality": list(self.cardinality),
            "num_dynamic_feat": self.dynamics,
            "scale": self.scale,
        }

    @classmethod
    def of_json(cls, facts: Mapping[str, Any]) -> Facts:
        """Raises KeyError, TypeError, ValueError for what `to_json` did not write."""
        cardinality = tuple(int(size) for size in facts["cardinality"])
        return cls(cardinality, int(facts["num_dynamic_feat"]), float(facts["scale"]))

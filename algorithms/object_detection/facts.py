"""What a model is of: its network, the images that it takes, how its answers are made. Part of model.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optml.algorithms.object_detection.design import VARIANCES, Design

SLUG = "object-detection"


@dataclass(frozen=True, slots=True)
class Facts:
    """side: of the images, in pixels.   nms_threshold, nms_topk, force: of suppression
    (`kernels.boxes.detect`). names: of the classes, "" where one has none; (): of none."""

    design: Design
    side: int
    nms_threshold: float = 0.45
    nms_topk: int = 400
    force: bool = False
    variances: tuple[float, float, float, float] = VARIANCES
    names: tuple[str, ...] = ()

    def label(self, number: int) -> str:
        """The name of a class, or its number."""
        return (self.names[number] if number < len(self.names) else "") or str(number)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            **self.design.document(),
            "image_shape": self.side,
            "class_names": list(self.names),
            "nms_threshold": self.nms_threshold,
            "nms_topk": self.nms_topk,
            "force_suppress": self.force,
            "variances": list(self.variances),
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Facts:
        """Raises KeyError, TypeError or ValueError for a document of another kind."""
        x, y, width, height = map(float, document["variances"])
        return cls(
            Design.of(document),
            int(document["image_shape"]),
            float(document["nms_threshold"]),
            int(document["nms_topk"]),
            bool(document["force_suppress"]),
            (x, y, width, height),
            tuple(map(str, document.get("class_names") or ())),
        )

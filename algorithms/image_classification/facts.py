"""What a model is of: its network, the images that it takes, what its outputs mean. Part of model.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from optml.algorithms.vision.architecture import Architecture

SLUG = "image-classification"


@dataclass(frozen=True, slots=True)
class Facts:
    """height, width: of the network's input.   names: of the classes, "" where one has none; (): of none."""

    architecture: Architecture
    height: int
    width: int
    classes: int
    multi_label: bool = False
    names: tuple[str, ...] = ()

    @property
    def shape(self) -> str:
        """As the hyperparameter image_shape has it."""
        return f"{self.architecture.channels},{self.height},{self.width}"

    def label(self, number: int) -> str:
        """The name of a class, or its number."""
        return (self.names[number] if number < len(self.names) else "") or str(number)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        network = asdict(self.architecture)
        return {
            "num_layers": network.pop("depth"),
            "image_shape": self.shape,
            "num_classes": self.classes,
            "multi_label": int(self.multi_label),
            "class_names": list(self.names),
            "scaling": self.architecture.scaling,
            **{name: value for name, value in network.items() if name != "channels"},
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Facts:
        """Raises KeyError, TypeError or ValueError for a document of another kind."""
        channels, height, width = map(int, document["image_shape"].split(","))
        network = Architecture(
            int(document["num_layers"]), document["layout"], document["stem"], channels, document.get("eps")
        )
        names = tuple(map(str, document.get("class_names") or ()))
        return cls(network, height, width, int(document["num_classes"]), bool(document["multi_label"]), names)

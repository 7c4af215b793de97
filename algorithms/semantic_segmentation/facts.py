"""What a model is of: its network, the sizes it was trained on, what its classes are. Part of model.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from optml.algorithms.semantic_segmentation.hyperparameters import Decoder
from optml.algorithms.vision.architecture import Architecture

SLUG = "semantic-segmentation"
BINS = (1, 2, 3, 6)  # of PSP's pools (the paper; GluonCV from v0.4.0 on)


@dataclass(frozen=True, slots=True)
class Facts:
    """architecture: of the encoder.   decoder: fcn, psp or deeplab.   crop, base: pixels.
    auxiliary: do the arrays hold the second head?   bins: cells a side of each of PSP's pools.
    label_map: of the training channel, as its JSON.   palette: R, G, B of each class from 0 on, as the masks
    of training had them; b"": they were grey.   names: of the classes, "" where one has none; (): of none."""

    architecture: Architecture
    decoder: Decoder
    classes: int
    crop: int = 240
    base: int = 520
    auxiliary: bool = False
    bins: tuple[int, ...] = BINS
    label_map: Mapping[str, Any] = field(default_factory=dict)
    palette: bytes = b""
    names: tuple[str, ...] = ()

    def label(self, number: int) -> str:
        """The name of a class, or its number."""
        return (self.names[number] if number < len(self.names) else "") or str(number)

    def __str__(self) -> str:
        return f"{self.decoder} on {self.architecture}, {self.classes} classes"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        network = asdict(self.architecture)
        colours = self.palette.hex()
        return {
            "algorithm": self.decoder,
            "backbone": f"resnet-{network.pop('depth')}",
            "num_classes": self.classes,
            "crop_size": self.crop,
            "base_size": self.base,
            **{name: value for name, value in network.items() if name != "channels"},
            "scaling": self.architecture.scaling,
            "auxiliary": self.auxiliary,
            "psp_bins": list(self.bins),
            "label_map": dict(self.label_map),
            "palette": [f"#{colours[at : at + 6]}" for at in range(0, len(colours), 6)],
            "class_names": list(self.names),
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Facts:
        """Raises KeyError, TypeError or ValueError for a document of another kind."""
        network = Architecture(
            depth(document["backbone"]), document["layout"], document["stem"], eps=document.get("eps")
        )
        if document["algorithm"] not in ("fcn", "psp", "deeplab"):
            raise ValueError(f"algorithm is {document['algorithm']!r}")
        return cls(
            network,
            document["algorithm"],
            int(document["num_classes"]),
            int(document["crop_size"]),
            int(document["base_size"]),
            bool(document["auxiliary"]),
            bins(document["psp_bins"]),
            dict(document.get("label_map") or {}),
            bytes.fromhex("".join(document.get("palette") or ()).replace("#", "")),
            tuple(map(str, document.get("class_names") or ())),
        )


def depth(backbone: Any) -> int:
    """Layers of `resnet-50`. Raises ValueError for no such text."""
    return int(str(backbone).lower().removeprefix("resnet").removeprefix("-"))


def bins(value: Any) -> tuple[int, ...]:
    """Four whole numbers, as a list or as a text "1,2,3,6". Raises ValueError for others."""
    parts = str(value).strip("[]() ").split(",") if isinstance(value, str) else list(value)
    numbers = tuple(int(part) for part in parts)
    if len(numbers) != 4 or min(numbers) < 1:
        raise ValueError(f"psp_bins is {value!r}; expected four whole numbers, such as 1,2,3,6")
    return numbers

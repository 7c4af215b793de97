"""Channels of images for tests."""

from __future__ import annotations

from pathlib import Path

from optml.container.channels import Channel
from optml.container.sources import Source
from tests.contract.toy_images import ALGORITHM


def channel(folder: Path, name: str = "train", **about: object) -> Source:
    """The channel `name` below a folder, as the container hands it to an algorithm."""
    (folder / name).mkdir(exist_ok=True)
    spec = ALGORITHM.training.channels[0]
    return Source(Channel(name, spec, folder / name, **about), stopped=lambda: False)  # type: ignore[arg-type]


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

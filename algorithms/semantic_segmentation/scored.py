"""What a network says of a picture, and the masks and probabilities that it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from optml.algorithms.kernels import masks
from optml.algorithms.semantic_segmentation.sides import Cut


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """logits: (K, h, w) float32.   rows, columns: in the picture as it was asked about."""

    logits: np.ndarray
    rows: Cut
    columns: Cut

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tile):
            return NotImplemented
        places = (self.rows, self.columns) == (other.rows, other.columns)
        return places and np.array_equal(self.logits, other.logits)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Scored:
    """What the network says of one picture of (height, width) pixels: little enough to keep; the classes and
    probabilities of all pixels are made of it when they are asked for. palette: of its mask, b"": it is
    grey."""

    height: int
    width: int
    tiles: Sequence[Tile]
    palette: bytes = b""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of `probabilities`."""
        return len(self.tiles[0].logits), self.height, self.width

    def classes(self) -> np.ndarray:
        """(H, W) uint8: the argmax of `probabilities` at every pixel."""
        out = np.empty((self.height, self.width), np.uint8)
        for tile in self.tiles:
            _place(tile, masks.classes(*_whole(tile)), out)
        return out

    def probabilities(self) -> np.ndarray:
        """(K, H, W) float32."""
        if len(self.tiles) == 1:
            array: np.ndarray = masks.probabilities(*_whole(self.tiles[0]))[0].numpy()
            return array
        out = np.empty(self.shape, np.float32)
        for tile in self.tiles:
            _place(tile, masks.probabilities(*_whole(tile)), out)
        return out


def _whole(tile: Tile) -> tuple[torch.Tensor, int, int]:
    """Its logits, and its height and width."""
    (top, bottom), (left, right) = tile.rows.whole, tile.columns.whole
    return torch.from_numpy(tile.logits)[None], bottom - top, right - left


def _place(tile: Tile, values: torch.Tensor, out: np.ndarray) -> None:
    """Write what a tile answers for, (.., H, W), of all that it sees, (1, .., h, w)."""
    (top, bottom), (left, right) = tile.rows.own, tile.columns.own
    up, first = tile.rows.whole[0], tile.columns.whole[0]
    part = values[0, ..., top - up : bottom - up, left - first : right - first]
    out[..., top:bottom, left:right] = part.numpy()

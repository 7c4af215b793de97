"""Decoded images on their way to a GPU: end to end in page-locked memory, where threads decode them to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from optml.algorithms.kernels import pixels as kernel
from optml.algorithms.kernels.pixels.blur import blur
from optml.algorithms.kernels.pixels.terms import Array, Finish, Packed
from optml.algorithms.vision.augment import View
from optml.formats.images.decode import Encoded, shrink_for


class Staged:
    """A batch before the pass. Several threads may decode, each another image."""

    def __init__(self, shapes: np.ndarray, shrinks: list[int], views: Sequence[View | None], device: str):
        import torch

        self._torch = torch
        self._device = torch.device(device)
        self._shapes, self._shrinks, self._views = shapes, shrinks, views
        lengths = shapes.prod(axis=1)
        self._starts = lengths.cumsum() - lengths
        locked = self._device.type == "cuda"
        self._memory: Any = torch.empty(int(lengths.sum()), dtype=torch.uint8, pin_memory=locked)
        self._pixels: np.ndarray = self._memory.numpy()

    @classmethod
    def of(
        cls, images: Sequence[Encoded | None], views: Sequence[View | None], channels: int, device: str
    ) -> Staged:
        """Room for the images; none for those that could not be read."""
        shapes, shrinks = np.zeros((len(images), 3), np.int64), [1] * len(images)
        for place, (image, view) in enumerate(zip(images, views, strict=True)):
            if image is not None and view is not None:
                shrinks[place] = shrink_for(view.scale)
                shapes[place] = image.shape(channels, shrinks[place])
        return cls(shapes, shrinks, views, device)

    def decode(self, place: int, image: Encoded) -> None:
        """Raises UnreadableError."""
        start, shape = int(self._starts[place]), self._shapes[place].tolist()
        room = _Room(self._pixels[start : start + shape[0] * shape[1] * shape[2]])
        pixels = image.pixels(shape[2], self._shrinks[place], room)
        if not np.shares_memory(pixels, room.memory):
            room.memory[:] = pixels.reshape(-1)

    def render(self, good: slice | list[int], finish: Finish, shape: tuple[int, int]) -> Array:
        """The batch on the device, (n, height, width, channels) float32, of the images that are `good`."""
        views = [view for view in self._views if view is not None]
        shrinks = np.array(self._shrinks, np.float64)[good]
        maps = np.array([view.matrix for view in views], np.float32).reshape(-1, 2, 3)
        maps /= shrinks[:, None, None].astype(np.float32)
        colours = None
        if any(view.colour is not None for view in views):
            colours = np.array([view.colour or (0, 0, 0, 0) for view in views], np.float32)
        cuda = self._device.type == "cuda"
        with self._torch.cuda.device(self._device) if cuda else nullcontext():
            packed = Packed(
                self._memory.to(self._device, non_blocking=True),
                self._there(self._starts[good]),
                self._there(self._shapes[good, :2]),
                finish.mean.size,
            )
            moved = None if colours is None else self._there(colours)
            images = kernel.render(packed, self._there(maps), moved, finish, shape)
            blurs = np.array([view.blur for view in views])
            return blur(images, blurs) if blurs.any() else images

    def _there(self, array: np.ndarray) -> Any:
        return self._torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


class _Room:
    """Where an image is decoded to (`decode.Scratch`): its place among the others."""

    def __init__(self, memory: np.ndarray) -> None:
        self.memory = memory

    def of(self, size: int) -> np.ndarray:
        return self.memory[:size]

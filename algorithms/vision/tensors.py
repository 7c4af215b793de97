"""Batches of pixels as a network takes them."""

from __future__ import annotations

import torch

from optml.algorithms.kernels.pixels.terms import Array, Finish
from optml.algorithms.vision.architecture import Scaling


class Tensors:
    """Of a network, on its device: pixels as they come from a channel, 0..255, become what it was trained
    on."""

    def __init__(self, scaling: Scaling, channels: int, device: str) -> None:
        self._device = torch.device(device)
        self._scaled = scaling != "raw"
        finish = Finish.of(scaling, channels)
        self._mean, self._scale = (
            torch.from_numpy(part)[:, None, None].to(self._device) for part in (finish.mean, finish.scale)
        )

    def of(self, array: Array) -> torch.Tensor:
        """As it is; beside the computation, where that is on a GPU."""
        if isinstance(array, torch.Tensor):  # there already
            return array
        tensor = torch.from_numpy(array)
        if self._device.type == "cuda":
            return tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor

    def images(self, pixels: Array) -> torch.Tensor:
        """(n, channels, height, width) in channels_last of (n, height, width, channels) float32."""
        x = self.of(pixels).permute(0, 3, 1, 2)
        return (x - self._mean).mul_(self._scale) if self._scaled else x

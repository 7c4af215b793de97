"""A convolution over tokens and its activation."""

from __future__ import annotations

import torch
from torch.nn.functional import conv1d, linear, pad, softplus

Tensor = torch.Tensor

ACTIVATIONS = {"relu": torch.relu, "softrelu": softplus, "sigmoid": torch.sigmoid, "tanh": torch.tanh}


class Block(torch.nn.Module):
    """causal: a place sees itself and what is before it, and else as much on both sides."""

    def __init__(self, width: int, kernel: int, activation: str, *, causal: bool) -> None:
        super().__init__()
        self.activation = activation
        outputs = 2 * width if activation == "glu" else width
        self.weight = torch.nn.Parameter(torch.empty(outputs, width, kernel))
        self.bias = torch.nn.Parameter(torch.zeros(outputs))
        self.kernel = kernel
        self._padding = (kernel - 1, 0) if causal else (kernel // 2, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(n, s, width) of the same."""
        wide = pad(x.transpose(1, 2), self._padding)
        return self._activated(conv1d(wide, self.weight, self.bias).transpose(1, 2))

    def step(self, window: Tensor) -> Tensor:
        """(n, width), of the last of `kernel` places (n, kernel, width)."""
        flat = self.weight.permute(0, 2, 1).reshape(len(self.weight), -1)
        return self._activated(linear(window.reshape(len(window), -1), flat, self.bias))

    def _activated(self, x: Tensor) -> Tensor:
        if self.activation == "glu":
            value, gate = x.chunk(2, dim=-1)
            return value * gate.sigmoid()
        return ACTIVATIONS[self.activation](x)

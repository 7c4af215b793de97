"""The recurrence of an LSTM layer with zoneout (Krueger et al., arXiv 1606.01305), forward and backward.

    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of (gates(t) + U h(t-1))
    c' = f c(t-1) + i g          h' = o tanh(c')
    c(t) = c(t-1) where kept, else c'        h(t) = h(t-1) where kept, else h'

Before a step that is not real (padding in front of a series) h and c are set to zero; it then runs like any
other, so that the first real step begins with what the last padded one left: the recurrence of AWS's graph.
What a layer gets from below is one product over all steps and the caller's; only U h is serial.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from optml.algorithms.kernels.machine import simd
from optml.algorithms.kernels.machine.threads import in_parts

WIDEST = 128  # cells of a layer that the kernel of the GPU takes


def recurrence(gates: Tensor, weight: Tensor, real: Tensor, zoneout: Tensor | None) -> Tensor:
    """h: (t, b, n) of gates (t, b, 4 n) = W x + biases, in the order i, f, g, o.

    weight: (4 n, n), U.   real: (t, b) bool.   zoneout: (2, t, b, n) bool, units of h and of c that keep
    their previous value; None: none do. Differentiable in gates and weight; float32, within 1e-5 of
    `reference`.
    """
    steps, batch, wide = gates.shape
    width = wide // 4
    if gates.device.type != "cpu":
        if width > WIDEST:
            return reference(gates, weight, real, zoneout)
        hidden: Tensor = OnDevice.apply(gates, weight, real, zoneout)  # type: ignore[no-untyped-call]
        return hidden
    short, more = -batch % 4, simd.stride(width) - width
    gates = pad(gates.view(steps, batch, 4, width), (0, more, 0, 0, 0, short))
    square = pad(weight.view(4, width, width), (0, more, 0, more))
    if zoneout is not None:
        zoneout = pad(zoneout, (0, more, 0, short)).float()
    operands = gates.flatten(2), square.flatten(0, 1), pad(real, (0, short)), zoneout
    hidden = _OnCPU.apply(*operands, width)  # type: ignore[no-untyped-call]
    return hidden[:, :batch, :width]


def reference(gates: Tensor, weight: Tensor, real: Tensor, zoneout: Tensor | None) -> Tensor:
    """The same, as it is written above; of any floating dtype, on any device."""
    h = gates.new_zeros(gates.shape[1], weight.shape[1])
    c = torch.zeros_like(h)
    out = []
    for step in range(len(gates)):
        there = real[step, :, None]
        h, c = h * there, c * there
        i, f, g, o = (gates[step] + h @ weight.T).chunk(4, dim=1)
        new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        new_h = torch.sigmoid(o) * torch.tanh(new_c)
        if zoneout is not None:
            new_h, new_c = torch.where(zoneout[0, step], h, new_h), torch.where(zoneout[1, step], c, new_c)
        h, c = new_h, new_c
        out.append(h)
    return torch.stack(out)


class OnDevice(torch.autograd.Function):
    """By Triton's kernels."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, weight: Tensor, real: Tensor, zoneout: Tensor | None) -> Tensor:
        from optml.algorithms.kernels.lstm import triton as lstm_triton

        hidden: Tensor
        activations, cells, hidden = lstm_triton.forward(
            gates.contiguous(), weight.contiguous(), real, zoneout
        )
        ctx.save_for_backward(weight, real, zoneout, activations, cells, hidden)
        return hidden

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> Any:
        from optml.algorithms.kernels.lstm import triton as lstm_triton

        weight, real, zoneout, activations, cells, hidden = ctx.saved_tensors
        below = lstm_triton.backward(weight.contiguous(), above, real, zoneout, activations, cells)
        return below, _pull(below, hidden, real), None, None


class _OnCPU(torch.autograd.Function):
    """Padded: batches to whole fours, widths to whole cache lines."""

    @staticmethod
    def forward(
        ctx: Any, gates: Tensor, weight: Tensor, real: Tensor, zoneout: Tensor | None, width: int
    ) -> Tensor:
        from optml.algorithms.kernels.lstm import cpu as lstm_cpu

        steps, batch, wide = gates.shape
        activations = torch.empty_like(gates)
        cells, hidden = gates.new_empty(steps, batch, wide // 4), gates.new_empty(steps, batch, wide // 4)
        flags = real.to(torch.uint8)
        masks = gates.new_empty(1, 1, 1, 1) if zoneout is None else zoneout
        arguments = (
            _rows(gates), _rows(weight.T.contiguous()), width, flags.numpy(), masks.numpy(),
            zoneout is not None, _rows(activations), _rows(cells), _rows(hidden),
        )  # fmt: skip
        _by_fours(
            lambda start, stop: lstm_cpu.forward(*arguments, start, stop), batch, 2 * steps * width * wide
        )
        ctx.save_for_backward(weight, activations, cells, hidden, flags, masks)
        ctx.zoned = zoneout is not None
        return hidden

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> Any:
        from optml.algorithms.kernels.lstm import cpu as lstm_cpu

        weight, activations, cells, hidden, flags, masks = ctx.saved_tensors
        steps, batch, wide = activations.shape
        below = torch.empty_like(activations)
        scratch = np.empty((2, batch, wide // 4), np.float32)
        arguments = (
            _rows(weight), _rows(above.contiguous()), flags.numpy(), masks.numpy(), ctx.zoned,
            _rows(activations), _rows(cells), scratch[0], scratch[1], _rows(below),
        )  # fmt: skip
        _by_fours(
            lambda start, stop: lstm_cpu.backward(*arguments, start, stop), batch, 2 * steps * wide * wide
        )
        return below, _pull(below, hidden, flags), None, None, None


def _pull(below: Tensor, hidden: Tensor, real: Tensor) -> Tensor:
    """The gradient of U: the gates of each real step pull at the state before it."""
    previous = hidden[:-1] * real[1:, :, None]
    return below[1:].flatten(0, 1).T @ previous.flatten(0, 1)


def _by_fours(work: Any, batch: int, size: int) -> None:
    in_parts(lambda start, stop: work(4 * start, 4 * stop), batch // 4, 4 * size)


def _rows(tensor: Tensor) -> np.ndarray:
    """(rows, width) of (..., width)."""
    rows: np.ndarray = tensor.detach().view(-1, tensor.shape[-1]).numpy()
    return rows

"""The recurrence of an LSTM layer on a GPU: one launch for all steps, forward and one backward.

A program owns ROWS rows of the batch and goes through all steps with their state in registers; the recurrent
weights, the same for all programs, come from the second cache at each step. Products are exact float32
(no TF32). No atomics: the same numbers give the same bits.
"""

# Triton's decorator has no types, and its constants are written in capitals.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

Tensor = Any  # a torch tensor; torch's own name would bring torch's types into mypy

_ROWS = 16


def forward(
    gates: Tensor, weight: Tensor, real: Tensor, zoneout: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The opened gates (t, b, 4 n), cells and hidden (t, b, n), all float32; see `lstm.recurrence`."""
    steps, batch, _ = gates.shape
    width = weight.shape[1]
    activations = torch.empty_like(gates)
    cells, hidden = gates.new_empty(steps, batch, width), gates.new_empty(steps, batch, width)
    zoned = zoneout is not None
    flags = real if zoneout is None else zoneout.to(torch.uint8)
    _forward[(triton.cdiv(batch, _ROWS),)](
        gates, weight, real.to(torch.uint8), flags, activations, cells, hidden,
        steps, batch, width, ZONED=zoned, ROWS=_ROWS, WIDTH=_block(width),
    )  # fmt: skip
    return activations, cells, hidden


def backward(
    weight: Tensor, above: Tensor, real: Tensor, zoneout: Tensor | None, activations: Tensor, cells: Tensor
) -> Tensor:
    """The gradient (t, b, 4 n) of the gates."""
    steps, batch, width = cells.shape
    below = torch.empty_like(activations)
    zoned = zoneout is not None
    flags = real if zoneout is None else zoneout.to(torch.uint8)
    _backward[(triton.cdiv(batch, _ROWS),)](
        weight, above.contiguous(), real.to(torch.uint8), flags, activations,
        cells, below, steps, batch, width, ZONED=zoned, ROWS=_ROWS, WIDTH=_block(width),
    )  # fmt: skip
    return below


def _block(width: int) -> int:
    return max(16, int(triton.next_power_of_2(width)))


@triton.jit
def _tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def _forward(
    gates, weight, real, zoneout, activations, cells, hidden, steps, batch, width,
    ZONED: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    units = tl.arange(0, WIDTH)
    there = (rows < batch)[:, None] & (units < width)[None, :]
    square = (units < width)[:, None] & (units < width)[None, :]
    # U of a gate, transposed: (k, unit)
    corner = weight + units[None, :] * width + units[:, None]
    gate = width * width
    h = tl.zeros((ROWS, WIDTH), tl.float32)
    c = tl.zeros((ROWS, WIDTH), tl.float32)
    for step in range(steps):
        at = step * batch + rows
        alive = (tl.load(real + at, mask=rows < batch, other=0) != 0)[:, None]
        h = tl.where(alive, h, 0.0)
        c = tl.where(alive, c, 0.0)
        wide = at[:, None] * (4 * width) + units[None, :]
        narrow = at[:, None] * width + units[None, :]
        i = tl.load(gates + wide, mask=there, other=0.0)
        f = tl.load(gates + wide + width, mask=there, other=0.0)
        g = tl.load(gates + wide + 2 * width, mask=there, other=0.0)
        o = tl.load(gates + wide + 3 * width, mask=there, other=0.0)
        i += tl.dot(h, tl.load(corner, mask=square, other=0.0), input_precision="ieee")
        f += tl.dot(h, tl.load(corner + gate, mask=square, other=0.0), input_precision="ieee")
        g += tl.dot(h, tl.load(corner + 2 * gate, mask=square, other=0.0), input_precision="ieee")
        o += tl.dot(h, tl.load(corner + 3 * gate, mask=square, other=0.0), input_precision="ieee")
        i, f, g, o = tl.sigmoid(i), tl.sigmoid(f), _tanh(g), tl.sigmoid(o)
        new_c = f * c + i * g
        new_h = o * _tanh(new_c)
        if ZONED:
            keep_h = tl.load(zoneout + narrow, mask=there, other=0) != 0
            keep_c = tl.load(zoneout + steps * batch * width + narrow, mask=there, other=0) != 0
            new_h = tl.where(keep_h, h, new_h)
            new_c = tl.where(keep_c, c, new_c)
        h = tl.where(there, new_h, 0.0)
        c = tl.where(there, new_c, 0.0)
        tl.store(activations + wide, i, mask=there)
        tl.store(activations + wide + width, f, mask=there)
        tl.store(activations + wide + 2 * width, g, mask=there)
        tl.store(activations + wide + 3 * width, o, mask=there)
        tl.store(cells + narrow, c, mask=there)
        tl.store(hidden + narrow, h, mask=there)


@triton.jit
def _backward(
    weight, above, real, zoneout, activations, cells, below, steps, batch, width,
    ZONED: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    units = tl.arange(0, WIDTH)
    there = (rows < batch)[:, None] & (units < width)[None, :]
    square = (units < width)[:, None] & (units < width)[None, :]
    # U of a gate: (unit, k)
    corner = weight + units[:, None] * width + units[None, :]
    gate = width * width
    dh = tl.zeros((ROWS, WIDTH), tl.float32)
    dc = tl.zeros((ROWS, WIDTH), tl.float32)
    for back in range(steps):
        step = steps - 1 - back
        at = step * batch + rows
        wide = at[:, None] * (4 * width) + units[None, :]
        narrow = at[:, None] * width + units[None, :]
        i = tl.load(activations + wide, mask=there, other=0.0)
        f = tl.load(activations + wide + width, mask=there, other=0.0)
        g = tl.load(activations + wide + 2 * width, mask=there, other=0.0)
        o = tl.load(activations + wide + 3 * width, mask=there, other=0.0)
        alive = (tl.load(real + at, mask=rows < batch, other=0) != 0)[:, None] & there
        before = tl.load(cells + narrow - batch * width, mask=alive & (step > 0), other=0.0)
        dh += tl.load(above + narrow, mask=there, other=0.0)
        past_h = tl.zeros((ROWS, WIDTH), tl.float32)
        past_c = tl.zeros((ROWS, WIDTH), tl.float32)
        if ZONED:
            keep_h = tl.load(zoneout + narrow, mask=there, other=0) != 0
            keep_c = tl.load(zoneout + steps * batch * width + narrow, mask=there, other=0) != 0
            past_h = tl.where(keep_h, dh, 0.0)
            past_c = tl.where(keep_c, dc, 0.0)
            dh = tl.where(keep_h, 0.0, dh)
            dc = tl.where(keep_c, 0.0, dc)
        t = _tanh(f * before + i * g)
        dc += dh * o * (1 - t * t)
        d_i = dc * g * i * (1 - i)
        d_f = dc * before * f * (1 - f)
        d_g = dc * i * (1 - g * g)
        d_o = dh * t * o * (1 - o)
        tl.store(below + wide, d_i, mask=there)
        tl.store(below + wide + width, d_f, mask=there)
        tl.store(below + wide + 2 * width, d_g, mask=there)
        tl.store(below + wide + 3 * width, d_o, mask=there)
        dc = past_c + dc * f
        dh = past_h
        dh += tl.dot(d_i, tl.load(corner, mask=square, other=0.0), input_precision="ieee")
        dh += tl.dot(d_f, tl.load(corner + gate, mask=square, other=0.0), input_precision="ieee")
        dh += tl.dot(d_g, tl.load(corner + 2 * gate, mask=square, other=0.0), input_precision="ieee")
        dh += tl.dot(d_o, tl.load(corner + 3 * gate, mask=square, other=0.0), input_precision="ieee")
        dh = tl.where(alive, dh, 0.0)
        dc = tl.where(alive, dc, 0.0)

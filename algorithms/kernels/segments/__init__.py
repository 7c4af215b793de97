"""The largest value of each column over runs of rows: max-over-time of sequences one behind the other.

    maximum_i = max over starts_i <= e < stops_i of rows_e, by column; 0 of a run without rows

Of the way there only the rows of the maxima are kept, (n, w) int32. Of equal values the first has the
gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

Tensor = torch.Tensor


def maxima(rows: Tensor, starts: np.ndarray, stops: np.ndarray) -> Tensor:
    """(n, w) of rows (e, w), for runs starts, stops (n,) int64 that do not overlap; differentiable in rows.

    float32 on a CPU takes `cpu.py`; other dtypes and devices `reference`.
    """
    if rows.device.type != "cpu" or rows.dtype != torch.float32:
        return reference(rows, starts, stops)
    highest: Tensor = _Maxima.apply(rows, starts, stops)  # type: ignore[no-untyped-call]
    return highest


def reference(rows: Tensor, starts: np.ndarray, stops: np.ndarray) -> Tensor:
    """The same by torch's own operations, on any device; equal values share the gradient."""
    lengths = stops - starts
    run = np.repeat(np.arange(len(starts)), lengths)
    behind = np.arange(len(run)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    places = torch.from_numpy(starts[run] + behind).to(rows.device)
    index = torch.from_numpy(run).to(rows.device)[:, None].expand(-1, rows.shape[1])
    empty = rows.new_zeros(len(starts), rows.shape[1])
    return empty.scatter_reduce(0, index, rows[places], "amax", include_self=False)


class _Maxima(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, starts: np.ndarray, stops: np.ndarray) -> Tensor:
        from optml.algorithms.kernels.segments import cpu

        highest, ctx.places = cpu.maxima(rows.detach().contiguous().numpy(), starts, stops)
        ctx.shape = rows.shape
        return torch.from_numpy(highest)

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, None, None]:
        from optml.algorithms.kernels.segments import cpu

        below = torch.zeros(ctx.shape)
        cpu.scatter(above.contiguous().numpy(), ctx.places, below.numpy())
        return below, None, None

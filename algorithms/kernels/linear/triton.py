"""A step of linear models on a GPU: matrix products by cuBLAS or cuSPARSE, the rest in two kernels.

`_slopes`          scores (n, M), labels (n,), class weights (labels, M): a program takes ROWS rows of COLUMNS
                   models, turns their scores into slopes in place and leaves the sums of their losses.
`_softmax_slopes`  scores (n, M, C): a program takes one row of one model; C fits a block.
`_move`            the optimiser's update, one pass over weights, moments and gradient (d + 1, M * C).

Scores are float32 (torch's default: no TF32). Sums of losses go through a buffer and are added up in order,
not by atomics: the same rows give the same bits. Nothing waits for the GPU, so a step can be captured.
"""

# Triton's decorator has no types, and its constants are written in capitals.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from optml.algorithms.kernels.linear.terms import LOSSES, OPTIMIZERS, SQUARE_DECAY, TINY, Problem, Update

Tensor = Any  # a torch tensor; torch's own name would bring torch's types into mypy


def scores(rows: Any, weights: Tensor, problem: Problem) -> Tensor:
    """See `linear.scores`; rows may be a csr_array on the host."""
    return _scores(_place(rows, weights), weights, problem)


def gradient(rows: Any, labels: Tensor, weights: Tensor, problem: Problem) -> tuple[Tensor, Tensor]:
    """See `linear.gradient`; rows may be a csr_array on the host."""
    dense = isinstance(rows, torch.Tensor)
    there = _place(rows, weights)
    z = _scores(there, weights, problem)
    losses = slopes(z, labels, problem)
    total = z.sum(dim=0)
    if dense and not problem.folded:
        product = ((rows - problem.shift) * problem.scale).T @ z
    else:
        transposed = rows.T if dense else _place(rows.T.tocsr(), weights)
        product = problem.scale[:, None] * (transposed @ z)
        product -= (problem.shift * problem.scale)[:, None] * total
        product *= ~problem.still[:, None]
    return torch.cat([product, total[None]]), losses


def slopes(z: Tensor, labels: Tensor, problem: Problem) -> Tensor:
    """Turn scores (n, M * C) into slopes, in place; returns the sums (M,) float64 of the losses."""
    n, models, classes = len(z), problem.models, problem.classes
    weighted = len(problem.class_weights) > 1
    if problem.loss == "softmax_loss":
        values = torch.empty(n, models, dtype=torch.float32, device=z.device)
        if n:
            block = triton.next_power_of_2(classes)
            _softmax_slopes[(n, models)](
                z, labels, problem.class_weights, values, models, classes, CLASSES=block
            )
        return values.sum(dim=0, dtype=torch.float64)
    rows, columns = 32, min(32, triton.next_power_of_2(models))
    tiles = triton.cdiv(n, rows)
    values = torch.empty(tiles, models, dtype=torch.float32, device=z.device)
    if n:
        _slopes[(tiles, triton.cdiv(models, columns))](
            z, labels, problem.class_weights, values, n, models, problem.parameter,
            LOSS=LOSSES.index(problem.loss), WEIGHTED=weighted, ROWS=rows, COLUMNS=columns,
        )  # fmt: skip
    return values.sum(dim=0, dtype=torch.float64)


def update(
    weights: Tensor, moments: tuple[Tensor, ...], gradients: Tensor, share: float, use_bias: bool, how: Update
) -> None:
    """See `linear.update`."""
    columns = weights.shape[1]
    size = weights.numel() if use_bias else weights.numel() - columns
    block = 1024
    _move[(triton.cdiv(size, block),)](
        weights, moments[0], moments[-1], gradients, how.rates, how.decays, how.l1, how.bias_rates,
        how.bias_decays, share, how.first, how.second, size, weights.numel() - columns, columns,
        OPTIMIZER=OPTIMIZERS.index(how.optimizer), KEPT_=SQUARE_DECAY, TINY_=TINY, BLOCK=block,
    )  # fmt: skip


def _scores(rows: Tensor, weights: Tensor, problem: Problem) -> Tensor:
    if rows.layout == torch.strided and not problem.folded:
        return torch.addmm(weights[-1], (rows - problem.shift) * problem.scale, weights[:-1])
    ratio = (problem.shift.double() * problem.scale.double()) @ weights[:-1].double()
    offsets = (weights[-1].double() - ratio).float()
    return (rows @ (problem.scale[:, None] * weights[:-1])).add_(offsets)


def _place(rows: Any, weights: Tensor) -> Tensor:
    """A csr_array as a sparse tensor beside the weights; a tensor as it is."""
    if isinstance(rows, torch.Tensor):
        return rows
    parts = (rows.indptr.astype(np.int64), rows.indices.astype(np.int64), rows.data)
    starts, places, values = (
        torch.from_numpy(np.ascontiguousarray(part)).to(weights.device) for part in parts
    )
    return torch.sparse_csr_tensor(starts, places, values, rows.shape, check_invariants=False)


@triton.jit
def _slopes(
    scores, labels, class_weights, values, n, models, p,
    LOSS: tl.constexpr, WEIGHTED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    model = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = (row[:, None] < n) & (model[None, :] < models)
    place = row[:, None].to(tl.int64) * models + model[None, :]
    z = tl.load(scores + place, mask=inside, other=0.0)
    y = tl.load(labels + row, mask=row < n, other=0.0)[:, None]
    e = z - y
    size = tl.abs(e)
    sign = tl.where(e > 0, 1.0, tl.where(e < 0, -1.0, 0.0))
    if LOSS == 0:  # logistic
        t = tl.exp(-tl.abs(z))
        value = tl.maximum(z, 0.0) - y * z + tl.log(1.0 + t)
        slope = tl.where(z >= 0, 1.0, t) / (1.0 + t) - y
    elif LOSS == 1:  # hinge_loss
        side = 2.0 * y - 1.0
        short = 0.5 * p - side * (z - 0.5)
        value = tl.maximum(short, 0.0)
        slope = tl.where(short > 0, -side, 0.0)
    elif LOSS == 3:  # squared_loss
        value = e * e
        slope = 2.0 * e
    elif LOSS == 4:  # absolute_loss
        value = size
        slope = sign
    elif LOSS == 5:  # quantile_loss
        slope = tl.where(e > 0, 1.0 - p, tl.where(e < 0, -p, 0.0))
        value = slope * e
    elif LOSS == 6:  # huber_loss
        value = tl.where(size < p, 0.5 * e * e, p * size - 0.5 * p * p)
        slope = tl.minimum(tl.maximum(e, -p), p)
    elif LOSS == 7:  # eps_insensitive_squared_loss
        value = tl.maximum(e * e - p * p, 0.0)
        slope = tl.where(size > p, 2.0 * e, 0.0)
    else:  # eps_insensitive_absolute_loss
        value = tl.maximum(size - p, 0.0)
        slope = tl.where(size > p, sign, 0.0)
    if WEIGHTED:
        weight = tl.load(class_weights + y.to(tl.int32) * models + model[None, :], mask=inside, other=0.0)
        value *= weight
        slope *= weight
    tl.store(scores + place, slope, mask=inside)
    total = tl.sum(tl.where(inside, value, 0.0), axis=0)
    tl.store(values + tl.program_id(0) * models + model, total, mask=model < models)


@triton.jit
def _softmax_slopes(scores, labels, class_weights, values, models, classes, CLASSES: tl.constexpr):
    row, model = tl.program_id(0).to(tl.int64), tl.program_id(1)
    y = tl.load(labels + row).to(tl.int32)
    each = tl.arange(0, CLASSES)
    inside = each < classes
    first = scores + (row * models + model) * classes
    z = tl.load(first + each, mask=inside, other=float("-inf"))
    top = tl.max(z, axis=0)
    power = tl.exp(z - top)
    total = tl.sum(power, axis=0)
    own = tl.sum(tl.where(each == y, z, 0.0), axis=0)
    weight = tl.load(class_weights + y * models + model)
    tl.store(first + each, weight * (power / total - tl.where(each == y, 1.0, 0.0)), mask=inside)
    tl.store(values + row * models + model, weight * (tl.log(total) + top - own))


@triton.jit
def _move(
    weights, means, squares, gradients, rates, decays, l1s, bias_rates, bias_decays,
    share, first, second, size, bias, columns,
    OPTIMIZER: tl.constexpr, KEPT_: tl.constexpr, TINY_: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    column = place % columns
    of_bias = place >= bias
    w = tl.load(weights + place, mask=inside, other=0.0)
    rate = tl.where(of_bias, tl.load(bias_rates + column, mask=inside), tl.load(rates + column, mask=inside))
    decay = tl.where(
        of_bias, tl.load(bias_decays + column, mask=inside), tl.load(decays + column, mask=inside)
    )
    l1 = tl.where(of_bias, 0.0, tl.load(l1s + column, mask=inside))
    sign = tl.where(w > 0, 1.0, tl.where(w < 0, -1.0, 0.0))
    g = share * tl.load(gradients + place, mask=inside, other=0.0) + decay * w + l1 * sign
    if OPTIMIZER == 0:  # adam
        m = first * tl.load(means + place, mask=inside, other=0.0) + (1.0 - first) * g
        v = second * tl.load(squares + place, mask=inside, other=0.0) + (1.0 - second) * g * g
        tl.store(means + place, m, mask=inside)
        tl.store(squares + place, v, mask=inside)
        proposal = w - rate * m / (tl.sqrt(v) + TINY_)
    elif OPTIMIZER == 1:  # sgd
        s = first * tl.load(means + place, mask=inside, other=0.0) + rate * g
        tl.store(means + place, s, mask=inside)
        proposal = w - s
    else:  # rmsprop
        v = KEPT_ * tl.load(squares + place, mask=inside, other=0.0) + (1.0 - KEPT_) * g * g
        tl.store(squares + place, v, mask=inside)
        proposal = w - rate * g / tl.sqrt(v + TINY_)
    proposal = tl.where((l1 > 0) & (w * proposal < 0), 0.0, proposal)
    tl.store(weights + place, proposal, mask=inside)


class CapturedStep:
    """The step of full dense batches as one CUDA graph: a launch, where else it takes twenty.

    Replays read and write the tensors it was made with: weights and moments, and its own of rows, labels and
    rates, which `step` fills. `losses` (M,) float64 grows by those of each step.
    """

    def __init__(
        self,
        weights: Tensor,
        moments: tuple[Tensor, ...],
        losses: Tensor,
        problem: Problem,
        how: Update,
        *,
        size: int,
        use_bias: bool,
    ) -> None:
        self.size = size
        self._rows = torch.zeros(size, len(weights) - 1, device=weights.device)
        self._labels = torch.zeros(size, device=weights.device)
        self._rates, self._bias_rates = how.rates.clone(), how.bias_rates.clone()
        rates_there = Update(
            how.optimizer, self._rates, how.decays, how.l1, self._bias_rates, how.bias_decays,
            how.first, how.second,
        )  # fmt: skip
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):  # records, and runs nothing
            gradients, values = gradient(self._rows, self._labels, weights, problem)
            losses += values
            update(weights, moments, gradients, 1 / size, use_bias, rates_there)

    def step(self, rows: Tensor, labels: Tensor, how: Update) -> None:
        self._rows.copy_(rows)
        self._labels.copy_(labels)
        self._rates.copy_(how.rates)
        self._bias_rates.copy_(how.bias_rates)
        self._graph.replay()

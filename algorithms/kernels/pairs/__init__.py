"""One step of learning which addresses go with which entities: scores, gradients, Adam on touched rows.

    score(entity, address) = <v(entity), e(address)>,   the log odds of an observed pair against a made-up one
    e_0 = A bits(address) + sum_l P_l[prefix_l(address)]        bits are +1 or -1, the highest first
    e_i = W_i e_(i-1) + c_i, then max(., 0) of all but the last

The loss of a sample is log(1 + exp(-score)) for an observed pair and log(1 + exp(score)) for another; its
slope, differentiated by the score, is sigmoid(score) - label. Vectors v of entities and P of prefixes are
rows of two tables. Of a batch's G, summed over its samples, Adam (D. P. Kingma, J. Ba, ICLR 2015) makes

    g = rescale G + decay w;  m = 0.9 m + 0.1 g;  v = 0.999 v + 0.001 g^2
    w <- w - rate sqrt(1 - 0.999^t) / (1 - 0.9^t) m / (sqrt(v) + epsilon)

"lazily": rows that a batch does not touch keep w, m and v; t counts all batches. Adam's steps are as long for
a row that few samples touch as for any other, and most long prefixes are such: their rate is a part of the
others' (`RATES`), so that they tell what shorter ones leave over instead of learning single samples by heart.

An address that occurs in several samples is encoded once; `View` lists its samples one after the other, and
for each row of the tables what adds up to its gradient. So each row has one writer, without atomics, and the
same batch gives the same bits. NumPy arrays take the CPU path (`cpu.py`), CUDA tensors the Triton
kernels (`triton.py`). Both compute in float32; scores are exact to about 2^-22 |v| |e|.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from optml.algorithms.kernels.pairs.terms import BITS, Array, Gradient, Groups, PairState, Step, View

SHORT = 8  # bits of prefixes so short that many random addresses share them with real ones


def gradient(state: PairState, view: View) -> Gradient:
    """Score a batch; all that the gradients of the tables' rows are made of, and that of the dense part."""
    result: Gradient = _path(state).gradient(state, view)
    return result


def learn(state: PairState, view: View, gradient: Gradient, step: Step) -> None:
    """Adam's step on all that the batch touches."""
    path = _path(state)
    path.learn_rows(state.entities, view.entities, gradient.slopes, gradient.outputs, step)
    path.learn_rows(state.prefixes, view.prefixes, None, gradient.inputs, step)
    path.apply_dense(state.dense, gradient.dense, step)


def row_gradients(groups: Groups, slopes: Array, vectors: Array) -> Array:
    """The gradients (u, d) of touched rows, to be added to those of other hosts: sums of `vectors` (m, d),
    times `slopes` (j,) unless these are None."""
    return _path(vectors).row_gradients(groups, slopes, vectors)


def apply_rows(table: Array, rows: Array, rates: Array, gradients: Array, step: Step) -> None:
    """Adam's step on the rows `rows` (u,) of a table with their rates (u,) and gradients (u, d)."""
    _path(table).apply_rows(table, rows, rates, gradients, step)


def apply_dense(dense: Array, gradients: Array, step: Step) -> None:
    """Adam's step on the dense part."""
    _path(dense).apply_dense(dense, gradients, step)


def score(state: PairState, view: View) -> Array:
    """(n,) float32: the scores of the samples, in the order of the view."""
    return _path(state).score(state, view)


def _path(of: Any) -> Any:
    array = of.entities if isinstance(of, PairState) else of
    if isinstance(array, np.ndarray):
        from optml.algorithms.kernels.pairs import cpu as pair_step_cpu

        return pair_step_cpu
    from optml.algorithms.kernels.pairs import triton as pair_step_triton

    return pair_step_triton


def reference(
    entities: np.ndarray,
    prefixes: np.ndarray,
    dense: np.ndarray,
    rows: np.ndarray,
    addresses: np.ndarray,
    prefix_rows: np.ndarray,
    labels: np.ndarray,
) -> tuple[np.ndarray, float, np.ndarray, np.ndarray, np.ndarray]:
    """By the definition, sample by sample, for tests; tables of values (rows, d) and all else in float64.

    Returns scores (n,), the sum of the losses, and its gradients by entities, prefixes and dense part.
    """
    width = entities.shape[1]
    by_entities, by_prefixes, by_dense = (np.zeros_like(a) for a in (entities, prefixes, dense))
    scores, loss = np.empty(len(rows)), 0.0
    layers = range(BITS, len(dense), width + 1)
    for i in range(len(rows)):
        signs = np.where((int(addresses[i]) >> np.arange(BITS - 1, -1, -1)) & 1, 1.0, -1.0)
        e = [signs @ dense[:BITS] + prefixes[prefix_rows[i]].sum(axis=0)]
        for at in layers:
            z = e[-1] @ dense[at : at + width] + dense[at + width]
            e.append(z if at == layers[-1] else np.maximum(z, 0))
        scores[i] = entities[rows[i]] @ e[-1]
        slope = 1 / (1 + math.exp(-scores[i])) - float(labels[i])
        loss += math.log1p(math.exp(-scores[i] if labels[i] else scores[i]))
        by_entities[rows[i]] += slope * e[-1]
        back = slope * entities[rows[i]]
        for layer in range(len(layers), 0, -1):
            at = layers[layer - 1]
            back = back if layer == len(layers) else back * (e[layer] > 0)
            by_dense[at : at + width] += np.outer(e[layer - 1], back)
            by_dense[at + width] += back
            back = dense[at : at + width] @ back
        by_dense[:BITS] += np.outer(signs, back)
        for row in prefix_rows[i]:
            by_prefixes[row] += back
    return scores, loss, by_entities, by_prefixes, by_dense

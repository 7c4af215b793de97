"""A step of M linear models trained side by side: scores, loss, gradient, and the optimiser's update.

    z_im = W_m^T (x_i - shift) * scale + b_m        (C,) scores of row i under model m
    losses_m = sum_i loss(z_im, y_i)                 and its gradient with respect to W_m and b_m, summed too

The weights of all models stand side by side in one matrix (d + 1, M * C), whose last row is the bias:
column m * C + c belongs to class c of model m. So a batch costs two matrix products for all models together,
and is read from memory once. Rows are shifted and scaled in the weights' stead:

    z = x . (scale * W) + b - (shift * scale) . W        gradient = scale * x^T s - (shift * scale) sum(s)

with slopes s, whether they are sparse or dense; but where a mean is more than `FAR` deviations from 0, or a
feature is constant, that would lose digits to cancellation, and dense rows are shifted and scaled themselves,
a block at a time. All in float32; sums of losses and of (shift * scale) . W are float64.

What a model's columns hold does not depend on the other models, bit for bit: products are taken of a fixed
number of columns at once, the last padded (`PANEL`).

NumPy arrays and `csr_array`s take the CPU path (`cpu.py`), CUDA tensors go through `triton.py`.
"""

from __future__ import annotations

import numpy as np

from optml.algorithms.kernels.linear.terms import SQUARE_DECAY, TINY, Array, Problem, Rows, Update


def scores(rows: Rows, weights: Array, problem: Problem) -> Array:
    """z of (n, d) float32 rows: (n, M * C) float32."""
    if isinstance(weights, np.ndarray):
        from optml.algorithms.kernels.linear import cpu as linear_step_cpu

        return linear_step_cpu.scores(rows, weights, problem)
    import optml.algorithms.kernels.linear.triton as on_device

    return on_device.scores(rows, weights, problem)


def gradient(rows: Rows, labels: Array, weights: Array, problem: Problem) -> tuple[Array, Array]:
    """Gradient (d + 1, M * C) float32 and losses (M,) float64, both summed over (n, d) float32 rows.

    labels: (n,) float32: the class, or what a regressor is to learn. n may be 0.
    """
    if isinstance(weights, np.ndarray):
        from optml.algorithms.kernels.linear import cpu as linear_step_cpu

        return linear_step_cpu.gradient(rows, labels, weights, problem)
    import optml.algorithms.kernels.linear.triton as on_device

    return on_device.gradient(rows, labels, weights, problem)


def update(
    weights: Array, moments: tuple[Array, ...], gradients: Array, share: float, use_bias: bool, how: Update
) -> None:
    """Move the weights against `share` times the summed gradient, in place; penalties come on top.

    All matrices (d + 1, M * C) float32. With g = share * summed + decay * w + l1 * sign(w):

        adam      m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  w <- w - rate * m / (sqrt(v) + TINY)
        sgd       s <- momentum * s + rate * g,  w <- w - s
        rmsprop   n <- KEPT n + (1 - KEPT) g^2,  w <- w - rate * g / sqrt(n + TINY)

    as in MXNet 1.3. A weight with an L1 penalty that changes its sign becomes 0 (truncated gradient,
    Langford, Li and Zhang, JMLR 2009).
    """
    if isinstance(weights, np.ndarray):
        from optml.algorithms.kernels.linear import cpu as linear_step_cpu

        linear_step_cpu.update(weights, moments, gradients, share, use_bias, how)
        return
    import optml.algorithms.kernels.linear.triton as on_device

    on_device.update(weights, moments, gradients, share, use_bias, how)


def reference_update(
    weights: np.ndarray,
    moments: tuple[np.ndarray, ...],
    gradients: np.ndarray,
    share: float,
    use_bias: bool,
    how: Update,
) -> None:
    """`update` in plain NumPy, of arrays of any precision."""
    bias = np.zeros(len(weights), bool)
    bias[-1] = True
    last = bias[:, None]
    rates = np.where(last, how.bias_rates if use_bias else 0, how.rates)
    decays = np.where(last, how.bias_decays, how.decays)
    l1 = np.where(last, 0, how.l1)
    g = share * gradients + decays * weights + l1 * np.sign(weights)
    if how.optimizer == "adam":
        mean, square = moments
        mean += (1 - how.first) * (g - mean)
        square += (1 - how.second) * (g * g - square)
        proposal = weights - rates * mean / (np.sqrt(square) + TINY)
    elif how.optimizer == "sgd":
        moments[0][:] = how.first * moments[0] + rates * g
        proposal = weights - moments[0]
    else:
        moments[0][:] = SQUARE_DECAY * moments[0] + (1 - SQUARE_DECAY) * g * g
        proposal = weights - rates * g / np.sqrt(moments[0] + TINY)
    weights[:] = np.where((l1 > 0) & (weights * proposal < 0), 0, proposal)

"""What the paths of this operation share: its terms and constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

Array: TypeAlias = Any  # np.ndarray, or a torch tensor on a CUDA device

Rows: TypeAlias = Any  # an Array, or a csr_array

# Numbered as the compiled kernels know them.
LOSSES = (
    "logistic",
    "hinge_loss",
    "softmax_loss",
    "squared_loss",
    "absolute_loss",
    "quantile_loss",
    "huber_loss",
    "eps_insensitive_squared_loss",
    "eps_insensitive_absolute_loss",
)

OPTIMIZERS = ("adam", "sgd", "rmsprop")

MOMENTS = {"adam": 2, "sgd": 1, "rmsprop": 1}  # matrices that an optimiser keeps beside the weights

FAR = (
    100.0  # most |mean / standard deviation| of rows that are multiplied as they are: 5 digits of 7 are left
)

TINY = 1e-8  # keeps adam and rmsprop from dividing by 0

SQUARE_DECAY = 0.9  # of rmsprop's mean squared gradient, a step


@dataclass(frozen=True, slots=True)
class Problem:
    """What all steps of a run have in common.

    loss, parameter:  one of LOSSES, and its margin, quantile, delta or eps.
    models, classes:  M and C.
    class_weights:    (labels, M) float32: what a row of each label counts; one row of ones for regressors.
    shift, scale:     (d,) float32.
    still:            (d,) bool, features of scaler rows that were all the same, and not 0. Sparse rows
                      leave their weights alone: their gradient is nothing but rounding.
    folded:           may dense rows be multiplied as they are?
    """

    loss: str
    parameter: float
    models: int
    classes: int
    class_weights: Array
    shift: Array
    scale: Array
    still: Array
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """What one update does to each column; vectors are (M * C,) float32, bias_rates and bias_decays too.

    rates:  learning rates, adam's correction of its start included.
    decays: L2 penalties.   l1: L1 penalties, none of the bias.
    first, second: beta_1 and beta_2 of adam, momentum (first) of sgd.
    """

    optimizer: str
    rates: Array
    decays: Array
    l1: Array
    bias_rates: Array
    bias_decays: Array
    first: float = 0.0
    second: float = 0.0

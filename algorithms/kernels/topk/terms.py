"""What the paths of this operation share: its terms and constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

Array: TypeAlias = Any  # np.ndarray, or a torch tensor on a CUDA device

SPARE = 16  # candidates beside the k that are asked for: rounding of scores may not cost a neighbour


@dataclass(frozen=True, slots=True)
class Points:
    """What is searched. values: (n, d) float32, C order, at any address.   mean: (d,) float64.
    bias: (n,) float32, -|y - mean|^2 / 2."""

    values: Array
    mean: Array
    bias: Array


def in_doubt(queries: Array, mean: Array, distances: Array, worst: Array, rounding: float) -> Array:
    """Of queries (q, d) float64: may one of the k nearest by L2 be missing from the candidates? (q,) bool.

    distances: (q,) float64 to the kth of them.   worst: (q,) the lowest score of a candidate, which no other
    point surpasses.   rounding: u, the relative error of one product of a score.

    A point within sqrt(D) of x has the score (|x'|^2 - D) / 2 + x'.m or more, up to an error of at most
    (d + 3) u |x'| |y| + u |y - m|^2 (N. Higham, "Accuracy and Stability of Numerical Algorithms", 2002,
    section 3.1), where |y| <= |x| + sqrt(D) and |y - m| <= |x'| + sqrt(D).
    """
    centred = queries - mean
    length, reach = (centred * centred).sum(1) ** 0.5, distances**0.5
    least = (length**2 - distances) / 2 + centred @ mean
    far = (queries * queries).sum(1) ** 0.5 + reach
    error = (queries.shape[1] + 3) * length * far + (length + reach) ** 2
    return least - rounding * error <= worst

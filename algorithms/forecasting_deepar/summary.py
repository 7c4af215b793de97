"""What the hosts tell each other of their training series before they make the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optml.algorithms.cluster import Cluster
from optml.algorithms.forecasting_deepar.series import Series
from optml.errors import UserError

_NOTHING = np.array([-1.0])  # packed, of a process that has nothing to learn from


@dataclass(frozen=True, slots=True)
class Summary:
    """dynamics: number of dynamic_feat.   absolute: sum of absolute values.   observations: their number.
    scaled, squares: sums of the values divided by the scale of their series, and of the squares of these.
    longest: points of the longest series.   cardinality: of each cat, the largest value and 1."""

    dynamics: int
    absolute: float
    observations: float
    scaled: float
    squares: float
    longest: int
    cardinality: tuple[int, ...]

    @classmethod
    def of(cls, series: Series, *, counts: bool) -> Summary:
        """Of the processes that have the same series only one `counts` them: the others' sums are 0."""
        scale = np.repeat(series.scales, series.lengths)[series.observed]
        values = series.target[series.observed].astype(np.float64)
        scaled = np.divide(values, scale, out=np.zeros_like(values), where=scale > 0)
        sums = np.array([np.abs(values).sum(), len(values), scaled.sum(), np.square(scaled).sum()]) * counts
        absolute, observations, total, squares = sums.tolist()
        sizes = series.cat.max(axis=0, initial=-1) + 1
        longest = int(series.lengths.max())
        dynamics = len(series.dynamic)
        return cls(dynamics, absolute, observations, total, squares, longest, tuple(sizes.tolist()))

    def pack(self) -> np.ndarray:
        """(6 + c,) float64, for the other hosts."""
        sums = self.absolute, self.observations, self.scaled, self.squares
        return np.array([self.dynamics, *sums, self.longest, *self.cardinality], np.float64)

    @classmethod
    def unpack(cls, array: np.ndarray) -> Summary:
        dynamics, absolute, observations, scaled, squares, longest = array[:6].tolist()
        cardinality = tuple(array[6:].astype(int).tolist())
        return cls(int(dynamics), absolute, observations, scaled, squares, int(longest), cardinality)

    @classmethod
    def joined(cls, parts: Sequence[Summary]) -> Summary:
        """Raises UserError where the parts are of different kinds of series."""
        if len({(part.dynamics, len(part.cardinality)) for part in parts}) != 1:
            raise UserError("the hosts' training data differ in the number of cat or dynamic_feat")
        return cls(
            dynamics=parts[0].dynamics,
            absolute=sum(part.absolute for part in parts),
            observations=sum(part.observations for part in parts),
            scaled=sum(part.scaled for part in parts),
            squares=sum(part.squares for part in parts),
            longest=max(part.longest for part in parts),
            cardinality=tuple(map(max, zip(*(part.cardinality for part in parts), strict=True))),
        )


def gather(summary: Summary | None, cluster: Cluster) -> Summary:
    """That of all hosts' series (None: a process that has nothing to learn from; one at least has). Holds a
    collective. Raises UserError as `Summary.joined`."""
    packed = cluster.gather(_NOTHING if summary is None else summary.pack())
    return Summary.joined([Summary.unpack(array) for array in packed if array[0] >= 0])

"""What hosts tell each other of their series."""

from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.forecasting_deepar.summary import Summary, gather
from optml.errors import UserError
from tests.algorithms.forecasting_deepar.sample import START, series
from tests.algorithms.hosts import on_hosts

FIRST = [
    {"start": START, "target": [1, None, -3], "cat": [0, 4]},
    {"start": START, "target": [0, 0], "cat": [2, 1]},
]
SECOND = [{"start": START, "target": [2, 2, 2, 4], "cat": [5, 0]}]


def test_the_series_of_all_hosts_are_told_of_as_those_of_one() -> None:
    whole = Summary.of(series([*FIRST, *SECOND], cats=2), counts=True)
    assert whole == Summary(0, 14, 8, -1 + 4, 2.5 + 4.48, 4, (6, 5))
    shards = [series(FIRST, cats=2), series(SECOND, cats=2), None]

    def host(cluster: object) -> Summary:
        mine = shards[cluster.rank]  # type: ignore[attr-defined]
        return gather(None if mine is None else Summary.of(mine, counts=True), cluster)  # type: ignore[arg-type]

    for joined in on_hosts(3, host):
        np.testing.assert_allclose(joined.pack(), whole.pack())


def test_of_processes_with_the_same_series_one_counts() -> None:
    one = series(SECOND, cats=2)
    summaries = [Summary.of(one, counts=rank == 0) for rank in range(2)]
    assert Summary.joined(summaries) == summaries[0]
    assert Summary.unpack(summaries[0].pack()) == summaries[0]


def test_hosts_whose_series_are_of_different_kinds_are_refused() -> None:
    parts = [Summary.of(series(SECOND, cats=2), counts=True)]
    parts.append(Summary.of(series([{"start": START, "target": [1]}]), counts=True))
    with pytest.raises(UserError, match="differ in the number of cat or dynamic_feat"):
        Summary.joined(parts)

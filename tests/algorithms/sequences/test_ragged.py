"""Sequences of any lengths: taken, cut, padded."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from optml.algorithms.sequences.ragged import Sequences

LISTS = st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=6)


def lists(some: Sequences) -> list[list[int]]:
    return [part.tolist() for part in np.split(some.ids, some.bounds[1:-1])] if len(some) else []


@given(LISTS, st.integers(1, 4), st.data())
def test_what_is_taken_cut_and_padded_is_what_lists_have(
    rows: list[list[int]], longest: int, data: st.DataObject
) -> None:
    some = Sequences.of(rows)
    assert lists(some) == rows
    assert lists(some.cut(longest)) == [row[:longest] for row in rows]
    assert lists(some.without_padding()) == [[token for token in row if token] for row in rows]
    places = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8)) if rows else []
    taken = some.take(np.array(places, np.int64))
    assert lists(taken) == [rows[place] for place in places]
    assert lists(Sequences.joined([some, taken])) == [*rows, *(rows[place] for place in places)]
    padded = some.padded(6)
    assert padded.tolist() == [[*row, *[0] * (6 - len(row))] for row in rows]
    assert padded.dtype == some.ids.dtype == np.int32

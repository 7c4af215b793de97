from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optml.algorithms.semantic_segmentation.sides import (
    MOST,
    OVERLAP,
    cuts,
    limited,
    parse_max_side,
    scaled,
    tiles,
)
from optml.errors import UserError


@given(st.integers(1, 20_000))
def test_every_pixel_is_answered_for_once_by_a_tile_that_sees_it(length: int) -> None:
    parts = cuts(length)
    covered = np.concatenate([np.arange(*part.own) for part in parts])
    assert np.array_equal(covered, np.arange(length))
    for part in parts:
        assert part.whole[0] <= part.own[0] < part.own[1] <= part.whole[1] <= length
        assert part.whole[1] - part.whole[0] <= MOST
    for one, other in itertools.pairwise(parts):
        assert one.whole[1] - other.whole[0] >= OVERLAP
        # as far from the edge of the one as from that of the other
        assert abs((one.whole[1] - one.own[1]) - (other.own[0] - other.whole[0])) <= 1
    if length > MOST:
        assert len({part.whole[1] - part.whole[0] for part in parts}) == 1


def test_pictures_up_to_the_limit_are_seen_whole() -> None:
    assert len(tiles(MOST, MOST)) == 1
    assert len(tiles(2255, 2826)) == 4


@given(st.integers(2049, 9000), st.integers(2049, 20_000))
def test_cuts_of_a_smaller_picture_cover_the_one_that_was_asked_about(length: int, asked: int) -> None:
    parts = [scaled(part, length, asked) for part in cuts(length)]
    assert np.array_equal(np.concatenate([np.arange(*part.own) for part in parts]), np.arange(asked))
    assert all(part.whole[0] <= part.own[0] and part.own[1] <= part.whole[1] for part in parts)


def test_the_longer_side_is_limited_where_the_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limited(3000, 4000) == (3000, 4000)
    monkeypatch.setenv("OPTML_MAX_SIDE", " 1000 ")
    assert limited(3000, 4000) == (750, 1000)
    assert limited(1, 4000) == (1, 1000)
    assert limited(900, 1000) == (900, 1000)


@pytest.mark.parametrize("text", ["15", "1e3", "-4", "99999"])
def test_other_limits_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="OPTML_MAX_SIDE"):
        parse_max_side(text)

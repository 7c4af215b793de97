from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optml.algorithms.ip_insights.quality import Spread, area_under_curve

SCORES = st.lists(st.integers(-5, 5), min_size=1, max_size=20)


@given(SCORES, SCORES)
def test_the_area_counts_pairs_in_order_and_half_of_equals(
    positives: list[int], negatives: list[int]
) -> None:
    wins = [(p > n) + (p == n) / 2 for p in positives for n in negatives]
    found = area_under_curve(np.array(positives, np.float32), np.array(negatives, np.float32))
    assert found == pytest.approx(np.mean(wins))


def test_without_negatives_there_is_no_area() -> None:
    assert np.isnan(area_under_curve(np.ones(3), np.empty(0)))


def test_the_threshold_gives_a_hundredth_of_usual_pairs_a_false_alarm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rng = np.random.default_rng(0)
    usual, random = rng.normal(5, 1, 10_000), rng.normal(0, 1, 10_000)
    spread = Spread.of(usual, random)
    assert (usual < spread.threshold).mean() == pytest.approx(0.01)
    assert spread.caught == (random < spread.threshold).mean() > 0.99
    again = Spread.of_array(spread.array())
    assert again.facts() == spread.facts()
    with caplog.at_level(logging.INFO, logger="optml"):
        again.announce()
    assert f"A threshold of {spread.threshold:.4g} takes 1 % of the validation channel's pairs" in caplog.text

"""Ranges: places in [0, 1] and the texts of values."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optml.local.tuning.ranges import Categorical, Continuous, Integer, Range

units = st.floats(0, 1)


@pytest.mark.parametrize(
    ("span", "texts"),
    [
        (Continuous("x", 0.0, 1.0), ["0.0", "0.5", "1.0"]),
        (Continuous("x", 0.01, 1.0, "Logarithmic"), ["0.01", "0.1", "1.0"]),
        (Continuous("x", 0.0, 0.99, "ReverseLogarithmic"), ["0.0", "0.9", "0.99"]),
        (Integer("x", 1, 3), ["1", "2", "3"]),
        (Integer("x", 1, 100, "Logarithmic"), ["1", "7", "100"]),
        (Categorical("x", ("a", "b", "c")), ["a", "b", "c"]),
    ],
)
def test_ends_and_middle_of_a_range(span: Range, texts: list[str]) -> None:
    for unit, text in zip((0.0, 0.5, 1.0), texts, strict=True):
        value = span.at(unit)
        assert value == text or float(value) == pytest.approx(float(text))


@given(units, st.floats(1e-9, 1e3), st.floats(1.001, 1e9), st.sampled_from(["Linear", "Logarithmic"]))
def test_the_place_of_a_continuous_value_comes_back(
    unit: float, low: float, factor: float, scale: str
) -> None:
    span = Continuous("x", low, low * factor, scale)  # type: ignore[arg-type]
    text = span.at(unit)
    assert low <= float(text) <= low * factor
    place = span.unit(text)
    assert place is not None
    # Linear values next to a lower end that is far from 0 have few digits left.
    assert place == pytest.approx(unit, abs=1e-6)


@given(units, st.integers(-50, 50), st.integers(1, 300))
def test_an_integer_comes_back_from_its_place(unit: float, low: int, width: int) -> None:
    scale = "Logarithmic" if low > 0 else "Linear"
    span = Integer("x", low, low + width, scale)  # type: ignore[arg-type]
    text = span.at(unit)
    place = span.unit(text)
    assert place is not None
    assert span.at(place) == text


def test_the_ends_of_integers_are_as_likely_as_what_lies_between() -> None:
    span = Integer("x", 1, 4)
    texts = [span.at((step + 0.5) / 400) for step in range(400)]
    assert [len(list(group)) for _, group in itertools.groupby(texts)] == [100] * 4


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (Continuous("x", 0.0, 1.0), "1.5"),
        (Continuous("x", 0.0, 1.0), "nan"),
        (Continuous("x", 0.0, 1.0), "many"),
        (Integer("x", 1, 9), "2.5"),
        (Categorical("x", ("a",)), "b"),
    ],
)
def test_what_is_none_of_the_range_has_no_place(span: Range, text: str) -> None:
    assert span.unit(text) is None

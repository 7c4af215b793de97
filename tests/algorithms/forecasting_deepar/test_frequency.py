"""time_freq: lags and calendar features are those of the sources, starts are read and rounded."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.algorithms.forecasting_deepar.frequency import Frequency
from optml.errors import UserError

LAGS = {
    "M": "1-7 11-13 23-25 35-37",
    "2M": "1-7 11-13 17-19",
    "W": "1-8 12 51-53 103-105 155-157",
    "D": "1-8 13-15 20-22 27-31 56 84 363-365 727-729 1091-1093",
    "H": "1-7 23-25 47-49 71-73 95-97 119-121 143-145 167-169 335-337 503-505 671-673 719-721",
    "2H": "1-7 11-13 23-25 35-37 47-49 59-61 71-73 83-85 167-169 251-253 335-337 359-361 672 1008",
    "min": "1-7 58-62 118-122 178-182",
    "5min": "1-7 10-14 22-26 34-38 287-289 575-577 863-865 1151-1153",
    "15min": "1-14 95-97 191-193 287-289 383-385 479-481 575-577 671-673",
}


@pytest.mark.parametrize(("text", "listed"), LAGS.items())
def test_lags_are_those_of_gluonts(text: str, listed: str) -> None:
    expected: list[int] = []
    for part in listed.split():
        low, _, high = part.partition("-")
        expected += range(int(low), int(high or low) + 1)
    assert Frequency.parse(text).lags.tolist() == expected


@pytest.mark.parametrize(
    ("text", "unit", "step"),
    [
        ("H", "H", 60),
        ("1D", "D", 1440),
        ("h", "H", 60),
        ("T", "min", 1),
        ("15min", "min", 15),
        ("3ME", "M", 3),
    ],
)
def test_units_their_multiples_and_aliases(text: str, unit: str, step: int) -> None:
    frequency = Frequency.parse(text)
    assert (frequency.unit, frequency.step) == (unit, step)


@pytest.mark.parametrize("text", ["", "S", "0H", "B", "H2", "-1D", "Q", "1.5H", "MIN", "9999999H"])
def test_other_units_are_refused_with_the_list(text: str) -> None:
    with pytest.raises(UserError, match="one of M, W, D, H, min"):
        Frequency.parse(text)


@settings(deadline=None)
@given(st.datetimes(datetime.datetime(1901, 1, 1), datetime.datetime(2199, 12, 31)))
def test_features_agree_with_the_calendar(moment: datetime.datetime) -> None:
    expected = {
        "minute_of_hour": moment.minute / 59,
        "hour_of_day": moment.hour / 23,
        "day_of_week": moment.weekday() / 6,
        "day_of_month": (moment.day - 1) / 30,
        "day_of_year": (moment.timetuple().tm_yday - 1) / 365,
        "week_of_year": (moment.isocalendar().week - 1) / 52,
        "month_of_year": (moment.month - 1) / 11,
    }
    for text in ("min", "H", "D", "W", "M"):
        frequency = Frequency.parse(text)
        place, _ = frequency.rounded(np.datetime64(moment))
        values = frequency.features(np.array([place]))[0]
        np.testing.assert_allclose(values, [expected[name] - 0.5 for name in frequency.names], atol=1e-6)


@pytest.mark.parametrize(
    ("text", "cycles"),
    [
        ("H", [24, 168, 744, 8784]),
        ("15min", [4, 96, 672, 2976, 35136]),
        ("D", [7, 31, 366]),
        ("W", [31 / 7, 53]),
        ("3M", [4]),
    ],
)
def test_cycles_of_features_in_points(text: str, cycles: list[float]) -> None:
    assert Frequency.parse(text).cycles.tolist() == cycles


def test_a_start_is_rounded_down_to_the_unit() -> None:
    hourly = Frequency.parse("H")
    assert hourly.moment("1970-01-01 01:17:00") == (60, True)
    assert hourly.moment("1970-01-02") == (1440, False)
    assert Frequency.parse("M").moment("1971-02-03") == (13, True)
    assert Frequency.parse("W").moment("1970-01-02T00:00:00") == (1440, False)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2016-01-01 00:00:00Z", "time zone"),
        ("2016-01-01 00:00:00+02:00", "time zone"),
        ("01.02.2016", "YYYY-MM-DD"),
        ("2016-02-30", "out of range"),
        ("", "YYYY-MM-DD"),
    ],
)
def test_a_start_that_is_none_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Frequency.parse("H").moment(text)


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_a_moment_or_a_value_error(text: str) -> None:
    try:
        moment, _ = Frequency.parse("H").moment(text)
    except ValueError:
        return
    assert moment % 60 == 0

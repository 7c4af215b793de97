"""`time_freq`: the lags and calendar features that a network gets of a frequency, and the arithmetic of time.

A moment is an int64: minutes since 1970-01-01 or, of monthly series, months since January 1970.
Lags and features are those of GluonTS, whose authors are those of DeepAR.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from optml.errors import UserError

UNITS = ("M", "W", "D", "H", "min")
_MINUTES = {"min": 1, "H": 60, "D": 1440, "W": 10080}
_ALIASES = {"h": "H", "T": "min", "ME": "M"}
_TEXT = re.compile(r"([0-9]{0,6})\s*([A-Za-z]+)")
_START = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?")
_ZONE = re.compile(r"(Z|UTC|[+-]\d\d:?\d\d)$", re.IGNORECASE)
LARGEST_LAG = 1200

# Name, and the number of values less one: index / size - 0.5 lies in [-0.5, 0.5].
FEATURES = {
    "min": (
        ("minute_of_hour", 59),
        ("hour_of_day", 23),
        ("day_of_week", 6),
        ("day_of_month", 30),
        ("day_of_year", 365),
    ),
    "H": (("hour_of_day", 23), ("day_of_week", 6), ("day_of_month", 30), ("day_of_year", 365)),
    "D": (("day_of_week", 6), ("day_of_month", 30), ("day_of_year", 365)),
    "W": (("day_of_month", 30), ("week_of_year", 52)),
    "M": (("month_of_year", 11),),
}
# How long each takes to go through its values, in minutes or (of the last) months.
_CYCLES = {
    "minute_of_hour": 60,
    "hour_of_day": 1440,
    "day_of_week": 7 * 1440,
    "day_of_month": 31 * 1440,
    "week_of_year": 53 * 7 * 1440,
    "day_of_year": 366 * 1440,
    "month_of_year": 12,
}


@dataclass(frozen=True)
class Frequency:
    """`multiple` units between two points of a series."""

    unit: str
    multiple: int = 1

    @classmethod
    def parse(cls, text: str) -> Frequency:
        """Read "H", "2H", "15min". Raises UserError that lists the units."""
        match = _TEXT.fullmatch(text.strip())
        unit = _ALIASES.get(match[2], match[2]) if match else ""
        multiple = int(match[1] or 1) if match else 0
        if unit not in UNITS or not multiple:
            raise UserError(
                f"time_freq='{text}' is unknown: expected one of {', '.join(UNITS)} (month, week, day, hour, "
                "minute), with a whole number before it or none, as in H, 2H or 15min"
            )
        return cls(unit, multiple)

    @property
    def step(self) -> int:
        """From one point to the next, in minutes; of monthly series, in months."""
        return self.multiple * _MINUTES.get(self.unit, 1)

    @cached_property
    def names(self) -> list[str]:
        return [name for name, _ in FEATURES[self.unit]]

    @cached_property
    def cycles(self) -> np.ndarray:
        """(f,) float64: how many points each feature takes to go through its values."""
        return np.array([_CYCLES[name] for name in self.names]) / self.step

    @cached_property
    def lags(self) -> np.ndarray:
        """(l,) int64, ascending: how far back the targets lie that are inputs of a step."""
        n = self.multiple
        # units of this frequency in an hour, a day, a week: cycles at that length and below are left out
        in_unit = {"min": (60, 1440, 10080), "H": (1, 24, 168), "D": (0, 1, 7), "W": (0, 0, 1)}
        lags: list[int] = list(range(1, 8))

        def around(middle: int, width: int) -> None:
            lags.extend(lag for lag in range(middle - width, middle + width + 1) if lag > 7)

        if self.unit == "M":
            for k in (1, 2, 3):
                around(12 * k // n, 1)
        else:
            hour, day, week = in_unit[self.unit]
            if self.unit == "min":
                for k in (1, 2, 3):
                    around(60 * k // n, 2)
            if hour:
                for k in range(1, 8):
                    around(24 * k * hour // n, 1)
            if day:
                for k in range(1, 5):
                    around(7 * k * day // n, 1)
                around(30 * day // n, 1)
            for k in (1, 2, 3):
                around(52 * k * week // n, 1)
            for k in (4, 8, 12):
                around(k * week // n, 0)
        return np.array(sorted({lag for lag in lags if lag <= LARGEST_LAG}), np.int64)

    def moment(self, text: str) -> tuple[int, bool]:
        """Read a start, and round it down to the unit; was that necessary? Raises ValueError, saying why."""
        if not _START.fullmatch(text):
            if _ZONE.search(text):
                raise ValueError("it has a time zone; leave that out")
            raise ValueError("expected YYYY-MM-DD HH:MM:SS")
        return self.rounded(np.datetime64(text.replace(" ", "T")))  # which refuses a 30th of February

    def rounded(self, moment: np.datetime64) -> tuple[int, bool]:
        unit = {"M": "M", "W": "D", "D": "D", "H": "h", "min": "m"}[self.unit]
        down = moment.astype(f"M8[{unit}]")
        minutes = down if self.unit == "M" else down.astype("M8[m]")
        return int(minutes.astype(np.int64)), bool(down != moment)

    def features(self, moments: np.ndarray) -> np.ndarray:
        """(..., f) float32 in [-0.5, 0.5] of (...) moments, in the order of `names`."""
        values = _calendar(self.unit, moments)
        out = np.empty((*moments.shape, len(values)), np.float32)
        for place, (value, (_, size)) in enumerate(zip(values, FEATURES[self.unit], strict=True)):
            out[..., place] = value / size - 0.5
        return out


def _calendar(unit: str, moments: np.ndarray) -> list[np.ndarray]:
    """Indices from 0 on."""
    if unit == "M":
        return [moments % 12]
    days = moments // 1440
    weekday = (days + 3) % 7  # 1970 began on a Thursday; Monday is 0
    date = days.astype("M8[D]")
    day_of_month = days - date.astype("M8[M]").astype("M8[D]").astype(np.int64)
    if unit == "W":
        thursday = days - weekday + 3  # lies in the year to which ISO counts its week
        return [day_of_month, (thursday - _new_year(thursday)) // 7]
    dates = [weekday, day_of_month, days - _new_year(days)]
    if unit == "D":
        return dates
    hour = moments // 60 % 24
    return [hour, *dates] if unit == "H" else [moments % 60, hour, *dates]


def _new_year(days: np.ndarray) -> np.ndarray:
    return days.astype("M8[D]").astype("M8[Y]").astype("M8[D]").astype(np.int64)

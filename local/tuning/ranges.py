"""The ranges that hyperparameters are varied in, and the texts of their values.

Every range is a map of [0, 1], in which searches move, onto the texts that jobs are handed. `at` and `unit`
are each other's inverse up to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Scale = Literal["Linear", "Logarithmic", "ReverseLogarithmic"]


@dataclass(frozen=True, slots=True)
class Continuous:
    """Numbers from `low` to `high`, both included; low < high."""

    name: str
    low: float
    high: float
    scale: Scale = "Linear"

    def at(self, unit: float) -> str:
        """The text of the value at a place in [0, 1]; the ends are met exactly."""
        if unit in (0.0, 1.0):
            return repr(self.high if unit else self.low)
        low, high = self._scaled(self.low), self._scaled(self.high)
        scaled = low + unit * (high - low)
        value = {
            "Linear": lambda: scaled,
            "Logarithmic": lambda: math.exp(scaled),
            "ReverseLogarithmic": lambda: 1.0 - math.exp(-scaled),
        }[self.scale]()
        return repr(min(max(value, self.low), self.high))

    def unit(self, text: str) -> float | None:
        """The place of a value in [0, 1]; None: it is no number of the range."""
        value = _number(text)
        if value is None or not self.low <= value <= self.high:
            return None
        low, high = self._scaled(self.low), self._scaled(self.high)
        return min(max((self._scaled(value) - low) / (high - low), 0.0), 1.0)

    def _scaled(self, value: float) -> float:
        if self.scale == "Logarithmic":
            return math.log(value)
        if self.scale == "ReverseLogarithmic":
            return -math.log1p(-value)
        return value


@dataclass(frozen=True, slots=True)
class Integer:
    """Integers from `low` to `high`, both included; low < high. Each has the stretch of the scale from half
    below it to half above it, so that the ends are as likely as their neighbours."""

    name: str
    low: int
    high: int
    scale: Literal["Linear", "Logarithmic"] = "Linear"

    def at(self, unit: float) -> str:
        low, high = self._scaled(self.low - 0.5), self._scaled(self.high + 0.5)
        scaled = low + unit * (high - low)
        value = round(math.exp(scaled) if self.scale == "Logarithmic" else scaled)
        return str(min(max(value, self.low), self.high))

    def unit(self, text: str) -> float | None:
        value = _number(text)
        if value is None or not value.is_integer() or not self.low <= value <= self.high:
            return None
        low, high = self._scaled(self.low - 0.5), self._scaled(self.high + 0.5)
        return (self._scaled(value) - low) / (high - low)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.scale == "Logarithmic" else value


@dataclass(frozen=True, slots=True)
class Categorical:
    """Texts, in no order."""

    name: str
    values: tuple[str, ...]

    def at(self, unit: float) -> str:
        return self.values[min(int(unit * len(self.values)), len(self.values) - 1)]

    def unit(self, text: str) -> float | None:
        """The middle of the value's stretch; None: it is none of the values."""
        return (self.values.index(text) + 0.5) / len(self.values) if text in self.values else None


Range = Continuous | Integer | Categorical


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None

"""The ParameterRanges of a request, read and held against what the algorithm takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

from optml.errors import nearest
from optml.local.tuning.ranges import Categorical, Continuous, Integer, Range, Scale
from optml.local.tuning.tables import Field, Table

# Where a range of this many times its lower end is given without a scale, its logarithm is what varies.
WIDE = 100
WIDE_INTEGER = 1000


def read(
    content: Mapping[str, Any], static: Mapping[str, str], table: Table | None, image: str
) -> tuple[list[Range], list[str], list[str]]:
    """(ranges, what is wrong with them, what the user should hear of). Ranges of a single value are among
    them; the caller makes them static."""
    ranges: list[Range] = []
    problems: list[str] = []
    notices: list[str] = []
    for kind in ("Integer", "Continuous", "Categorical"):
        for entry in content.get(f"{kind}ParameterRanges") or ():
            name = entry["Name"]
            field = table.fields.get(name) if table else None
            try:
                span = _range(kind, entry, field)
                if name in static:
                    raise ValueError("is both static and tuned: remove it from one of them")
                if any(other.name == name for other in ranges):
                    raise ValueError("has two ranges: remove one")
                if table is not None and field is None and not table.open:
                    raise ValueError(f"is none of [{image}]{nearest(name, table.fields, otherwise='known')}")
                if field is not None:
                    _check(span, field)
            except ValueError as error:
                problems.append(f"The hyperparameter [{name}] {error}.")
                continue
            if field is not None and not field.tunable:
                notices.append(
                    f"AWS does not tune {name} of {table.slug if table else image}; here it is tuned"
                )
            chosen = getattr(span, "scale", None)
            if chosen not in (None, "Linear") and entry.get("ScalingType", "Auto") == "Auto":
                notices.append(f"{name}: ScalingType Auto is taken as {chosen}")
            ranges.append(span)
    return ranges, problems, notices


def automatic(low: float, high: float, *, integer: bool, field: Field | None) -> Scale:
    """What ScalingType Auto means for a range: the scale of the algorithm's own tuning table, where it names
    one that the range allows; else by how wide the range is."""
    if field is not None and field.scale is not None and not _misfit(field.scale, low, high, integer=integer):
        return field.scale
    if low > 0 and high / low >= (WIDE_INTEGER if integer else WIDE):
        return "Logarithmic"
    if not integer and low >= 0 and high < 1 and (1 - low) / (1 - high) >= WIDE:
        return "ReverseLogarithmic"
    return "Linear"


def _range(kind: str, entry: Mapping[str, Any], field: Field | None) -> Range:
    """Raises ValueError."""
    name = entry["Name"]
    if kind == "Categorical":
        values = tuple(entry["Values"])
        if len(set(values)) < len(values):
            raise ValueError("has a value twice")
        return Categorical(name, values)
    integer = kind == "Integer"
    low, high = (_number(entry[end], end, integer=integer) for end in ("MinValue", "MaxValue"))
    if low > high:
        raise ValueError(f"has MinValue {entry['MinValue']} above MaxValue {entry['MaxValue']}")
    scale = entry.get("ScalingType") or "Auto"
    if scale == "Auto":
        scale = automatic(low, high, integer=integer, field=field)
    elif misfit := _misfit(scale, low, high, integer=integer):
        raise ValueError(misfit)
    if integer:
        return Integer(name, int(low), int(high), "Logarithmic" if scale == "Logarithmic" else "Linear")
    return Continuous(name, low, high, cast(Scale, scale))


def _misfit(scale: str, low: float, high: float, *, integer: bool) -> str | None:
    """Why a scale does not do for a range."""
    if scale == "Logarithmic" and low <= 0:
        return f"has ScalingType Logarithmic, which takes values above 0, and MinValue {low:g}"
    if scale == "ReverseLogarithmic" and integer:
        return "has ScalingType ReverseLogarithmic, which is for continuous ranges only"
    if scale == "ReverseLogarithmic" and not (low >= 0 and high < 1):
        return (
            f"has ScalingType ReverseLogarithmic, which takes 0 <= x < 1, and the range {low:g} to {high:g}"
        )
    return None


def _number(text: str, end: str, *, integer: bool) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (integer and not value.is_integer()):
        raise ValueError(f"has {end} '{text}', which is not {'an integer' if integer else 'a number'}")
    return value


def _check(span: Range, field: Field) -> None:
    """Does the algorithm take what the range holds? Raises ValueError that says what it takes."""
    if isinstance(span, Categorical):
        wrong = [value for value in span.values if not _takes(field, value)]
        if wrong:
            raise ValueError(f"does not take '{wrong[0]}': it is {_domain(field)}")
        return
    if field.kind not in ("Integer", "Continuous"):
        raise ValueError(f"cannot have a range of numbers: it is {_domain(field)}")
    if isinstance(span, Continuous) and field.kind == "Integer":
        raise ValueError("takes integers: give it in IntegerParameterRanges")
    for value in (span.low, span.high):
        if not _takes(field, str(value)):
            raise ValueError(f"does not take {value:g}: it is {_domain(field)}")


def _takes(field: Field, text: str) -> bool:
    if field.kind == "FreeText" or text.strip('"').lower() in (value.lower() for value in field.values):
        return True
    if field.kind == "Categorical":
        return False
    try:
        value = _number(text.strip('"'), "", integer=field.kind == "Integer")
    except ValueError:
        return False
    above = field.low is None or value > field.low or (value == field.low and not field.low_open)
    below = field.high is None or value < field.high or (value == field.high and not field.high_open)
    return above and below


def _domain(field: Field) -> str:
    if field.kind == "Categorical":
        return f"one of {', '.join(field.values)}"
    parts = [
        "an integer" if field.kind == "Integer" else "a number" if field.kind == "Continuous" else "text"
    ]
    if field.low is not None:
        parts.append(f"{'>' if field.low_open else '>='} {field.low:g}")
    if field.high is not None:
        parts.append(f"{'<' if field.high_open else '<='} {field.high:g}")
    return " ".join(parts)

"""Autotune: ranges for who gives none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optml.errors import UserError
from optml.local.tuning.tables import Field, Table

JOBS = 100  # where the request names no limit
FACTOR = 10  # around the hint of a number of which nothing else is known


def ranges(content: Mapping[str, Any], static: Mapping[str, str], table: Table | None) -> dict[str, Any]:
    """The ParameterRanges of the request, with those that Autotune chooses: of each of the AutoParameters,
    and where the request has no range at all, of all that the algorithm's tuning table recommends and that
    are not static.

    Raises UserError for a name whose range nothing tells.
    """
    kinds = ("Integer", "Continuous", "Categorical")
    chosen: dict[str, Any] = {
        f"{kind}ParameterRanges": list(content.get(f"{kind}ParameterRanges") or ()) for kind in kinds
    }
    auto = list(content.get("AutoParameters") or ())
    fields = table.fields if table else {}
    if not auto and not any(chosen.values()):
        auto = [
            {"Name": name, "ValueHint": ""}
            for name, field in fields.items()
            if name not in static and (field.span or field.choices)
        ]
    for entry in auto:
        name, hint = entry["Name"], entry["ValueHint"]
        field = fields.get(name)
        known = field is not None and (field.span or field.choices)
        kind, span = _of_table(name, field) if field is not None and known else _of_hint(name, hint)
        chosen[f"{kind}ParameterRanges"].append(span)
    return chosen


def _of_table(name: str, field: Field) -> tuple[str, dict[str, Any]]:
    if field.choices:
        return "Categorical", {"Name": name, "Values": list(field.choices)}
    assert field.span is not None
    low, high = (str(end) for end in field.span)
    return field.kind, {"Name": name, "MinValue": low, "MaxValue": high, "ScalingType": "Auto"}


def _of_hint(name: str, hint: str) -> tuple[str, dict[str, Any]]:
    """A power of ten to both sides of a positive number."""
    text = hint.strip().strip('"')
    if text.lower() in ("true", "false"):
        return "Categorical", {"Name": name, "Values": ["true", "false"]}
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if value <= 0:
        raise UserError(
            f"Autotune knows no range for the hyperparameter [{name}] from the hint '{hint}': give one."
        )
    if text.isdecimal():
        low, high = str(max(1, int(value) // FACTOR)), str(int(value) * FACTOR)
        return "Integer", {"Name": name, "MinValue": low, "MaxValue": high, "ScalingType": "Logarithmic"}
    low, high = str(value / FACTOR), str(value * FACTOR)
    return "Continuous", {"Name": name, "MinValue": low, "MaxValue": high, "ScalingType": "Logarithmic"}

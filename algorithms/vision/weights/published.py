"""The table of published weights (`published.json`): what there is, where, of which network, under which
licence.

sha256: of the file, or as many of its first digits as its publisher says (torchvision: eight, in the name);
"" where nobody says.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from optml.algorithms.vision.architecture import Architecture
from optml.errors import UserError

TABLE = Path(__file__).with_name("published.json")


@dataclass(frozen=True, slots=True)
class Published:
    """architecture: None for what is no residual network."""

    name: str
    url: str
    sha256: str
    licence: str
    scaling: str
    about: str
    architecture: Architecture | None = None


@cache
def table() -> tuple[Published, ...]:
    return tuple(map(_entry, json.loads(TABLE.read_text())))


def _entry(row: dict[str, Any]) -> Published:
    network = row.pop("architecture", None)
    return Published(**row, architecture=Architecture(**network) if network else None)


def get(name: str) -> Published:
    """Raises UserError naming the nearest."""
    names = [entry.name for entry in table()]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise UserError(f"there are no published weights '{name}'; {hint}known are {', '.join(names)}")
    return table()[names.index(name)]


def of(depth: int, layout: str = "post") -> str:
    """The name of the first weights of a residual network of that depth, if possible of that layout."""
    fitting = [entry for entry in table() if entry.architecture and entry.architecture.depth == depth]
    fitting.sort(key=lambda entry: entry.architecture is not None and entry.architecture.layout != layout)
    return fitting[0].name if fitting else table()[0].name

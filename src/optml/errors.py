"""Whose fault an error is. `container/errors.py` turns the kind into a failure file and an exit code,
`serving/app.py` into an HTTP status."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any


class UserError(Exception):
    """The input is wrong and the user can mend it: the message says what, where, what was expected, and how.

    One message may list several problems, one per line. It never holds a traceback.
    """


class PlatformError(Exception):
    """The surroundings are wrong: a directory that can't be written, a host that never came, no memory."""


def shown(value: Any) -> str:
    """A value of somebody's JSON, for a message: of 60 characters at most, whatever it is."""
    try:
        text = json.dumps(value)
    except RecursionError:  # parsers read deeper lists than writers write
        return "lists too deep to be shown"
    except (TypeError, ValueError):  # not of JSON: NumPy's numbers, dates of Parquet
        text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def nearest(word: str, among: Iterable[str], otherwise: str = "") -> str:
    """The end of a message about a word that is none of these: `; did you mean 'x'?`. Where none is near, a
    list of all behind `otherwise`, or nothing."""
    names = list(among)
    near = difflib.get_close_matches(word.lower(), names, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; {otherwise}: {', '.join(names)}" if otherwise else ""

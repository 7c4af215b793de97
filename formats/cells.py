"""A cell of a table of texts: a number, a value that is missing, or a word."""

from __future__ import annotations

import math

# What stands for a missing value, in lower case: a closed list, for a word that is taken for one by mistake
# goes unnoticed. Each is what some program writes:
MISSING = frozenset({
    "",  # nearly all
    "nan", "-nan", "<na>",  # NumPy, C, pandas
    "na",  # R
    "n/a", "#n/a", "#na", "#n/a n/a",  # people, and Excel where it found nothing
    "null", "none",  # SQL, JSON, Python
    "\\n",  # Hive, MySQL, PostgreSQL, Redshift, Athena
    "?",  # the sets of the UCI repository
    "-", "--",  # reports and spreadsheets
    ".",  # SAS, Stata
    "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan",  # the C of Windows, for NaN
})  # fmt: skip

# The same as files spell them, for readers that compare letter by letter; also after a blank.
SPELLINGS = tuple(
    sorted({
        blank + spelling
        for word in MISSING
        for spelling in (word, word.upper(), word.capitalize(), "NaN", "-NaN", "#N/A N/A")
        for blank in ("", " " * bool(spelling))  # a line of a blank alone is no row
    })
)  # fmt: skip


def is_missing(cell: str) -> bool:
    return cell.strip().lower() in MISSING


def number(cell: str) -> float | None:
    """The number that a cell holds, NaN for a missing value, None for a word."""
    cell = cell.strip()
    try:
        if "_" not in cell and cell.isascii():  # Python's own liberties
            return float(cell)
    except ValueError:
        pass
    return math.nan if cell.lower() in MISSING else None


def shown(text: str) -> str:
    """A cell as an error message shows it."""
    text = text.strip()
    return text if len(text) <= 40 else text[:37] + "..."

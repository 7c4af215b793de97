"""The columns of a table by name: files whose columns stand in another order are one table all the same."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from optml.errors import UserError


class ColumnOrder:
    """The columns of a table, in their order. Where no names are handed over, the first that are seen hold.

    names:  of all columns, labels too; None as long as no file has named any.
    source: where they were read, for messages.
    """

    def __init__(self, names: Sequence[str] | None = None, source: str = "") -> None:
        self.names = None if names is None else tuple(names)
        self.source = source

    def order(self, names: Sequence[str], source: str) -> list[int] | None:
        """The places, among the columns of a file, of those of the table; None: as they stand.

        Raises UserError naming the column that one of them lacks, or that cannot be told from another.
        """
        if self.names is None:
            self.names, self.source = tuple(names), source
        if tuple(names) == self.names:
            return None
        self._require(names, self.names, source, self.source)
        self._require(self.names, names, self.source, source)
        for name in names:
            if names.count(name) > 1:
                raise UserError(
                    f"{source} has its columns in another order than {self.source}, and several are called "
                    f"'{name}': give each a name of its own"
                )
        places = {name: place for place, name in enumerate(names)}
        return [places[name] for name in self.names]

    @staticmethod
    def _require(names: Sequence[str], others: Sequence[str], source: str, other: str) -> None:
        lacking = next((name for name in others if name not in names), None)
        if lacking is not None:
            near = get_close_matches(lacking, names, n=1)
            raise UserError(
                f"{source} has no column '{lacking}', which {other} has"
                + (f" ('{near[0]}' is the nearest that it has)" if near else "")
                + "; columns go by name, and both must have the same, in any order"
            )

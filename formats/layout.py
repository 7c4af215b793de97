"""How the columns of a table divide into labels and features."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from optml.errors import UserError
from optml.formats.column_order import ColumnOrder
from optml.formats.content_type import ContentType

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Layout:
    """What a reader is told of the records it will find.

    width:      number of features of every record; None: as many as the first record has.
    label_size: leading label columns of a text or Parquet table; None: found by comparing the number of
                columns with `width` (equal: none; one more: one, with a warning). RecordIO and JSON name
                their labels, so there it counts only as 0: leave labels out.
    trained:    `width` is that of a trained model, not of data to come.
    counted:    the record that `width` was counted in, where no hyperparameter says it.
    columns:    their names, by which a table that names its own is put in order; None: each as it stands.
    """

    width: int | None = None
    label_size: int | None = None
    trained: bool = False
    counted: str | None = None
    columns: ColumnOrder | None = None

    def order(self, names: Sequence[str], source: str) -> list[int] | None:
        """The places of the columns in a table that names them so; None: as they stand."""
        return None if self.columns is None else self.columns.order(names, source)

    def of(self, content_type: ContentType) -> Layout:
        """This layout where the content type does not say otherwise by its own `label_size`."""
        return replace(self, label_size=content_type.number("label_size", self.label_size))

    def labels_among(self, columns: int, where: str) -> int:
        """The number of leading label columns of a table of so many columns.

        Raises UserError, naming `where` ("row 17 of train/a.csv"), if they do not fit `width`.
        """
        if self.label_size is not None:
            labels = self.label_size
        elif self.width is not None and columns == self.width + 1:
            labels = 1
            _warn_of_label(self.width)
        else:
            labels = 0
        if columns <= labels or (self.width is not None and columns - labels != self.width):
            raise self.mismatch(columns, where)
        return labels

    def mismatch(self, columns: int, where: str) -> UserError:
        """The error for a row of a table that holds the wrong number of columns."""
        labels = self.label_size or 0
        if self.width is None:
            return UserError(
                f"{where} has {_values(columns)}; with label_size={labels} that leaves no feature"
            )
        if labels:
            return UserError(
                f"{self._expected} but {where} has {_values(columns)}, {labels} of them "
                f"labels (label_size={labels}); {self.width + labels} were expected"
                + ("; without labels use label_size=0" if columns == self.width else "")
            )
        fix = (
            "with a label column use content type text/csv;label_size=1"
            if columns == self.width + 1
            else "send as many, in the order of the training data"
            if self.trained
            else "every row must have as many"
            if self.counted
            else f"mend the row, or set feature_dim to {columns} if all rows are like it"
        )
        return UserError(f"{self._expected} but {where} has {_values(columns)}; {fix}")

    def check(self, width: int, where: str) -> None:
        """Refuse a record whose features, labels not counted, are not as many as they should be."""
        if self.width is not None and width != self.width:
            raise UserError(
                f"{self._expected} but {where} has {_values(width)}; every record must have {self.width}"
            )

    @property
    def _expected(self) -> str:
        if self.trained:
            return f"the model was trained with {_features(self.width)}"
        if self.counted:
            return f"{self.counted} has {_features(self.width)}"
        return f"feature_dim is {self.width}"


def _features(count: int | None) -> str:
    return f"{count} feature" if count == 1 else f"{count} features"


def _values(count: int) -> str:
    return f"{count} value" if count == 1 else f"{count} values"


@lru_cache(maxsize=64)  # once a process, not once a file
def _warn_of_label(width: int) -> None:
    log.warning(
        "rows have one column more than feature_dim=%d: the first column is taken as a label and left out; "
        "say text/csv;label_size=1 or text/csv;label_size=0 to be explicit",
        width,
    )

"""Checks of decoded records that not every algorithm wants."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from optml.errors import UserError
from optml.formats.records import Records

_NAMED = 3  # bad values that one message names


def check_finite(records: Records, *, what: str = "feature", missing: bool = False) -> None:
    """Refuse NaN and infinity among the features.

    Raises UserError naming the first bad values by record and column, features counted from 1; `what` is what
    a column is called. missing: NaN is a value that is missing, and passes.
    """
    features = records.features
    values = features.data if isinstance(features, csr_array) else features
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(values)):  # one pass and no copy; the sum of finite values rarely overflows
            return
    places = np.flatnonzero((np.isinf(values) if missing else ~np.isfinite(values)).ravel())
    if not len(places):
        return
    problems = []
    for place in places[:_NAMED].tolist():
        if isinstance(features, csr_array):
            row = int(np.searchsorted(features.indptr, place, side="right")) - 1
            column = int(features.indices[place])
            value = float(values[place])
        else:
            row, column = divmod(place, records.width)
            value = float(values[row, column])
        sign = "-" if value < 0 else ""
        name = f"{sign}infinity (or a number beyond float32)"
        if np.isnan(value):
            name = "NaN, a missing value (as are an empty cell, NA and the like),"
        problems.append(f"{records.where(row)} holds {name} in {what} {column + 1}")
    if len(places) > _NAMED:
        problems.append(f"and {len(places) - _NAMED} more values of this block are not finite")
    takes = "" if missing else "this algorithm takes none: "
    problems[-1] += f"; {takes}remove such records or fill in numbers"
    raise UserError("\n".join(problems))

"""How records become part of `Series`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from optml.algorithms.forecasting_deepar.frequency import Frequency
from optml.algorithms.forecasting_deepar.series import Series
from optml.errors import UserError, shown
from optml.formats.documents import Long

FIELDS = ("start", "target", "cat", "dynamic_feat")
ONE_A_LINE = "one object a line is expected, not an array or an object over several lines"
ALIKE = 0.75  # share of two names' letters from which one is taken for a slip of the other
NAN_WORDS = {"nan"}
LARGEST = float(np.finfo(np.float32).max)
_NUMBERS = {int, float, type(None)}


class Builder:
    """Collects records into `Series`.

    cats, dynamics: how many there must be; None: as many in all records as in the first.
    ignored: fields of these two that may be there and are not looked at.
    future:  slots behind each target. Then dynamic_feat must reach over them; otherwise it may.
    empty:   may a target be empty?
    """

    def __init__(
        self,
        frequency: Frequency,
        *,
        cats: int | None = None,
        dynamics: int | None = None,
        cardinality: Sequence[int] | None = None,
        horizon: int = 1,
        future: int = 0,
        empty: bool = False,
        ignored: Collection[str] = (),
    ) -> None:
        self.frequency = frequency
        self.cats = cats
        self.dynamics = dynamics
        self.cardinality = cardinality
        self.horizon = horizon
        self.future = future
        self.empty = empty
        self.ignored = ignored
        self.rounded = 0  # starts that had to be rounded down
        self._starts: list[int] = []
        self._moments: dict[str, tuple[int, bool]] = {}  # of the last start that was a text
        self._targets: list[np.ndarray] = []
        self._cats: list[int] = []
        self._dynamics: list[np.ndarray] = []
        # Where the first record was, if it decides what all have.
        self._first: Callable[[], str] | None = None
        self._lacking: set[str] = set()  # and the fields that it lacks
        self._gap = np.full(future, np.nan, np.float32)

    def __len__(self) -> int:
        return len(self._starts)

    def add(self, record: Any, where: Callable[[], str]) -> None:
        """One record: an object with start, target, cat, dynamic_feat. Raises UserError, which `where` it was
        begins."""
        self._first = self._first or where
        try:
            self._add(record)
        except _LackingError as error:
            raise UserError(
                f'{self._first()}: "{error}" is missing, but {where()} has it: every series needs it, or none'
            ) from None
        except ValueError as error:
            raise UserError(f"{where()}: {error}") from None

    def _add(self, record: Any) -> None:
        if not isinstance(record, Mapping):
            hint = f"; {ONE_A_LINE}" if isinstance(record, list) else ""
            raise ValueError(f'expected an object with "start" and "target", not {shown(record)}{hint}')
        slip = misnamed(record, self.ignored)
        if slip:
            raise ValueError(slip)
        start = self._start(record.get("start"))
        target = self._target(record.get("target"))
        cat = self._cat(record)
        dynamic = self._dynamic(record, len(target))
        self._starts.append(start)
        self._targets += [target, self._gap] if self.future else [target]
        self._cats += cat
        if self.dynamics:
            self._dynamics.append(dynamic)

    def series(self) -> Series:
        size = [0, *(len(target) + self.future for target in self._targets[:: 2 if self.future else 1])]
        if self._dynamics:
            dynamic = np.concatenate(self._dynamics, axis=1)
        else:
            dynamic = np.empty((self.dynamics or 0, sum(size)), np.float32)
        return Series(
            self.frequency,
            np.array(self._starts, np.int64),
            np.cumsum(size, dtype=np.int64),
            np.concatenate([*self._targets, np.empty(0, np.float32)]),
            np.array(self._cats, np.int64).reshape(len(self), self.cats or 0),
            dynamic,
            self.future,
        )

    def _start(self, start: Any) -> int:
        if start is None:
            raise ValueError('"start" is missing')
        try:
            if isinstance(start, np.datetime64):
                moment, rounded = self.frequency.rounded(start)
            elif isinstance(start, str):
                if start not in self._moments:  # many series begin together
                    self._moments = {start: self.frequency.moment(start.strip())}
                moment, rounded = self._moments[start]
            else:
                raise ValueError("expected text, YYYY-MM-DD HH:MM:SS")
        except ValueError as error:
            raise ValueError(f'"start" is {shown(start)}: {error}') from None
        self.rounded += rounded
        return moment

    def _target(self, target: Any) -> np.ndarray:
        target = _short(target, '"target"')
        if not isinstance(target, list | np.ndarray):
            raise ValueError(f'"target" must be a list of numbers, not {shown(target)}')
        values = numbers(target, '"target"')
        if not len(values) and not self.empty:
            raise ValueError('"target" is empty')
        return values

    def _cat(self, record: Mapping[str, Any]) -> list[int]:
        cat = record.get("cat")
        if isinstance(cat, np.ndarray):  # numbers of Parquet that are not stored as whole ones
            cat = cat.tolist()
        if self.cats is None:
            self.cats = self._decided("cat", cat)
        if self.cats == 0:
            self._require_none("cat", cat)
            return []
        if cat is None:
            raise ValueError(f'"cat" is missing: expected a list of {self.cats} whole numbers')
        if isinstance(cat, int | float) and not isinstance(cat, bool):
            cat = [cat]
        if not isinstance(cat, list) or len(cat) != self.cats:
            raise ValueError(f'"cat" must be a list of {self.cats} whole numbers, not {shown(cat)}')
        cat = [int(value) if isinstance(value, float) and value.is_integer() else value for value in cat]
        for place, value in enumerate(cat):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f'"cat"[{place}] is {shown(value)}; expected a whole number from 0 on')
            if self.cardinality is not None and value >= self.cardinality[place]:
                size = self.cardinality[place]
                raise ValueError(
                    f'"cat"[{place}] is {value}, but its cardinality is {size}: values are 0 to {size - 1}'
                )
            if value >= 1 << 31:
                raise ValueError(f'"cat"[{place}] is {value}; a number of a category is below 2^31')
        return cat

    def _decided(self, field: str, value: Any) -> int:
        """How many of a field the first record has, and thereby all."""
        count = 0 if value is None else len(value) if isinstance(value, list) else 1
        if not count:
            self._lacking.add(field)
        return count

    def _require_none(self, field: str, value: Any) -> None:
        """Raise ValueError for a field that nobody would look at."""
        if value is None or (isinstance(value, list) and not value) or field in self.ignored:
            return
        if field in self._lacking:
            raise _LackingError(field)
        raise ValueError(f'"{field}" is {shown(value)}, but the model was trained without: leave it out')

    def _dynamic(self, record: Mapping[str, Any], length: int) -> np.ndarray:
        """(f, length + future) float32."""
        rows = record.get("dynamic_feat")
        if self.dynamics is None:
            self.dynamics = self._decided("dynamic_feat", rows)
        if self.dynamics == 0:
            self._require_none("dynamic_feat", rows)
            return np.empty((0, length + self.future), np.float32)
        if rows is None:
            raise ValueError(f'"dynamic_feat" is missing: expected {self.dynamics} lists of numbers')
        if isinstance(rows, Long):
            rows = rows.head(self.dynamics + 1)
        if not isinstance(rows, list) or len(rows) != self.dynamics:
            there = len(rows) if isinstance(rows, list) else shown(rows)
            raise ValueError(f'"dynamic_feat" must be {self.dynamics} lists of numbers, not {there}')
        out = np.empty((self.dynamics, length + self.future), np.float32)
        for place, row in enumerate(rows):
            name = f'"dynamic_feat"[{place}]'
            row = _short(row, name)
            if not isinstance(row, list | np.ndarray):
                raise ValueError(f"{name} must be a list of numbers, not {shown(row)}")
            if self.future and len(row) != length + self.future:
                total = f"{length}+{self.future} = {length + self.future}"
                raise ValueError(f"{name}: expected len(target)+prediction_length = {total}, got {len(row)}")
            if len(row) not in (length, length + self.horizon) and not self.future:
                raise ValueError(
                    f"{name}: expected len(target) = {length} values (or {length + self.horizon}, with those "
                    f"of prediction_length = {self.horizon} steps more), got {len(row)}"
                )
            values = numbers(row, name)[: length + self.future]
            if np.isnan(values).any():
                at = int(np.flatnonzero(np.isnan(values))[0])
                raise ValueError(
                    f"{name}[{at}] is missing: features need a value at every step, in the future too"
                )
            out[place] = values
        return out


class _LackingError(ValueError):
    """A record has a field that the first one lacks."""


def misnamed(names: Iterable[Any], ignored: Collection[str] = ()) -> str:
    """What to say of a name that looks like a slip of a field that is not there; "" of others, which may be
    ids or notes of whoever wrote them."""
    names = [name for name in names if isinstance(name, str)]
    missing = [field for field in FIELDS if field not in names and field not in ignored]
    for name in names if missing else ():
        near = () if name in FIELDS else difflib.get_close_matches(name.lower(), missing, 1, ALIKE)
        if near:
            return f'"{name}" is unknown; did you mean "{near[0]}"?'
    return ""


def _short(values: Any, name: str) -> Any:
    """A long list of numbers as an array, which takes a tenth of the memory; anything else as it is."""
    if isinstance(values, Long):
        return np.concatenate([np.empty(0, np.float32), *(numbers(run, name) for run in values.runs())])
    return values


def numbers(values: list[Any] | np.ndarray, name: str) -> np.ndarray:
    """(n,) float32 of numbers, None and "NaN". Raises ValueError that names the first other."""
    if isinstance(values, list) and not set(map(type, values)) <= _NUMBERS:
        values = [None if isinstance(v, str) and v.strip().lower() in NAN_WORDS else v for v in values]
        for place, value in enumerate(values):
            if type(value) not in _NUMBERS:
                raise ValueError(f'{name}[{place}] is {shown(value)}; expected a number, null or "NaN"')
    try:
        wide = np.asarray(values, np.float64)
    except OverflowError:
        raise ValueError(f"{name} holds a number that is too large") from None
    infinite = np.abs(wide) > LARGEST
    if infinite.any():
        at = int(np.flatnonzero(infinite)[0])
        raise ValueError(f"{name}[{at}] is {shown(values[at])}, which is too large (or infinite)")
    return wide.astype(np.float32)

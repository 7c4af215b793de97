"""The rows of a channel as XGBoost's matrix: streamed into bins of quantiles, a byte a value, where trees are
grown on these; else all in memory, as the library's exact and linear methods need them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xgboost
from scipy.sparse import csr_array, vstack

from optml.algorithms.sources import Table
from optml.algorithms.xgboost import labels
from optml.algorithms.xgboost.hyperparameters import Hyperparameters
from optml.errors import UserError
from optml.formats.content_type import CSV, LIBSVM
from optml.formats.records import Features, Records


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows as the library takes them.

    features: (n, d) float32, NaN and absent values are missing.   labels: (n,) float64.
    weights:  (n,) float32, or None.   groups: (n,) int64 ascending numbers of the queries, or None.
    """

    features: Features
    labels: np.ndarray
    weights: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: np.ndarray | slice) -> Rows:
        """The rows of those numbers."""
        return Rows(
            self.features[rows],
            self.labels[rows],
            None if self.weights is None else self.weights[rows],
            None if self.groups is None else self.groups[rows],
        )

    def arguments(self, objective: str) -> dict[str, Any]:
        """What the constructors of the library's matrices are called with."""
        arguments: dict[str, Any] = {"data": self.features, "label": self.labels}
        if self.weights is not None:
            arguments["weight"] = self.weights
        if self.groups is not None:
            arguments["qid"] = self.groups
        if objective == "survival:aft":  # no format of a channel tells bounds: no row is censored
            arguments |= {"label_lower_bound": self.labels, "label_upper_bound": self.labels}
        return arguments


class Channel:
    """The rows of one channel on this host. Read through once when made: decoded, counted, checked.

    Raises UserError naming rows without a label, with one that the objective cannot take, or with a weight
    that is none; and LIBSVM in a Pipe.
    """

    def __init__(self, name: str, table: Table, hyperparameters: Hyperparameters) -> None:
        self.name = name
        self.rows = 0
        self.width = 0
        self.entries: int | None = None  # values that sparse rows hold; None: the rows are dense
        self._table = table
        self._hyperparameters = hyperparameters
        self._passes = 0
        for records, block in self._pass(checks=True):
            self.rows += len(block)
            self.width = max(self.width, block.features.shape[1])
            if isinstance(block.features, csr_array):
                self.entries = (self.entries or 0) + block.features.nnz
            if (
                hyperparameters.objective.startswith("rank:")
                and block.groups is None
                and block.weights is not None
            ):
                raise UserError(
                    f"{records.where(0)}: weights of a ranking are those of queries, not of rows; "
                    "leave them out, or give every row its qid in LIBSVM"
                )

    def blocks(self, width: int) -> Iterator[Rows]:
        """The rows with `width` columns, in blocks as they were read; an empty one where there are none.
        Raises InterruptedError where the job was told to stop meanwhile."""
        if not self.rows:
            yield Rows(np.empty((0, width), np.float32), np.empty(0))
        yield from _whole_queries(self._wide(width))

    def _wide(self, width: int) -> Iterator[Rows]:
        left = self.rows
        for _, block in self._pass():
            left -= len(block)
            yield replace(block, features=widen(block.features, width))
        if left:
            raise InterruptedError("the job was told to stop while its data were read")

    def _pass(self, checks: bool = False) -> Iterator[tuple[Records, Rows]]:
        queries = Queries()
        number, self._passes = self._passes, self._passes + 1
        for records in self._table.epoch(number):
            if checks:
                self._check_source()
            block = self._rows(records, queries)
            if checks:
                labels.check(records, block.labels, self._hyperparameters, self.name)
                self._check_weights(records, block)
            yield records, block

    def _rows(self, records: Records, queries: Queries) -> Rows:
        if records.labels is None or not records.labels.shape[1]:
            raise UserError(
                f"Got input data without labels: {records.where(0)} has none. The label is the first column; "
                "leave label_size out of the content type, or set it to 1"
            )
        if records.labels.shape[1] != 1:
            raise UserError(
                f"channel '{self.name}': label_size={records.labels.shape[1]} is not an accepted csv "
                "ContentType. Optional parameter label_size must be equal to 1"
            )
        features, weights = records.features, records.weights
        if self._hyperparameters.csv_weights and self._table.media == CSV:
            if records.width < 2:
                raise UserError(
                    f"{records.where(0)} has {records.width + 1} values; with csv_weights=1 a row is "
                    "label,weight,features"
                )
            features, weights = features[:, 1:], features[:, 0]
        groups = None if records.groups is None else queries.number(records)
        return Rows(features, records.labels[:, 0], weights, groups)

    def _check_weights(self, records: Records, block: Rows) -> None:
        if block.weights is None:
            return
        wrong = np.flatnonzero(~(block.weights >= 0))
        if len(wrong):
            row = int(wrong[0])
            raise UserError(
                f"{records.where(row)} has weight {block.weights[row]:g}; expected a number >= 0"
                + (
                    "; with csv_weights=1 the second column is the weight"
                    if self._hyperparameters.csv_weights
                    else ""
                )
            )

    def _check_source(self) -> None:
        if self._table.mode == "Pipe" and self._table.media == LIBSVM:
            raise UserError(
                f"Pipe mode not supported for LibSVM. Channel '{self.name}' is one: its width is that of the "
                "largest index in all of it; use File or FastFile mode"
            )


class Queries:
    """Numbers the queries of a ranking in the order in which they come."""

    def __init__(self) -> None:
        self._earlier: set[int] = set()
        self._last: int | None = None
        self._number = -1

    def number(self, records: Records) -> np.ndarray:
        """(n,) int64. Raises UserError for a row of no query, and for a query whose rows are not adjacent."""
        assert records.groups is not None
        starts = np.flatnonzero(np.diff(records.groups, prepend=records.groups[:1] - 1))
        begins = np.zeros(len(records), bool)
        for row in starts.tolist():
            query = int(records.groups[row])
            if query < 0:
                raise UserError(f"{records.where(row)} has no qid, but other rows have one: give it to all")
            if query == self._last:
                continue
            if query in self._earlier:
                raise UserError(
                    f"{records.where(row)} comes back to qid:{query}; rows of a query must be adjacent"
                )
            self._earlier.add(query)
            self._last = query
            begins[row] = True
        numbers: np.ndarray = self._number + np.cumsum(begins)
        self._number = int(numbers[-1])
        return numbers


def _whole_queries(blocks: Iterator[Rows]) -> Iterator[Rows]:
    """Blocks cut anew where they part a query: the library takes the parts for two."""
    rest: Rows | None = None
    for block in blocks:
        if block.groups is None:
            yield block
            continue
        block = block if rest is None else join(iter((rest, block)))
        assert block.groups is not None
        cut = int(np.searchsorted(block.groups, block.groups[-1]))
        rest = block[cut:]
        if cut:
            yield block[:cut]
    if rest is not None:
        yield rest


class _Stream(xgboost.DataIter):
    """Blocks handed to the library, as often as it asks for them from the start."""

    def __init__(self, blocks: Callable[[], Iterator[Rows]], objective: str) -> None:
        super().__init__(release_data=True)
        self._blocks = blocks
        self._objective = objective
        self._pass: Iterator[Rows] = iter(())

    def reset(self) -> None:
        self._pass = self._blocks()

    def next(self, input_data: Callable[..., None]) -> bool:
        block = next(self._pass, None)
        if block is None:
            return False
        input_data(**block.arguments(self._objective))
        return True


def stream(
    blocks: Callable[[], Iterator[Rows]], hyperparameters: Hyperparameters, ref: xgboost.DMatrix | None = None
) -> xgboost.DMatrix:
    """A matrix of quantile bins, of which the data are never in memory as a whole. ref: the training matrix,
    whose bins a validation matrix shares."""
    options = {"max_bin": hyperparameters.max_bin} if "max_bin" in hyperparameters.model_fields_set else {}
    return xgboost.QuantileDMatrix(
        _Stream(blocks, hyperparameters.objective), ref=ref, nthread=hyperparameters.nthread, **options
    )


def whole(rows: Rows, hyperparameters: Hyperparameters) -> xgboost.DMatrix:
    """A matrix of the values as they are."""
    return xgboost.DMatrix(**rows.arguments(hyperparameters.objective), nthread=hyperparameters.nthread)


def join(blocks: Iterator[Rows]) -> Rows:
    """All rows in one piece; sparse if all blocks are."""
    parts = list(blocks)
    if len(parts) == 1:
        return parts[0]
    sparse = all(isinstance(part.features, csr_array) for part in parts)
    dense = (
        part.features if isinstance(part.features, np.ndarray) else missing(part.features) for part in parts
    )

    def column(name: str) -> np.ndarray | None:
        items = [getattr(part, name) for part in parts]
        if all(item is None for item in items):
            return None
        ones = np.ones  # a block of rows without weights weighs as much as it has rows
        return np.concatenate(
            [
                ones(len(part), np.float32) if item is None else item
                for part, item in zip(parts, items, strict=True)
            ]
        )

    features = csr_array(vstack([part.features for part in parts])) if sparse else np.concatenate(list(dense))
    return Rows(
        features, np.concatenate([part.labels for part in parts]), column("weights"), column("groups")
    )


def missing(features: csr_array) -> np.ndarray:
    """(n, d) float32 in which what is absent is NaN, as the library takes it, not 0."""
    dense = np.full(features.shape, np.nan, np.float32)
    entries = features.tocoo()
    dense[entries.row, entries.col] = entries.data
    return dense


def widen(features: Features, width: int) -> Features:
    """As many columns: absent ones are missing in a sparse row."""
    if features.shape[1] == width or not isinstance(features, csr_array):
        return features
    return csr_array((features.data, features.indices, features.indptr), shape=(features.shape[0], width))

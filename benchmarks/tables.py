"""The labelled tables beside the project, split as their README says."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array, vstack

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
Pair = tuple[Any, np.ndarray]  # features (n, d) float32, an array or csr_array; labels (n,) float64


@dataclass(frozen=True)
class Table:
    """train, validation (the last tenth of what is given for training) and test."""

    name: str
    kind: str  # predictor_type
    train: Pair
    validation: Pair
    test: Pair


def available() -> bool:
    return DATA.is_dir()


def mnist(digit: int | None = None) -> Table:
    """Pixels / 255; `digit` against the rest, or all ten classes."""
    file = np.load(DATA / "mnist" / "mnist.npz")
    pairs = []
    for part in ("train", "test"):
        labels = file[f"y_{part}"]
        labels = labels if digit is None else labels == digit
        pairs.append((file[f"x_{part}"].astype(np.float32) / 255, labels.astype(np.float64)))
    order = np.random.default_rng(0).permutation(60_000)
    features, labels = pairs[0]
    name, kind = (
        ("mnist", "multiclass_classifier") if digit is None else (f"mnist {digit}", "binary_classifier")
    )
    return _cut(name, kind, (features[order], labels[order]), pairs[1])


def adult() -> Table:
    """Income above 50K: numbers and one-hot columns, sparse."""
    train, test = (_rows(f"adult-{part}.csv.gz") for part in ("train", "test"))
    features = _encoded([row[:-1] for row in train + test])
    labels = np.array([">50K" in row[-1] for row in train + test], np.float64)
    n = len(train)
    order = np.random.default_rng(0).permutation(n)
    features = csr_array(features)
    return _cut(
        "adult",
        "binary_classifier",
        (features[:n][order], labels[:n][order]),
        (features[n:], labels[n:]),
    )


def housing() -> Table:
    """California: median house value in 100,000 dollars; gaps are filled with the median."""
    header, *rows = _rows("california_housing.csv.gz")
    target = header.index("median_house_value")
    labels = np.array([float(row[target]) for row in rows]) / 1e5
    features = _encoded([row[:target] + row[target + 1 :] for row in rows])
    return _shuffled("housing", "regressor", features, labels)


def churn() -> Table:
    header, *rows = _rows("customer_churn_5000.csv.gz")
    kept = [at for at, name in enumerate(header) if name not in ("Phone", "Area Code", "Churn?")]
    labels = np.array([row[-1].startswith("True") for row in rows], np.float64)
    return _shuffled(
        "churn", "binary_classifier", _encoded([[row[at] for at in kept] for row in rows]), labels
    )


def abalone() -> Table:
    rows = _rows("abalone.csv.gz")
    labels = np.array([float(row[-1]) for row in rows])
    return _shuffled("abalone", "regressor", _encoded([row[:-1] for row in rows]), labels)


TABLES: dict[str, Callable[[], Table]] = {
    "mnist 0": lambda: mnist(0),
    "mnist": mnist,
    "adult": adult,
    "housing": housing,
    "churn": churn,
    "abalone": abalone,
}


def _rows(name: str) -> list[list[str]]:
    with gzip.open(DATA / "tabular" / name, "rt") as file:
        return [[cell.strip() for cell in row] for row in csv.reader(file) if row]


def _encoded(rows: list[list[str]]) -> np.ndarray:
    """Columns of numbers as they are, each value of another column as a column of its own."""
    columns = []
    for column in zip(*rows, strict=True):
        try:
            numbers = np.array([float(cell or "nan") for cell in column])
        except ValueError:
            values = sorted(set(column))
            columns.append(np.array(column)[:, None] == np.array(values))
        else:
            numbers[np.isnan(numbers)] = np.nanmedian(numbers)
            columns.append(numbers[:, None])
    return np.concatenate(columns, axis=1).astype(np.float32)


def _shuffled(name: str, kind: str, features: np.ndarray, labels: np.ndarray) -> Table:
    order = np.random.default_rng(0).permutation(len(labels))
    first, rest = np.split(order, [int(0.8 * len(labels))])
    return _cut(name, kind, (features[first], labels[first]), (features[rest], labels[rest]))


def _cut(name: str, kind: str, given: Pair, test: Pair) -> Table:
    n = int(0.9 * len(given[1]))
    train, validation = ((given[0][part], given[1][part]) for part in (slice(None, n), slice(n, None)))
    return Table(name, kind, train, validation, test)


def whole(table: Table) -> Pair:
    """Training and validation rows together: what a peer without validation learns from."""
    (first, truth), (second, more) = table.train, table.validation
    join = np.concatenate if isinstance(first, np.ndarray) else lambda parts: csr_array(vstack(parts))
    return join([first, second]), np.concatenate([truth, more])

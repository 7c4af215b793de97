"""Training jobs to tune: real ones of the container, one after another in a process that stays warm."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import issparse

from optml.local.tree import Input, link, placed, write_config
from optml.local.tuning import tables
from optml.local.tuning.objective import Patterns
from optml.local.tuning.ranges import Categorical, Continuous, Integer, Range

ROWS = 4000  # of the tables, at most
MISSED = 1e3  # the loss of a job that failed or had no finite value

XGBOOST: tuple[Range, ...] = (
    Continuous("eta", 0.01, 0.5, "Logarithmic"),
    Integer("max_depth", 2, 10),
    Continuous("min_child_weight", 0.1, 50.0, "Logarithmic"),
    Continuous("subsample", 0.4, 1.0),
    Continuous("colsample_bytree", 0.4, 1.0),
    Continuous("lambda", 0.001, 100.0, "Logarithmic"),
    Continuous("alpha", 0.001, 10.0, "Logarithmic"),
    Integer("num_round", 5, 60, "Logarithmic"),
)
LINEAR: tuple[Range, ...] = (
    Continuous("learning_rate", 1e-5, 1.0, "Logarithmic"),
    Continuous("wd", 1e-7, 1.0, "Logarithmic"),
    Continuous("l1", 1e-7, 1.0, "Logarithmic"),
    Integer("mini_batch_size", 20, 1000, "Logarithmic"),
    Categorical("use_bias", ("true", "false")),
    Categorical("optimizer", ("sgd", "adam", "rmsprop")),
)
KMEANS: tuple[Range, ...] = (
    Categorical("init_method", ("kmeans++", "random")),
    Integer("epochs", 1, 10),
    Integer("mini_batch_size", 20, 1200, "Logarithmic"),
    Integer("extra_center_factor", 1, 20),
)

# Name -> slug, ranges, static hyperparameters, metric, channel that it is of.
Description = tuple[str, tuple[Range, ...], dict[str, str], str, str]
_REGRESSION = {"objective": "reg:squarederror", "nthread": "1", "seed": "0"}
_BINARY = {**_REGRESSION, "objective": "binary:logistic", "eval_metric": "logloss"}
PROBLEMS: dict[str, Description] = {
    "abalone": ("xgboost", XGBOOST, _REGRESSION, "validation:rmse", "validation"),
    "california": ("xgboost", XGBOOST, _REGRESSION, "validation:rmse", "validation"),
    "adult": ("xgboost", XGBOOST, _BINARY, "validation:logloss", "validation"),
    "churn": ("xgboost", XGBOOST, _BINARY, "validation:logloss", "validation"),
    "digits-linear": (
        "linear-learner",
        LINEAR,
        {"predictor_type": "multiclass_classifier", "num_classes": "10", "epochs": "4", "num_models": "1"},
        "validation:objective_loss",
        "validation",
    ),
    "digits-kmeans": ("kmeans", KMEANS, {"k": "30"}, "test:msd", "test"),
}
CURVES = ("abalone", "adult", "california", "churn")
LABELS = {"linear-learner": 1, "kmeans": 0}  # columns of the CSV


class Problem:
    """What is tuned: `loss(point)` runs a job, or looks it up.

    rounds: of XGBoost, in the place of what the ranges say of it.
    """

    def __init__(self, name: str, cache: Path, rounds: int | None = None) -> None:
        self.slug, spans, static, metric, channel = PROBLEMS[name]
        self.spans = tuple(span for span in spans if rounds is None or span.name != "num_round")
        self._static = {**static, **({"num_round": str(rounds)} if rounds else {})}
        self._patterns = Patterns({metric: tables.table(self.slug).metrics[metric].regex})
        self._data = _data(name, channel, cache / "data")
        self._kind = "text/csv"
        if self.slug in LABELS:
            columns = self._data["train"].read_text().partition("\n")[0].count(",") + 1
            self._static["feature_dim"] = str(columns - LABELS[self.slug])
            self._kind += f";label_size={LABELS[self.slug]}"
        self._cache = cache / f"{name}.jsonl"
        self._known: dict[str, list[float]] = {}
        if self._cache.exists():
            self._known = dict(map(json.loads, self._cache.read_text().splitlines()))
        context = multiprocessing.get_context("spawn")  # which has no threads of this process
        self._pipe, theirs = context.Pipe()
        context.Process(target=_serve, args=(self.slug, theirs), daemon=True).start()

    def loss(self, point: Mapping[str, str]) -> float:
        return self.curve(point)[-1]

    def curve(self, point: Mapping[str, str]) -> list[float]:
        """All values of the objective, as the log has them."""
        hyperparameters = {**self._static, **point}
        key = hashlib.sha1(json.dumps(hyperparameters, sort_keys=True).encode()).hexdigest()
        if key not in self._known:
            self._known[key] = self._run(hyperparameters) or [MISSED]
            with self._cache.open("a") as file:
                file.write(json.dumps([key, self._known[key]]) + "\n")
        return self._known[key]

    def _run(self, hyperparameters: Mapping[str, str]) -> list[float]:
        from optml.container.paths import Paths

        with tempfile.TemporaryDirectory(prefix="optml-bench-") as folder:
            paths = Paths(Path(folder, "ml"))
            inputs = {name: Input([path], self._kind) for name, path in self._data.items()}
            write_config(paths, hyperparameters, inputs)
            for name, path in self._data.items():
                link(paths, placed(name, [path]))
            log = Path(folder, "log")
            self._pipe.send((str(paths.root), str(log)))
            self._pipe.recv()
            lines = log.read_text().splitlines()
            return [value for line in lines for _, value in self._patterns.values(line)]


def _serve(slug: str, pipe: Any) -> None:
    """Train what is asked for, until whoever asks is gone."""
    os.environ |= {"OPTML_ALGORITHM": slug, "OMP_NUM_THREADS": "1"}
    from optml.container.paths import Paths
    from optml.container.stop import Stop
    from optml.container.train import Process

    with contextlib.suppress(EOFError):
        while True:
            root, log = pipe.recv()
            with Path(log).open("w") as out:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
            code = Process(Paths(Path(root)), Stop(), time.time()).run()
            sys.stdout.flush()
            pipe.send(code)


def _data(name: str, channel: str, folder: Path) -> dict[str, Path]:
    """CSV files, the label first."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {"train": folder / f"{name}-train.csv", channel: folder / f"{name}-{channel}.csv"}
    if not all(path.exists() for path in paths.values()):
        for path, (features, labels) in zip(paths.values(), _halves(name), strict=True):
            rows = features if labels is None else np.column_stack([labels, features])
            np.savetxt(path, rows, fmt="%.7g", delimiter=",")
    return paths


def _halves(name: str) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Rows to learn from and rows to judge by, (features (n, d), labels (n,))."""
    if name.startswith("digits"):
        from sklearn.datasets import load_digits

        features, labels = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(labels))
        parts = np.split(order, [1200])
        unlabelled = name == "digits-kmeans"
        return [(features[part], None if unlabelled else labels[part]) for part in parts]
    from benchmarks import tables as labelled

    table = labelled.TABLES["housing" if name == "california" else name]()
    pairs: list[Any] = []
    for features, labels in (table.train, table.test):
        dense = features.toarray() if issparse(features) else features
        pairs.append((dense[:ROWS], labels[:ROWS]))
    return pairs

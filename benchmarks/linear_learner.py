"""Linear Learner on a CPU: speed of one model and of many, whole jobs, memory, and accuracy.

python -m benchmarks.linear_learner [PART ...]     one models step job pipe accuracy; all without a name

one       rows a second of one model over rows in memory, and its loss on rows held out after as many
          passes; beside it SGDClassifier on the same, scaled rows, and Vowpal Wabbit reading its cache
models    rows a second of 1, 8, 32 and 128 models
step      a step of 32 models beside its two bare matrix products, dense; beside SciPy's products, sparse
job       `train` from start to end: 32 models at once, and one alone
pipe      peak memory of a job that reads a FIFO
accuracy  the models of `train` on the test rows, beside liblinear, lbfgs and least squares
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import tables
from benchmarks.environment import options, save
from benchmarks.job import train
from benchmarks.kmeans import peak
from benchmarks.linear_peers import exact, held_out, sgd, vowpal
from benchmarks.tables import TABLES, Table, whole
from benchmarks.timing import compare
from optml.algorithms.base import Setting
from optml.algorithms.linear_learner import ALGORITHM
from optml.algorithms.linear_learner.model import Model
from optml.container.group import Alone
from optml.formats.record_encoding import encode
from optml.formats.records import Records
from optml.local.feeder import Feeder

BATCH = 1000
PASSES = 5
# Of one model, chosen on the validation rows; pixels have a scale of their own.
CHOSEN: dict[str, dict[str, Any]] = {
    "mnist 0": {
        "size": 500,
        "learning_rate": 0.03,
        "beta_2": 0.99,
        "wd": 0,
        "lr_scheduler_step": 10,
        "lr_scheduler_factor": 0.98,
        "normalize_data": False,
        "unbias_data": False,
    },
    "adult": {"size": 1000, "learning_rate": 0.03},
}
SLUG = "linear-learner"


def records(pair: tables.Pair) -> Records:
    features, labels = pair
    return Records(features, labels[:, None])


def batches(pair: tables.Pair, size: int = BATCH) -> Iterator[Records]:
    rows = records(pair)
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


class Run:
    """A learner that goes over a table's training rows, one pass a call, without evaluations."""

    def __init__(self, table: Table, models: int, size: int = BATCH, **given: Any) -> None:
        settings = ALGORITHM.hyperparameters(predictor_type=table.kind, num_models=models, **given)
        self.learner: Any = ALGORITHM.training.learner(Setting(settings, Alone()))
        self.batches = list(batches(table.train, size))

    def __call__(self) -> None:
        for batch in self.batches:
            self.learner.update(batch)
        self.learner.end_round()


def one() -> list[dict[str, Any]]:
    """Seconds of a pass are those of PASSES passes, divided."""
    results = []
    for name, settings in CHOSEN.items():
        table = TABLES[name]()
        rows = len(table.train[1])
        ours = Run(table, 1, **settings)
        began = time.perf_counter()
        for _ in range(PASSES):
            ours()
        first = (time.perf_counter() - began) / PASSES  # compiled code is loaded, the scaler's rows are kept
        model: Model = ours.learner.model()
        answers = [
            model.predict(Records(features), {})["score"] for features, _ in (table.validation, table.test)
        ]
        losses = {"ours": held_out(table, *answers)}
        runs: dict[str, Callable[[], object]] = {"ours": ours}
        for rival, peer in (("SGDClassifier", sgd), ("Vowpal Wabbit", vowpal)):
            found = peer(table, PASSES)
            if found is not None:
                runs[rival], losses[rival] = found
        seconds = compare(runs)
        if "Vowpal Wabbit" in seconds:
            seconds["Vowpal Wabbit"] /= PASSES
        results.append(
            {
                "what": f"one model, {name}, {PASSES} passes",
                "settings": settings,
                "rows_per_second": {who: rows / value for who, value in seconds.items()},
                "rows_per_second_from_the_start": rows / first,
                "log_loss": losses,
            }
        )
        for who, value in seconds.items():
            loss = "  ".join(f"{part} {value:.4f}" for part, value in losses[who].items())
            print(f"{name:8} {who:14} {rows / value / 1e3:9.0f} k rows/s   log loss {loss}")
    return results


def models() -> list[dict[str, Any]]:
    table = TABLES["mnist 0"]()
    runs = {count: Run(table, count) for count in (1, 8, 32, 128)}
    seconds = compare({str(count): run for count, run in runs.items()}, 3)
    rows = len(table.train[1])
    for count, value in seconds.items():
        print(f"{count:>4} models {rows / value / 1e3:9.0f} k rows/s   {value / seconds['1']:.2f} x one")
    return [
        {
            "what": "models side by side, mnist 0",
            "rows_per_second": {count: rows / value for count, value in seconds.items()},
            "times_one": {count: value / seconds["1"] for count, value in seconds.items()},
        }
    ]


def step() -> list[dict[str, Any]]:
    limit = peak()
    results = []
    for name in ("mnist 0", "adult"):
        table = TABLES[name]()
        features, labels = table.train
        run = Run(table, 32)
        run()
        parts = [features[start : start + BATCH] for start in range(0, len(labels), BATCH)]
        weights = np.random.default_rng(0).normal(size=(features.shape[1], 32)).astype(np.float32)
        transposed = [part if isinstance(part, np.ndarray) else part.T.tocsr() for part in parts]

        def bare(parts: Any = parts, transposed: Any = transposed, weights: Any = weights) -> None:
            for part, turned in zip(parts, transposed, strict=True):
                scores = part @ weights
                _ = part.T @ scores if isinstance(part, np.ndarray) else turned @ scores

        def passes(run: Run = run) -> None:
            for batch in run.batches:
                run.learner.update(batch)

        seconds = compare({"ours": passes, "bare": bare})
        stored = features.size if isinstance(features, np.ndarray) else features.nnz
        work = 4 * stored * 32
        results.append(
            {
                "what": f"steps of 32 models, {name}",
                "seconds_of_a_step": {key: value / len(parts) for key, value in seconds.items()},
                "times_bare": seconds["ours"] / seconds["bare"],
                "gflops": work / seconds["ours"] / 1e9,
                "share_of_peak": work / seconds["ours"] / limit,
            }
        )
        print(
            f"{name:8} step {seconds['ours'] / len(parts) * 1e6:7.0f} us, "
            f"{seconds['ours'] / seconds['bare']:.2f} x its bare products, "
            f"{work / seconds['ours'] / 1e9:.0f} GFLOP/s of {limit / 1e9:.0f}"
        )
    return results


def tree(folder: Path, channels: dict[str, tables.Pair], **given: Any) -> Path:
    """An /opt/ml tree of RecordIO channels."""
    root = folder / "ml"
    for name, pair in channels.items():
        channel = root / "input" / "data" / name
        channel.mkdir(parents=True, exist_ok=True)
        (channel / "part.pbr").write_bytes(encode(records(pair)))
    settings = root / "input" / "config" / "hyperparameters.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps({name: str(value) for name, value in given.items()}))
    return root


def channels(table: Table) -> dict[str, tables.Pair]:
    return {"train": table.train, "validation": table.validation, "test": table.test}


def job(runs: int = 3) -> list[dict[str, Any]]:
    """Early stopping is off, so that all go over the rows as often."""
    table = TABLES["mnist 0"]()
    seconds: dict[int, list[float]] = {32: [], 1: []}
    given = {"predictor_type": table.kind, "epochs": PASSES, "early_stopping_patience": PASSES + 1}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(runs):
            for count, found in seconds.items():
                root = tree(
                    Path(folder),
                    channels(table) if not any(seconds.values()) else {},
                    **given,
                    num_models=count,
                )
                found.append(train(root, SLUG)[0])
    many, single = (statistics.median(found) for found in seconds.values())
    print(
        f"job of 32 models {many:.2f} s, of one {single:.2f} s: {32 * single / many:.1f} times faster than 32"
    )
    return [
        {
            "what": f"train, mnist 0, {PASSES} epochs",
            "seconds_32_models": many,
            "seconds_one_model": single,
            "times_faster_than_32_jobs": 32 * single / many,
            "runs": runs,
        }
    ]


def pipe(gib: float = 2) -> list[dict[str, Any]]:
    table = TABLES["mnist 0"]()
    with tempfile.TemporaryDirectory() as scratch:
        root = tree(Path(scratch), {}, predictor_type=table.kind, epochs=1)
        (root / "input" / "data").mkdir()
        config = {"train": {"TrainingInputMode": "Pipe", "ContentType": "application/x-recordio-protobuf"}}
        (root / "input" / "config" / "inputdataconfig.json").write_text(json.dumps(config))
        source = Path(scratch) / "part.pbr"
        size = source.write_bytes(encode(records(whole(table))))
        times = max(1, round(gib * 2**30 / size))
        with Feeder(root / "input" / "data", "train", [source] * times, epochs=1):
            seconds, most, _ = train(root, SLUG)
    print(
        f"{times * size / 2**30:.1f} GiB through a FIFO in {seconds:.1f} s: peak {most / 1e6:.0f} MB resident"
    )
    return [
        {"what": "32 models, FIFO", "bytes": times * size, "seconds": seconds, "peak_resident_mb": most / 1e6}
    ]


def accuracy() -> list[dict[str, Any]]:
    """Batches of 200 rows, 1000 for ten classes; binary classifiers by the default criterion, and by loss."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name, make in TABLES.items():
            table = make()
            began = time.perf_counter()
            solver, theirs = exact(table)
            solver_seconds = time.perf_counter() - began
            given = {"predictor_type": table.kind, "mini_batch_size": 1000 if name == "mnist" else 200}
            given |= {"num_classes": 10} if name == "mnist" else {}
            by_loss = {"binary_classifier_model_selection_criteria": "loss_function"}
            for more in ({}, by_loss) if table.kind == "binary_classifier" else ({},):
                seconds, _, log = train(tree(Path(folder) / name, channels(table), **given, **more), SLUG)
                found = re.findall(r"test (\S+) <(?:loss|score)>=(\S+)", log)
                ours = {metric: float(value) for metric, value in found}
                results.append(
                    {
                        "what": f"accuracy, {name}",
                        "settings": given | more,
                        "ours": ours,
                        solver: theirs,
                        "seconds": seconds,
                        "solver_seconds": solver_seconds,
                    }
                )
                shown = ", ".join(f"{key} {ours[key]:.4f} ({value:.4f})" for key, value in theirs.items())
                print(
                    f"{name:8} {'by loss' if more else '':7} {solver}: {shown}   "
                    f"{seconds:.1f} s ({solver_seconds:.1f} s)",
                    flush=True,
                )
    return results


PARTS = {"one": one, "models": models, "step": step, "job": job, "pipe": pipe, "accuracy": accuracy}


def main() -> int:
    """Run, print, and write linear_learner-cpu.json, where parts that were not measured keep their rows."""
    parser = options(__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure; all without a name")
    arguments = parser.parse_args()
    if not tables.available():
        print("the data beside the project (../shared/data) is missing: nothing to measure")
        return 0
    warnings.filterwarnings("ignore", module="sklearn")
    measured = arguments.parts or list(PARTS)
    before = arguments.out / "linear_learner-cpu.json"
    rows = json.loads(before.read_text())["rows"] if before.exists() else []
    results = [row for row in rows if row["part"] not in measured]
    for name in measured:
        print(f"-- {name}", flush=True)
        results += [{"part": name} | row for row in PARTS[name]()]
    print(save("linear_learner-cpu", results, folder=arguments.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())

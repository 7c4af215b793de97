"""Random Cut Forest on a CPU: scoring, training, and how well labelled anomalies are found.

    python -m benchmarks.randomcutforest [--java CLASSES]

Scoring: forests of the same number of trees and rows of a tree, on the same normal rows in the same run.

    ours              `Model.scores`
    java              AWS's open library (github aws/random-cut-forest-by-aws), called in three ways, of which
                      the fastest counts; CLASSES is where its core lies compiled:
                      javac -cp lombok.jar -d CLASSES $(find Java/core/src/main/java -name '*.java')
    IsolationForest   scikit-learn's `score_samples`, on one and on all threads, of which the faster counts

Training: a pass over RecordIO-protobuf, and the same pass without the algorithm.
Quality: area under ROC over the Numenta Anomaly Benchmark's labelled series in shingles of 48 values, the
first 15 % of each left out; for information, for its windows are wide.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import options, save
from benchmarks.timing import compare
from optml.container.group import Alone

NAB = Path(__file__).resolve().parents[2] / "shared" / "data" / "nab"
PROGRAM = Path(__file__).parent / "java" / "Forest.java"
SHAPES = ((100, 256, 32), (100, 256, 10), (100, 256, 1))  # trees, rows of a tree, features
SCORED = 20_000
SHINGLE = 48


def trained(rows: np.ndarray, trees: int, size: int, seed: int = 0) -> Any:
    from optml.algorithms.base import Setting
    from optml.algorithms.random_cut_forest import ALGORITHM
    from optml.formats.records import Records

    settings = ALGORITHM.hyperparameters(
        feature_dim=rows.shape[1], num_trees=trees, num_samples_per_tree=size
    )
    assert ALGORITHM.training.learner is not None
    learner = ALGORITHM.training.learner(Setting(settings, Alone(), "cpu", seed))
    learner.update(Records(rows))
    return learner.finish()[0]


def isolation_forest(rows: np.ndarray, trees: int, size: int, jobs: int | None = None) -> Any:
    from sklearn.ensemble import IsolationForest

    return IsolationForest(
        n_estimators=trees, max_samples=min(size, len(rows)), random_state=0, n_jobs=jobs
    ).fit(rows)


def java(
    classes: Path, rows: np.ndarray, training: int, trees: int, size: int
) -> dict[str, tuple[float, float]]:
    """Way to call the library -> seconds of scoring, mean score."""
    from optml.cpus import count

    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["javac", "-cp", classes, "-d", folder, PROGRAM], check=True)
        file = Path(folder) / "rows"
        file.write_bytes(rows.astype("<f4").tobytes())
        numbers = (rows.shape[1], training, trees, size, count(), 3)
        command = ["java", "-cp", f"{classes}:{folder}", "Forest", str(file), *map(str, numbers)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    lines = csv.reader(io.StringIO(done.stdout))
    return {name: (float(seconds), float(mean)) for name, seconds, mean in lines}


def scoring(trees: int, size: int, width: int, classes: Path | None) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    training, queries = (
        rng.normal(size=(count, width)).astype(np.float32) for count in (trees * size, SCORED)
    )
    model = trained(training, trees, size)
    one, all_ = (isolation_forest(training, trees, size, jobs) for jobs in (None, -1))
    contestants: dict[str, Callable[[], object]] = {
        "ours": lambda: model.scores(queries),
        "IsolationForest": lambda: one.score_samples(queries),
        "IsolationForest, all threads": lambda: all_.score_samples(queries),
    }
    seconds = compare(contestants, 3)
    result: dict[str, Any] = {
        "trees": trees,
        "rows_of_a_tree": size,
        "features": width,
        "scored": SCORED,
        "mean_score": float(model.scores(queries).mean()),
    }
    if classes is not None:
        ways = java(classes, np.concatenate([training, queries]), len(training), trees, size)
        seconds |= {f"java, {name}": taken for name, (taken, _) in ways.items()}
        result["mean_score_java"] = next(iter(ways.values()))[1]
    result["seconds"] = seconds
    result["rows_per_second"] = {name: SCORED / taken for name, taken in seconds.items()}
    for peer in ("java", "IsolationForest"):
        times = [taken for name, taken in seconds.items() if name.startswith(peer)]
        if times:
            result[f"times_faster_than_{peer}"] = min(times) / seconds["ours"]
    few = queries[:1].copy()
    result["one_row_us"] = 1e3 * compare({"one": lambda: [model.scores(few) for _ in range(1000)]})["one"]
    return result


def training() -> list[dict[str, Any]]:
    """Rows a second of a pass over 500,000 rows of RecordIO-protobuf, with and without the sample."""
    from optml.algorithms.base import Setting
    from optml.algorithms.random_cut_forest import ALGORITHM
    from optml.formats import tabular
    from optml.formats.content_type import ContentType
    from optml.formats.layout import Layout
    from optml.formats.record_encoding import encode
    from optml.formats.records import Records

    results = []
    for width in (1, 32):
        rows = np.random.default_rng(0).random((500_000, width), dtype=np.float32)
        data = encode(Records(rows))
        form = ContentType.parse("application/x-recordio-protobuf")

        def batches(data: bytes = data, width: int = width, form: ContentType = form) -> Any:
            for block in tabular.read(io.BytesIO(data), form, Layout(width, 0), source="rows"):
                for start in range(0, len(block), 1000):
                    yield block[start : start + 1000]

        def absorb(width: int = width, batches: Any = batches) -> None:
            assert ALGORITHM.training.learner is not None
            learner = ALGORITHM.training.learner(
                Setting(ALGORITHM.hyperparameters(feature_dim=width), Alone())
            )
            for batch in batches():
                learner.update(batch)

        seconds = compare({"read": lambda batches=batches: sum(map(len, batches())), "absorb": absorb}, 5)
        results.append(
            {
                "features": width,
                "rows": len(rows),
                "rows_per_second": {name: len(rows) / taken for name, taken in seconds.items()},
                "share_of_reading": seconds["read"] / seconds["absorb"],
            }
        )
    return results


def quality() -> list[dict[str, Any]]:
    """Areas under ROC of the labelled series of the Numenta Anomaly Benchmark."""
    from optml.algorithms.random_cut_forest.evaluation import measure

    spans = json.loads((NAB / "combined_windows.json").read_text())
    results = []
    with zipfile.ZipFile(NAB / "series.zip") as archive:
        for name in sorted(name for name in archive.namelist() if spans.get(name)):
            with archive.open(name) as file:
                table = list(csv.DictReader(io.TextIOWrapper(file)))
            within = np.array(
                [any(a[:19] <= row["timestamp"] <= b[:19] for a, b in spans[name]) for row in table]
            )
            values = np.array([float(row["value"]) for row in table], np.float32)
            windows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(values, SHINGLE))
            counted = slice(max(0, int(0.15 * len(values)) - SHINGLE + 1), None)
            labels = within[SHINGLE - 1 :][counted]
            ours = [
                measure(trained(windows, 100, 256, seed).scores(windows)[counted], labels)["roc_auc"]
                for seed in range(3)
            ]
            theirs = -isolation_forest(windows, 100, 256).score_samples(windows)[counted]
            results.append(
                {
                    "series": name,
                    "ours": float(np.mean(ours)),
                    "IsolationForest": measure(theirs, labels)["roc_auc"],
                }
            )
    return results


def main() -> int:
    """Run, print the tables, and write randomcutforest-cpu.json."""
    parser = options(__doc__)
    parser.add_argument("--java", type=Path, help="compiled classes of AWS's open library")
    given = parser.parse_args()
    print(
        f"{'trees':>5} {'rows':>5} {'features':>8} {'ours rows/s':>12} {'one row us':>11}   times faster than"
    )
    rows = []
    for trees, size, width in SHAPES:
        row = scoring(trees, size, width, given.java)
        rows.append(row)
        peers = "  ".join(f"{k[18:]} {v:.1f}" for k, v in row.items() if k.startswith("times_faster_than_"))
        rate = row["rows_per_second"]["ours"]
        print(f"{trees:5} {size:5} {width:8} {rate:12,.0f} {row['one_row_us']:11.0f}   {peers}", flush=True)
    passes = training()
    for row in passes:
        rates = {name: f"{rate:,.0f}" for name, rate in row["rows_per_second"].items()}
        print(
            f"training, {row['features']} features, rows/s: {rates}; {row['share_of_reading']:.0%} of reading"
        )
    areas = quality() if NAB.exists() else []
    for row in areas:
        print(f"{row['series']:60} ours {row['ours']:.3f}  IsolationForest {row['IsolationForest']:.3f}")
    means = {
        name: float(np.mean([row[name] for row in areas])) for name in ("ours", "IsolationForest") if areas
    }
    print(f"mean area: {means}")
    facts = {"training": passes, "areas": areas, "mean_area": means}
    print(save("randomcutforest-cpu", rows, folder=given.out, **facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""K-Nearest Neighbors on a CPU: flat search, inverted lists, reduction, the whole job; and how good they are.

    python -m benchmarks.knn

Flat search for k=10 of MNIST (60,000 x 784) and of 500,000 x 32, 1 to 1,000 queries at once. Contestants, on
as many threads as there are processors:

    ours           `kernels.topk.search`
    faiss          IndexFlatL2.search
    scikit-learn   NearestNeighbors, brute force
    memory scan    adding up all numbers of the points, the least that a query can cost

Lists are searched for the mixture of the specification: 200,000 x 64, 447 lists of which 5 are looked into.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import options, save
from benchmarks.timing import compare
from optml.container.group import Alone

MNIST = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist" / "mnist.npz"
K = 10
QUERIES = (1, 10, 100, 1000)


def points_of(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Points and queries: MNIST (noise of its shape where it is not at hand), or 500,000 x 32 in groups."""
    rng = np.random.default_rng(0)
    if name == "synthetic":
        groups = rng.normal(size=(200, 32))
        rows = (groups[rng.integers(200, size=505_000)] + 0.5 * rng.normal(size=(505_000, 32))).astype(
            np.float32
        )
        return rows[5000:], rows[:5000]
    if MNIST.exists():
        data = np.load(MNIST)
        return data["x_train"].astype(np.float32) / 255, data["x_test"].astype(np.float32)[:5000] / 255
    return rng.random((60_000, 784), dtype=np.float32), rng.random((5000, 784), dtype=np.float32)


def scan(points: np.ndarray) -> Callable[[], object]:
    """Add up all numbers, in as many threads as the search takes."""
    from numba import njit

    from optml.algorithms.kernels.machine.threads import in_parts

    @njit(nogil=True, fastmath=True)  # an index, not an iterator: LLVM makes vectors of that alone
    def total(values: np.ndarray) -> float:
        found = np.float32(0)
        for place in range(len(values)):
            found += values[place]
        return float(found)

    width = points.shape[1]
    flat = points.reshape(-1)
    return lambda: in_parts(lambda start, stop: total(flat[start * width : stop * width]), *points.shape)


def flat(name: str) -> list[dict[str, Any]]:
    import faiss
    from sklearn.neighbors import NearestNeighbors

    from optml.algorithms.kernels.topk import fold, search

    points, asked = points_of(name)
    folded = fold(points)
    theirs = faiss.IndexFlatL2(points.shape[1])
    theirs.add(points)
    brute = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(points)
    rows = []
    for count in QUERIES:
        queries = np.ascontiguousarray(asked[:count])
        found = search(queries, folded, K, False)[1]
        expected = theirs.search(queries, K)[1]
        contestants = {
            "ours": lambda queries=queries: search(queries, folded, K, False),
            "faiss": lambda queries=queries: theirs.search(queries, K),
            "scikit-learn": lambda queries=queries: brute.kneighbors(queries, return_distance=False),
        }
        if count == 1:
            contestants["memory scan"] = scan(points)
        seconds = compare(contestants, 3 if count >= 1000 else 15)
        rows.append(
            {
                "index": "faiss.Flat",
                "data": name,
                "points": len(points),
                "features": points.shape[1],
                "queries": count,
                "same_as_faiss": float((found == expected).mean()),
                "seconds": seconds,
                "queries_per_second": {key: count / value for key, value in seconds.items()},
                "times_ours": {
                    key: value / seconds["ours"] for key, value in seconds.items() if key != "ours"
                },
                "gigabytes_per_second": points.nbytes / seconds["ours"] / 1e9,
                "gflops": 2 * count * points.size / seconds["ours"] / 1e9,
            }
        )
    return rows


def inverted() -> list[dict[str, Any]]:
    """Recall at 10 of 2,000 queries, and the time of training, filling and searching, of FAISS itself."""
    from optml.algorithms.kernels.topk import fold, search
    from optml.algorithms.knn import inverted as lists

    rng = np.random.default_rng(0)
    centres = 2 * rng.normal(size=(2000, 64))
    rows = (centres[rng.integers(2000, size=202_000)] + rng.normal(size=(202_000, 64))).astype(np.float32)
    points, queries = rows[2000:], rows[:2000]
    nearest = search(queries, fold(points), K, False)[1]
    table = []
    for kind, parts in (("faiss.IVFFlat", 1), ("faiss.IVFPQ", 8), ("faiss.IVFPQ", 32)):
        began = time.perf_counter()
        index = lists.build(
            points, kind, inner=False, spherical=False, lists=447, parts=parts, nprobe=5, seed=0
        )
        lists.fill(index, points)
        built = time.perf_counter() - began
        found = index.search(queries, K)[1]
        seconds = compare({"ours": lambda index=index: index.search(queries, K)}, 3)["ours"]
        recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(found, nearest, strict=True)])
        table.append(
            {
                "index": kind,
                "parts": parts,
                "points": len(points),
                "features": 64,
                "recall": float(recall),
                "build_seconds": built,
                "queries_per_second": len(queries) / seconds,
            }
        )
    return table


def reduction() -> dict[str, float]:
    """Rows a second of 1,024 features reduced to 256."""
    from optml.algorithms.knn.reduction import Reduction

    rows = np.random.default_rng(0).normal(size=(20_000, 1024)).astype(np.float32)
    sign, fjlt = Reduction("sign", 0, 256, 1024), Reduction("fjlt", 0, 256, 1024)
    contestants = {"sign": lambda: sign.apply(rows), "fjlt": lambda: fjlt.apply(rows)}
    return {kind: len(rows) / value for kind, value in compare(contestants).items()}


def job() -> dict[str, float]:
    """Training on all of MNIST from memory, to the files; the accuracy of 10,000 digits by k."""
    from optml.algorithms.base import Setting
    from optml.algorithms.knn import ALGORITHM
    from optml.algorithms.knn.learner import Learner
    from optml.formats.records import Records

    if not MNIST.exists():
        return {}
    data = np.load(MNIST)
    rows, labels = data["x_train"].astype(np.float32) / 255, data["y_train"].astype(np.float64)
    settings = ALGORITHM.hyperparameters(k=K, predictor_type="classifier", sample_size=200_000)
    began = time.perf_counter()
    learner = Learner(Setting(settings, Alone()))
    for start in range(0, len(rows), 5000):
        learner.update(Records(rows[start : start + 5000], labels[start : start + 5000, None]))
    model, _ = learner.finish()
    trained = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder))
    found = {"train_seconds": trained, "saved_seconds": time.perf_counter() - began}
    near = model.neighbours(data["x_test"].astype(np.float32) / 255)
    return found | {
        f"accuracy_{k}": float((model.judge(near, k) == data["y_test"]).mean()) for k in (1, 5, 10)
    }


def main() -> int:
    """Run, print the tables, and write knn-cpu.json."""
    folder = options(__doc__).parse_args().out
    results = []
    print(
        f"{'data':10} {'queries':>7} {'ours q/s':>9} {'GB/s':>6} {'GFLOP/s':>8}   "
        "how many times ours the others take"
    )
    for name in ("mnist", "synthetic"):
        for row in flat(name):
            results.append(row)
            others = "  ".join(f"{key} {value:.2f}" for key, value in row["times_ours"].items())
            print(
                f"{name:10} {row['queries']:7} {row['queries_per_second']['ours']:9.0f} "
                f"{row['gigabytes_per_second']:6.1f} {row['gflops']:8.0f}   {others}   "
                f"same neighbours {row['same_as_faiss']:.4%}",
                flush=True,
            )
    print()
    for row in inverted():
        results.append(row)
        print(
            f"{row['index']:14} m={row['parts']:2}  recall {row['recall']:.3f}  "
            f"{row['queries_per_second']:7.0f} q/s  built in {row['build_seconds']:.1f} s",
            flush=True,
        )
    reduced, trained = reduction(), job()
    print("\nreduced rows a second:", {kind: round(value) for kind, value in reduced.items()})
    print("MNIST:", {name: round(value, 4) for name, value in trained.items()})
    print(save("knn-cpu", results, folder=folder, reduced_rows_per_second=reduced, job=trained))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""K-Means on a CPU: one streaming pass, against what else does the job on the same rows in the same run.

    python -m benchmarks.kmeans

A pass assigns every row to the nearest of K centers and updates these, 5,000 rows at a time. Contestants:

    ours               `Learner.update`
    bare               what no pass can avoid: float32 products of NumPy's BLAS and NumPy's argmin, no update;
                       at the block size and thread count that suit it best
    MiniBatchKMeans    scikit-learn's `partial_fit` on the same batches
    KMeans             scikit-learn's Lloyd, time of one iteration over all rows
    faiss              faiss.Kmeans, time of one iteration over all rows, none left out
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import options, save
from benchmarks.timing import compare
from optml.container.group import Alone

MNIST = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist" / "mnist.npz"
BATCH = 5000
SHAPES = (("mnist", 100), ("mnist", 1000), ("synthetic", 100), ("synthetic", 1000))
LLOYD = 4  # iterations that a full Lloyd is timed over


def rows_of(name: str) -> np.ndarray:
    """MNIST (60,000 x 784 pixels; noise of that shape where it is not at hand), or 500,000 x 32 in groups."""
    rng = np.random.default_rng(0)
    if name == "synthetic":
        groups = rng.normal(size=(200, 32))
        return (groups[rng.integers(200, size=500_000)] + 0.5 * rng.normal(size=(500_000, 32))).astype(
            np.float32
        )
    if MNIST.exists():
        return np.load(MNIST)["x_train"].astype(np.float32) / 255
    return rng.random((60_000, 784), dtype=np.float32)


def batches(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]


def ours(rows: np.ndarray, count: int) -> Callable[[], object]:
    from optml.algorithms.base import Setting
    from optml.algorithms.kmeans import ALGORITHM
    from optml.formats.records import Records

    settings = ALGORITHM.hyperparameters(feature_dim=rows.shape[1], k=count, extra_center_factor=1)
    learner = ALGORITHM.training.learner(Setting(settings, Alone()))
    return lambda: [learner.update(Records(batch)) for batch in batches(rows)]


def bare(rows: np.ndarray, count: int) -> dict[str, Callable[[], object]]:
    from threadpoolctl import threadpool_info, threadpool_limits

    centers = rows[:count].copy()

    def run(block: int, threads: int) -> None:
        with threadpool_limits(threads):
            scores = np.empty((block, count), np.float32)
            for start in range(0, len(rows), block):
                part = rows[start : start + block]
                np.matmul(part, centers.T, out=scores[: len(part)])
                scores[: len(part)].argmin(axis=1)

    most = max(library["num_threads"] for library in threadpool_info())
    return {
        f"bare, {block} rows, {threads} threads": lambda block=block, threads=threads: run(block, threads)
        for block in (512, 2048, 8192)
        for threads in sorted({1, most})
    }


def mini_batch_kmeans(rows: np.ndarray, count: int) -> Callable[[], object]:
    from sklearn.cluster import MiniBatchKMeans

    model = MiniBatchKMeans(count, batch_size=BATCH, init=rows[:count].copy(), n_init=1, random_state=0)
    return lambda: [model.partial_fit(batch) for batch in batches(rows)]


def lloyd_of_scikit_learn(rows: np.ndarray, count: int) -> Callable[[int], object]:
    from sklearn.cluster import KMeans

    return lambda iterations: KMeans(
        count, init=rows[:count].copy(), n_init=1, max_iter=iterations, tol=0, algorithm="lloyd"
    ).fit(rows)


def lloyd_of_faiss(rows: np.ndarray, count: int) -> Callable[[int], object]:
    import faiss

    return lambda iterations: faiss.Kmeans(
        rows.shape[1], count, niter=iterations, max_points_per_centroid=len(rows), seed=1
    ).train(rows, init_centroids=rows[:count].copy())


def one_iteration(run: Callable[[int], object], repeats: int = 2) -> float:
    """Seconds of one iteration: many less one, so that what is done once does not count."""
    run(1)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run(1)
        middle = time.perf_counter()
        run(1 + LLOYD)
        best = min(best, (time.perf_counter() - middle - (middle - start)) / LLOYD)
    return best


def peak() -> float:
    """FLOP/s of a large float32 product, the limit of the assignment."""
    matrix = np.random.default_rng(0).random((3072, 3072), dtype=np.float32)
    return float(2 * 3072**3 / compare({"product": lambda: matrix @ matrix}, 20)["product"])


def measure(name: str, count: int, limit: float) -> dict[str, Any]:
    """One row of the table: seconds of a pass or an iteration, and what `ours` is to each."""
    rows = rows_of(name)
    seconds = compare(
        {"ours": ours(rows, count), **bare(rows, count), "MiniBatchKMeans": mini_batch_kmeans(rows, count)}
    )
    settings = {key: value for key, value in seconds.items() if key.startswith("bare")}
    for key in settings:
        del seconds[key]
    seconds["bare"] = min(settings.values())
    seconds["KMeans, an iteration"] = one_iteration(lloyd_of_scikit_learn(rows, count))
    try:
        seconds["faiss, an iteration"] = one_iteration(lloyd_of_faiss(rows, count))
    except ImportError:
        print("faiss is not installed: left out")
    work = 2 * rows.size * count
    return {
        "data": name,
        "rows": len(rows),
        "features": rows.shape[1],
        "centers": count,
        "batch": BATCH,
        "seconds": seconds,
        "bare_seconds": settings,
        "times_ours": {key: value / seconds["ours"] for key, value in seconds.items() if key != "ours"},
        "gflops": work / seconds["ours"] / 1e9,
        "share_of_peak": work / seconds["ours"] / limit,
        "rows_per_second": len(rows) / seconds["ours"],
    }


def serving() -> dict[str, float]:
    """Microseconds of the model's answer to one row, and of BLAS's share in it."""
    from optml.algorithms.kmeans.model import Model
    from optml.formats.records import Records

    rng = np.random.default_rng(0)
    centers = rng.normal(size=(100, 32)).astype(np.float32)
    model, request = Model(centers, np.ones(100)), Records(centers[:1].copy())
    columns = np.ascontiguousarray(centers.T)
    times = compare(
        {
            "predict": lambda: [model.predict(request, {}) for _ in range(1000)],
            "product": lambda: [request.features @ columns for _ in range(1000)],
        }
    )
    return {key: value * 1000 for key, value in times.items()}


def main() -> int:
    """Run, print the table, and write kmeans-cpu.json."""
    folder = options(__doc__).parse_args().out
    warnings.filterwarnings("ignore", module="sklearn")
    limit = peak()
    print(f"float32 product: {limit / 1e9:.0f} GFLOP/s\n")
    print(
        f"{'data':10} {'K':>5} {'ours s':>8} {'GFLOP/s':>8} {'peak':>5}   how many times ours the others take"
    )
    results = []
    for name, count in SHAPES:
        row = measure(name, count, limit)
        results.append(row)
        others = "  ".join(f"{key} {value:.2f}" for key, value in row["times_ours"].items())
        print(
            f"{name:10} {count:5} {row['seconds']['ours']:8.3f} {row['gflops']:8.0f} "
            f"{row['share_of_peak']:5.0%}   {others}",
            flush=True,
        )
    one = serving()
    print(
        f"\none row, 100 centers of 32: {one['predict']:.1f} us, of which the product {one['product']:.1f} us"
    )
    print(save("kmeans-cpu", results, folder=folder, peak_gflops=limit / 1e9, one_row_us=one))
    return 0


if __name__ == "__main__":
    sys.exit(main())

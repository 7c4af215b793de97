"""PCA on a CPU, against what else finds the same components of the same rows in the same run.

    python -m benchmarks.pca

200,000 x 512 float32 in memory, 50 components. Contestants:

    ours              `Learner.update` over the batches that a job reads, and `finish`: centered, float64 sums
    syrk              what no exact method can avoid: the bare product X^T X, of which NumPy's BLAS does the
                      half that symmetry leaves; float32, one call, not centered
    scipy             the same by scipy.linalg.blas.ssyrk
    covariance_eigh   scikit-learn's PCA by the covariance matrix
    randomized        scikit-learn's PCA by a randomized SVD
    incremental       scikit-learn's IncrementalPCA in its own batches of 5 d rows: as ours, one pass

Then many features, where `randomized` sketches: 10,000 x 10,000, 50 components; sparse rows; and whole jobs.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import job
from benchmarks.environment import options, save
from benchmarks.kmeans import peak
from benchmarks.timing import compare
from optml.container.group import Alone

ROWS, WIDTH, COMPONENTS = 200_000, 512, 50
JOBS = 3


def rows_of(count: int, width: int) -> np.ndarray:
    """Random rows around a mean of 1 whose variance falls off slowly: no method is done early."""
    rows = np.random.default_rng(0).standard_normal((count, width), dtype=np.float32)
    rows *= np.linspace(1, 3, width, dtype=np.float32)
    rows += 1
    return rows


def ours(rows: Any, components: int = COMPONENTS, **given: Any) -> Callable[[], Any]:
    """Train in memory; returns the model."""
    from optml.algorithms.base import Setting
    from optml.algorithms.pca import ALGORITHM
    from optml.algorithms.pca.learner import batch_rows
    from optml.formats.records import Records

    settings = ALGORITHM.hyperparameters(
        feature_dim=rows.shape[1], num_components=components, mini_batch_size=500, **given
    )

    def run() -> Any:
        learner = ALGORITHM.training.learner(Setting(settings, Alone()))
        for batch in batches(rows, batch_rows(settings)):
            learner.update(Records(batch))
        return learner.finish()[0]

    return run


def batches(rows: Any, size: int) -> Iterator[Any]:
    for start in range(0, rows.shape[0], size):
        yield rows[start : start + size]


def scikit_learn(rows: np.ndarray, solver: str) -> Callable[[], Any]:
    from sklearn.decomposition import PCA

    return lambda: PCA(COMPONENTS, svd_solver=solver, random_state=0).fit(rows)


def incremental(rows: np.ndarray) -> Callable[[], Any]:
    from sklearn.decomposition import IncrementalPCA

    def run() -> Any:
        model = IncrementalPCA(COMPONENTS)
        for batch in batches(rows, 5 * rows.shape[1]):
            model.partial_fit(batch)
        return model

    return run


def exact() -> dict[str, Any]:
    """The table that the acceptance is about."""
    from scipy.linalg.blas import ssyrk

    rows = rows_of(ROWS, WIDTH)
    fast: dict[str, Callable[[], Any]] = {
        "ours": ours(rows),
        "syrk": lambda: rows.T @ rows,
        "scipy": lambda: ssyrk(1.0, rows.T),
        "covariance_eigh": scikit_learn(rows, "covariance_eigh"),
    }
    times = compare(fast)
    slow = {"randomized": scikit_learn(rows, "randomized"), "incremental": incremental(rows)}
    times |= {name: once(run) for name, run in slow.items()}
    limit = peak()
    needed = ROWS * WIDTH * (WIDTH + 1)
    found, reference = fast["ours"]().s[::-1], fast["covariance_eigh"]().singular_values_
    return {
        "what": f"{ROWS} x {WIDTH}, {COMPONENTS} components",
        "seconds": times,
        "times_ours": {name: seconds / times["ours"] for name, seconds in times.items()},
        "peak_gflops": limit / 1e9,
        "seconds_at_peak": needed / limit,
        "share_of_peak": {name: needed / limit / times[name] for name in ("ours", "syrk", "scipy")},
        "largest_difference_to_covariance_eigh": float(np.abs(found / reference - 1).max()),
    }


def wide() -> dict[str, Any]:
    """Many features: the sketch of randomized mode, and what share of the variance it captures."""
    from sklearn.decomposition import PCA

    count = width = 10_000
    rng = np.random.default_rng(1)
    rank = 200
    rows = (
        rng.standard_normal((count, rank), dtype=np.float32)
        * np.arange(1, rank + 1, dtype=np.float32) ** -0.5
    )
    rows = rows @ rng.standard_normal((rank, width), dtype=np.float32)
    rows += rng.standard_normal((count, width), dtype=np.float32)
    contestants: dict[str, Callable[[], Any]] = {
        "ours": ours(rows, algorithm_mode="randomized"),
        "randomized": lambda: PCA(COMPONENTS, svd_solver="randomized", random_state=0).fit(rows),
    }
    times = compare(contestants, repeats=2)
    ours_directions = contestants["ours"]().v
    theirs = contestants["randomized"]().components_.T
    rows -= rows.mean(axis=0)
    total = float(np.square(rows).sum(dtype=np.float64))
    captured = {
        name: float(np.square(rows @ directions).sum(dtype=np.float64)) / total
        for name, directions in (("ours", ours_directions), ("randomized", theirs))
    }
    return {
        "what": f"{count} x {width}, {COMPONENTS} components, algorithm_mode randomized",
        "seconds": times,
        "times_ours": {name: seconds / times["ours"] for name, seconds in times.items()},
        "captured": captured,
    }


def sparse() -> dict[str, Any]:
    """Rows of which 1 % is not 0, as they are and made dense before."""
    from scipy.sparse import csr_array, random_array

    rng = np.random.default_rng(2)
    rows = csr_array(random_array((50_000, 2000), density=0.01, rng=rng, dtype=np.float32, format="csr"))
    rows.sort_indices()
    times = compare({"ours": ours(rows), "dense": ours(rows.toarray())}, repeats=2)
    return {"what": "50000 x 2000, density 0.01", "seconds": times}


def once(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def jobs() -> list[dict[str, Any]]:
    """`train` from the start of the process to its end, beside the bare compute and the start alone."""
    from optml.formats.record_protobuf import encode
    from optml.formats.records import Records

    rows = rows_of(ROWS, WIDTH)
    results = []
    for size in (500, 1):
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch) / "ml"
            train, config = root / "input" / "data" / "train", root / "input" / "config"
            for folder in (train, config):
                folder.mkdir(parents=True)
            given = {"feature_dim": WIDTH, "num_components": COMPONENTS, "mini_batch_size": size}
            (config / "hyperparameters.json").write_text(json.dumps({k: str(v) for k, v in given.items()}))
            whole, few = encode(Records(rows)), encode(Records(rows[:1000]))
            part = train / "rows.pbr"
            part.write_bytes(few)
            start = min(job.train(root, "pca")[0] for _ in range(JOBS))
            part.write_bytes(whole)
            best = min((job.train(root, "pca")[:2] for _ in range(JOBS)), key=lambda found: found[0])
        results.append(
            {
                "what": f"train, {ROWS} x {WIDTH} RecordIO, mini_batch_size={size}",
                "job_s": best[0],
                "job_of_1000_rows_s": start,
                "bare_compute_s": min(once(ours(rows)) for _ in range(JOBS)),
                "peak_resident_mb": round(best[1] / 1e6),
                "data_mb": round(len(whole) / 1e6),
            }
        )
    return results


def main() -> int:
    """Run, print the tables, and write pca-cpu.json."""
    folder = options(__doc__).parse_args().out
    warnings.filterwarnings("ignore", module="sklearn")
    results = []
    for measure in (exact, wide, sparse):
        row = measure()
        results.append(row)
        print(row["what"])
        for name, seconds in row["seconds"].items():
            print(f"    {name:16} {seconds:8.3f} s   {seconds / row['seconds']['ours']:6.2f} times ours")
        rest = {key: value for key, value in row.items() if key not in ("what", "seconds", "times_ours")}
        print(f"    {rest}\n", flush=True)
    done = jobs()
    for row in done:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    print(save("pca-cpu", results, folder=folder, jobs=done))
    return 0


if __name__ == "__main__":
    sys.exit(main())

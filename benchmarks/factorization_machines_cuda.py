"""Factorization machines on a GPU: the kernels of one step, and the learner over host memory.

step    scores and Adam's step of one batch whose view lies on the device, beside what its bytes take at
        the measured bandwidth: rows read for scores, s written and read by feature, touched rows and their
        moments read and written
pass    `Learner.update` over batches in host memory, where the view is made
"""

from __future__ import annotations

import time
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import save
from benchmarks.factorization_machines import FACTORS, batches, one_hot
from benchmarks.kmeans_cuda import peaks, seconds
from optml.algorithms.base import Setting
from optml.algorithms.factorization_machines import ALGORITHM
from optml.algorithms.kernels import factorized
from optml.algorithms.kernels.factorized.terms import FactorState, Step, View
from optml.container.group import Alone
from optml.formats.records import Records

SHAPES = ((9284, 2, 1000), (9284, 2, 100_000), (1_000_000, 20, 1000), (1_000_000, 20, 50_000))


def measure(width: int, entries: int, size: int, bandwidth: float) -> dict[str, Any]:
    """One row of the table: `entries` one-hot columns, `size` rows in a batch."""
    import torch

    rng = np.random.default_rng(0)
    features = one_hot(*(rng.integers(0, width // entries, 20 * size) for _ in range(entries)))
    parts = batches(features, rng.normal(size=20 * size), size)
    width = features.shape[1]
    state = FactorState(
        *(torch.full((width, FACTORS + 1), 0.01, device="cuda") for _ in range(3)), bias(torch)
    )
    first = parts[0].features
    arrays = View.of(first.indptr, first.indices, first.data)
    view = View(*(torch.from_numpy(getattr(arrays, field.name)).cuda() for field in fields(View)))
    labels = torch.zeros(size, device="cuda")
    rates = (1e-4, 1e-3, 0.1)
    step = Step.number(9, rates, (0.0, 0.0, 0.0), rescale=1 / size, clip=float("inf"), epsilon=1e-8)

    def run() -> None:
        scored = factorized.score(state, view, labels, classifier=False)
        factorized.learn(state, view, scored, step)

    taken = seconds(run)
    moved = 4 * (size * FACTORS * (2 * entries + 1) + 6 * len(view.distinct) * (FACTORS + 1))
    return {
        "features": width,
        "entries": entries,
        "batch": size,
        "step_seconds": taken,
        "bytes_per_second": moved / taken,
        "share_of_bandwidth": moved / taken / bandwidth,
        "pass_rows_per_second": through(width, parts, size),
    }


def bias(torch: Any) -> Any:
    return torch.zeros(3, dtype=torch.float64, device="cuda")


def through(width: int, parts: list[Records], size: int) -> float | None:
    """Rows/s of the learner; None without numba, which finds the features' places on the host."""
    import torch

    if find_spec("numba") is None:
        return None
    settings = ALGORITHM.hyperparameters(
        feature_dim=width, num_factors=FACTORS, predictor_type="regressor", mini_batch_size=size
    )
    learner = ALGORITHM.training.learner(Setting(settings, Alone(), "cuda:0"))
    for _ in range(2):  # rows are made by the first pass
        torch.cuda.synchronize()
        start = time.perf_counter()
        for part in parts:
            learner.update(part)
        torch.cuda.synchronize()
        passed = time.perf_counter() - start
    return len(parts) * size / passed


def cuda(folder: Path) -> Path:
    """Run, print the table, and write factorization_machines-cuda.json."""
    limits = peaks()
    results = []
    for shape in SHAPES:
        results.append(measure(*shape, limits["bandwidth"]))
        print(results[-1], flush=True)
    path = save("factorization_machines-cuda", results, folder=folder, peaks=limits)
    print(f"written: {path}")
    return path

"""IP Insights on a GPU: the kernels of one step, and the learner over host memory.

step    gradient and Adam's step of one batch whose view lies on the device, beside what its bytes take at
        the measured bandwidth: entities and prefixes read, touched rows and their moments read and written
pass    `Learner.update` over batches in host memory, where the view is made
"""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import save
from benchmarks.kmeans_cuda import peaks, seconds

SIZES = (1000, 10_000, 100_000)
PASSED = 2_000_000  # samples


def measure(size: int, bandwidth: float) -> dict[str, Any]:
    """One row of the table, at the tutorial's settings but for the batch."""
    import torch

    from benchmarks.ip_networks import Networks, events
    from benchmarks.ipinsights import AWS_SAMPLES, TUTORIAL, batches
    from optml.algorithms.base import Setting
    from optml.algorithms.ip_insights import ALGORITHM
    from optml.algorithms.ip_insights.learner import Learner
    from optml.algorithms.ip_insights.pairs import scan
    from optml.algorithms.kernels import pairs as pair_step
    from optml.algorithms.kernels.pairs.terms import LENGTHS, Step
    from optml.container.group import Alone

    given = ALGORITHM.hyperparameters(**(TUTORIAL | {"mini_batch_size": size}))
    state = Learner(Setting(given, Alone(), "cuda:0"))
    logins = events(Networks.made_up())[: PASSED // (1 + given.negatives)]
    parts = list(batches(scan(logins.csv(), "logins")[0], state, 0))
    view = state.parameters.view(parts[0].samples)
    numbers = Step.number(1, given.learning_rate, given.weight_decay, 1 / size)

    def step() -> None:
        found = pair_step.gradient(state.parameters.state, view)
        pair_step.learn(state.parameters.state, view, found, numbers)

    taken = seconds(step, 20)
    touched = len(view.entities.rows) + len(view.prefixes.rows)
    moved = 4 * given.vector_dim * (size + len(LENGTHS) * len(view.addresses) + 6 * touched)
    for _ in range(2):  # kernels are compiled by the first pass
        torch.cuda.synchronize()
        start = time.perf_counter()
        for part in parts:
            state.update(part)
        torch.cuda.synchronize()
        passed = time.perf_counter() - start
    samples = sum(map(len, parts)) / passed
    return {
        "mini_batch_size": size,
        "step_samples_per_second": size / taken,
        "bytes_per_second": moved / taken,
        "share_of_bandwidth": moved / taken / bandwidth,
        "pass_samples_per_second": samples,
        "times_aws_v100": samples / AWS_SAMPLES,
        "finite": bool(np.isfinite(float(state.totals[1]))),
    }


def cuda(folder: Path) -> Path | None:
    """Run, print the table, and write ipinsights-cuda.json; nothing without numba, which turns batches
    around."""
    if find_spec("numba") is None:
        print("numba is not installed: IP Insights is left out")
        return None
    bandwidth = peaks()["bandwidth"]
    rows = []
    for size in SIZES:
        rows.append(measure(size, bandwidth))
        print(rows[-1], flush=True)
    path = save("ipinsights-cuda", rows, folder=folder, bandwidth=bandwidth)
    print(f"written: {path}")
    return path

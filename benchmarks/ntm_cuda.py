"""The Neural Topic Model on a GPU: training over host memory, beside the same network in plain PyTorch.

step    `Learner.update` of a batch in host memory: its view is made there and copied
plain   the same network and optimiser on dense rows, of which the host keeps the counts
floor   what the decoder's four products take at the measured peak: scores twice, and two gradients
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.environment import save
from benchmarks.kmeans_cuda import peaks
from benchmarks.ntm import batches, documents, plain
from optml.algorithms.base import Setting
from optml.algorithms.ntm import ALGORITHM
from optml.container.group import Alone

SHAPES = ((2000, 20, 128, 60, 12_800), (100_000, 100, 256, 100, 5120), (100_000, 100, 2048, 100, 20_480))


def measure(
    words: int, topics: int, size: int, length: int, n: int, limits: dict[str, float]
) -> dict[str, Any]:
    """One row of the table."""
    counts = documents(words, length, n)
    settings = ALGORITHM.hyperparameters(feature_dim=words, num_topics=topics, mini_batch_size=size)
    assert ALGORITHM.training.learner is not None
    learner = ALGORITHM.training.learner(Setting(settings, Alone(), "cuda:0"))
    parts = list(batches(counts, size))

    def ours() -> None:
        for part in parts:
            learner.update(part)

    found = {"step": passed(ours), "plain": passed(plain(counts, topics, size, "cuda:0"))}
    floor = 4 * 2 * n * words * topics / limits["float32"]
    return {
        "words": words,
        "topics": topics,
        "batch": size,
        "documents_per_second": {who: n / seconds for who, seconds in found.items()},
        "share_of_peak": floor / found["step"],
    }


def passed(run: Callable[[], None]) -> float:
    """Seconds of the better of two passes, after one that compiles."""
    import torch

    best = float("inf")
    for turn in range(3):
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        if turn:
            best = min(best, time.perf_counter() - start)
    return best


def cuda(folder: Path) -> Path:
    """Run, print the table, and write ntm-cuda.json."""
    limits = peaks()
    rows = []
    for shape in SHAPES:
        rows.append(measure(*shape, limits))
        print(rows[-1], flush=True)
    path = save("ntm-cuda", rows, folder=folder, peaks=limits)
    print(f"written: {path}")
    return path

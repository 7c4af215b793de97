"""PCA on a GPU: the Gram matrix of rows that lie there, and the streaming pass over host memory.

gram    our kernel on a block: shift, float32 product (TF32 off), float64 sums
bare    torch's float32 product X^T X alone, which takes no heed of symmetry: 2 n d^2 operations
pass    `Learner.update` over host memory, copies included, and `finish`, whose eigh runs on the CPU
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import save
from benchmarks.kmeans_cuda import peaks, seconds

WIDTHS = (34, 128, 512, 2048)
VALUES = 1 << 28  # of the rows: 1 GiB of float32


def gram(width: int, limits: dict[str, float]) -> dict[str, Any]:
    """Rows on the device: what a pass costs there, beside what its work takes at the measured peaks."""
    import torch

    from optml.algorithms.kernels.gram import accumulate

    generator = torch.Generator("cuda").manual_seed(0)
    rows = torch.randn(min(VALUES // width, 1 << 21), width, device="cuda", generator=generator)
    shift = rows.mean(0)
    total = torch.zeros(width, width, dtype=torch.float64, device="cuda")
    sums = torch.zeros(width, dtype=torch.float64, device="cuda")
    found = {
        "gram": seconds(lambda: accumulate(rows, shift, total, sums)),
        "bare": seconds(lambda: rows.T @ rows),
    }
    floor = max(2 * len(rows) * width**2 / limits["float32"], 4 * rows.numel() / limits["bandwidth"])
    return {
        "rows": len(rows),
        "features": width,
        "seconds": found,
        "floor": floor,
        "share_of_roofline": floor / found["gram"],
    }


def streaming(width: int) -> dict[str, Any]:
    """One pass of the learner over host memory, in rows a second."""
    import torch

    from optml.algorithms.base import Setting
    from optml.algorithms.pca import ALGORITHM
    from optml.algorithms.pca.learner import batch_rows
    from optml.container.group import Alone
    from optml.formats.records import Records

    rows = np.random.default_rng(0).random((min(VALUES // width, 2_000_000), width), dtype=np.float32)
    settings = ALGORITHM.hyperparameters(
        feature_dim=width, num_components=min(50, width), mini_batch_size=500
    )
    learner = ALGORITHM.training.learner(Setting(settings, Alone(), "cuda:0"))
    size = batch_rows(settings)
    for first in (0, size):  # both places of the staging, and the library's own start
        learner.update(Records(rows[first : first + size]))
    torch.cuda.synchronize()
    start = time.perf_counter()
    for first in range(0, len(rows), size):
        learner.update(Records(rows[first : first + size]))
    torch.cuda.synchronize()
    middle = time.perf_counter()
    learner.finish()
    return {
        "features": width,
        "rows_per_second": len(rows) / (middle - start),
        "bytes_per_second": rows.nbytes / (middle - start),
        "finish_s": time.perf_counter() - middle,
    }


def cuda(folder: Path) -> Path:
    """Run, print the tables, and write pca-cuda.json."""
    limits = peaks()
    results = [gram(width, limits) for width in WIDTHS]
    passes = [streaming(width) for width in WIDTHS]
    for row in (*results, *passes):
        print(row, flush=True)
    path = save("pca-cuda", results, folder=folder, peaks=limits, streaming=passes)
    print(f"written: {path}")
    return path

"""Random Cut Forest on a GPU: scoring, beside what it must read from memory at least.

ours    the kernel, rows and forest on the device
floor   reading the rows and the forest once, at the measured bandwidth of a copy
cpu     the CPU path of the same machine, on a tenth of the rows
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import save
from benchmarks.kmeans_cuda import seconds
from benchmarks.randomcutforest import trained

SHAPES = ((100, 256, 1), (100, 256, 32), (100, 2048, 32), (1000, 2048, 32), (100, 256, 1000))
VALUES = 1 << 24  # of the rows: 64 MiB of float32


def bandwidth() -> float:
    """Bytes/s of a copy, read and write."""
    import torch

    source = torch.empty(1 << 28, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.nbytes / seconds(lambda: target.copy_(source))


def measure(trees: int, size: int, width: int, rate: float) -> dict[str, Any]:
    import torch

    from optml.algorithms.kernels.forest import score

    rng = np.random.default_rng(0)
    forest = trained(rng.normal(size=(trees * size, width)).astype(np.float32), trees, size).forest
    rows = rng.normal(size=(min(1 << 18, VALUES // width), width)).astype(np.float32)
    on_device, there = torch.tensor(rows, device="cuda"), forest.on("cuda")
    ours = seconds(lambda: score(on_device, there))
    few = rows[: len(rows) // 10]
    start = time.perf_counter()
    expected = score(few, forest)
    cpu = (time.perf_counter() - start) * len(rows) / len(few)
    found = score(on_device, there).cpu().numpy()[: len(few)]
    return {
        "trees": trees,
        "rows_of_a_tree": size,
        "features": width,
        "rows": len(rows),
        "seconds": {"ours": ours, "floor": (rows.nbytes + forest.nbytes) / rate, "cpu": cpu},
        "rows_per_second": len(rows) / ours,
        "largest_difference": float(np.abs(found / expected - 1).max()),
    }


def cuda(folder: Path) -> Path:
    """Run, print the table, and write randomcutforest-cuda.json."""
    rate = bandwidth()
    results = []
    for shape in SHAPES:
        row = measure(*shape, rate)
        results.append(row)
        times = "  ".join(f"{name} {1e3 * value:.3f} ms" for name, value in row["seconds"].items())
        print(f"{shape}  {row['rows_per_second']:,.0f} rows/s  {times}  off {row['largest_difference']:.1e}")
    return save("randomcutforest-cuda", results, folder=folder, bandwidth=rate)

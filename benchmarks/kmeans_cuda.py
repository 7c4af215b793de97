"""K-Means on a GPU: assignment and update of one Lloyd iteration, and the streaming pass itself.

Grid: d = 32, 128, 784 and K = 100 to 32,768. Contestants, on the same rows in the same run:

    assign        our kernel, labels and winning scores; beside it what its work takes at the measured peaks:
                  3 TF32 products at the TF32 peak, or reading the rows at the measured bandwidth
    absorb        assign, sums and counts: what a mini-batch costs on the device
    torch         argmin over torch.addmm in blocks of rows (float32, TF32 off), sums by index_add
    flash-kmeans  its assignment, where it is installed (float16 or float32 as it takes them)
    pass          `Learner.update` over host memory in batches of 5,000 and 50,000 rows, copies included
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import save

WIDTHS = (32, 128, 784)
CENTERS = (100, 1000, 4096, 32768)
VALUES = 1 << 28  # of the rows: 1 GiB of float32
WORK = 4e14  # floating-point operations of one assignment at most; rows are cut to fit


def seconds(run: Callable[[], object], repeats: int = 5) -> float:
    """The best time of one run on the device, by CUDA events."""
    import torch

    run()
    best = float("inf")
    for _ in range(repeats):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        stop.record()
        stop.synchronize()
        best = min(best, start.elapsed_time(stop) / 1e3)
    return best


def peaks() -> dict[str, float]:
    """Bytes/s of a copy (read and write), FLOP/s of large float32 products with TF32 off and on."""
    import torch

    source = torch.empty(VALUES, device="cuda")
    target = torch.empty_like(source)
    found = {"bandwidth": 2 * 4 * VALUES / seconds(lambda: target.copy_(source))}
    matrix = torch.randn(8192, 8192, device="cuda")
    for name, allowed in (("float32", False), ("tf32", True)):
        torch.backends.cuda.matmul.allow_tf32 = allowed
        found[name] = 2 * 8192**3 / seconds(lambda: matrix @ matrix)
    torch.backends.cuda.matmul.allow_tf32 = False
    return found


def plain_torch(rows: Any, centers: Any, block: int) -> Callable[[], object]:
    import torch

    bias = -0.5 * torch.square(centers).sum(dim=1)

    def run() -> object:
        parts = [torch.addmm(bias, part, centers.T).argmax(dim=1) for part in rows.split(block)]
        labels = torch.cat(parts)
        sums = torch.zeros_like(centers, dtype=torch.float64)
        for start, part in zip(range(0, len(rows), block), rows.split(block), strict=True):
            sums.index_add_(0, labels[start : start + block], part.double())
        return sums, torch.bincount(labels, minlength=len(centers))

    return run


def flash(rows: Any, centers: Any) -> Callable[[], object] | None:
    """The assignment of flash-kmeans, by the name it has had so far; None where it is missing."""
    try:
        from flash_kmeans.assign_euclid_triton import euclid_assign_triton
    except ImportError:
        return None
    import torch

    lengths = torch.square(rows).sum(dim=1)[None]
    return lambda: euclid_assign_triton(rows[None], centers[None], lengths)


def measure(width: int, count: int, limits: dict[str, float]) -> dict[str, Any]:
    import torch

    from optml.algorithms.kernels.nearest import triton as nearest_triton

    n = int(min(VALUES // width, WORK / (2 * width * count), 1 << 23))
    generator = torch.Generator("cuda").manual_seed(0)
    rows = torch.randn(n, width, device="cuda", generator=generator)
    centers = torch.randn(count, width, device="cuda", generator=generator)
    _, around, bias = nearest_triton._fold(centers.double())
    found: dict[str, Any] = {
        "assign": seconds(lambda: nearest_triton.assign(rows, around, bias)),
        "absorb": seconds(lambda: nearest_triton.absorb(rows, centers.double())),
        "torch": seconds(plain_torch(rows, centers, max(1, (1 << 28) // count)), 3),
    }
    notes = []
    contestant = flash(rows, centers)
    if contestant is not None:
        try:
            found["flash-kmeans"] = seconds(contestant)
        except Exception as error:  # another version, another signature: the others still count
            notes.append(f"flash-kmeans: {type(error).__name__}: {error}")
    floor = max(3 * 2 * n * width * count / limits["tf32"], 4 * n * (width + 2) / limits["bandwidth"])
    return {
        "rows": n,
        "features": width,
        "centers": count,
        "seconds": found,
        "assign_floor": floor,
        "share_of_roofline": floor / found["assign"],
        "notes": notes,
    }


def streaming(width: int, count: int, batch: int) -> dict[str, Any]:
    """One pass of the learner over host memory, in rows a second."""
    import time

    import torch

    from optml.algorithms.base import Setting
    from optml.algorithms.kmeans import ALGORITHM
    from optml.container.group import Alone
    from optml.formats.records import Records

    rows = np.random.default_rng(0).random((min(VALUES // width, 2_000_000), width), dtype=np.float32)
    settings = ALGORITHM.hyperparameters(
        feature_dim=width, k=count, extra_center_factor=1, mini_batch_size=batch
    )
    learner = ALGORITHM.training.learner(Setting(settings, Alone(), "cuda:0"))
    learner.update(Records(rows[:batch]))
    learner.update(Records(rows[:batch]))
    torch.cuda.synchronize()
    start = time.perf_counter()
    for first in range(0, len(rows), batch):
        learner.update(Records(rows[first : first + batch]))
    torch.cuda.synchronize()
    taken = time.perf_counter() - start
    return {
        "features": width,
        "centers": count,
        "batch": batch,
        "rows_per_second": len(rows) / taken,
        "bytes_per_second": rows.nbytes / taken,
    }


def cuda(folder: Path) -> Path:
    """Run, print the tables, and write kmeans-cuda.json."""
    limits = peaks()
    print(
        f"copy {limits['bandwidth'] / 1e9:.0f} GB/s, float32 {limits['float32'] / 1e12:.0f} TFLOP/s, "
        f"TF32 {limits['tf32'] / 1e12:.0f} TFLOP/s\n"
    )
    results = []
    for width in WIDTHS:
        for count in CENTERS:
            row = measure(width, count, limits)
            results.append(row)
            times = "  ".join(f"{name} {1e3 * value:9.3f} ms" for name, value in row["seconds"].items())
            shape = f"n={row['rows']:8} d={width:4} K={count:6}"
            print(f"{shape}  {times}  roofline {row['share_of_roofline']:.0%}", *row["notes"], flush=True)
    passes = [streaming(w, k, b) for w, k in ((32, 1000), (784, 1000)) for b in (5000, 50_000)]
    for row in passes:
        print(row)
    path = save("kmeans-cuda", results, folder=folder, peaks=limits, streaming=passes)
    print(f"written: {path}")
    return path

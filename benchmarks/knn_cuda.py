"""The k nearest points on a GPU: flat search, against torch and faiss-gpu on the same points in the same run.

Contestants:

    ours     `kernels.topk.search`; beside it what its work takes at the measured peaks: 3 TF32 products at
             the TF32 peak, or reading the points at the measured bandwidth
    torch    topk of addmm over blocks of the points (float32, TF32 off)
    faiss    GpuIndexFlatL2, where faiss-gpu is installed
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.environment import save
from benchmarks.kmeans_cuda import peaks, seconds

SHAPES = ((60_000, 784), (500_000, 32), (4_000_000, 128))
QUERIES = (1, 100, 1000, 10_000)
NEIGHBOURS = (10, 100)
BLOCK = 1 << 28  # scores at a time


def plain_torch(queries: Any, points: Any, k: int) -> Callable[[], Any]:
    import torch

    bias = -0.5 * torch.square(points).sum(dim=1)
    width = max(k, BLOCK // len(queries))

    def run() -> Any:
        scores, places = [], []
        for start in range(0, len(points), width):
            block = torch.addmm(bias[start : start + width], queries, points[start : start + width].T)
            found = torch.topk(block, min(k, block.shape[1]), dim=1)
            scores.append(found.values)
            places.append(found.indices + start)
        best = torch.topk(torch.cat(scores, dim=1), k, dim=1).indices
        return torch.cat(places, dim=1).gather(1, best)

    return run


def by_faiss(queries: Any, points: Any, k: int) -> Callable[[], object] | None:
    """faiss-gpu on host memory, as it is called from Python; None where it is missing."""
    try:
        import faiss

        index = faiss.GpuIndexFlatL2(faiss.StandardGpuResources(), points.shape[1])
    except (ImportError, AttributeError):
        return None
    index.add(points.cpu().numpy())
    asked = queries.cpu().numpy()
    return lambda: index.search(asked, k)


def measure(points: Any, count: int, k: int, limits: dict[str, float], generator: Any) -> dict[str, Any]:
    import torch

    from optml.algorithms.kernels.topk import search
    from optml.algorithms.kernels.topk.terms import Points

    (n, d) = points.shape
    queries = torch.randn(count, d, device="cuda", generator=generator)
    mean = points.double().mean(dim=0)
    bias = -0.5 * torch.square(points - mean.float()).sum(dim=1)
    folded = Points(points, mean, bias)
    theirs = plain_torch(queries, points, k)
    same = (search(queries, folded, k, False)[1].sort(dim=1).values == theirs().sort(dim=1).values).float()
    found = {
        "ours": seconds(lambda: search(queries, folded, k, False)),
        "torch": seconds(theirs),
    }
    rival = by_faiss(queries, points, k)
    if rival is not None:
        found["faiss"] = seconds(rival)
    floor = max(3 * 2 * count * n * d / limits["tf32"], 4 * n * d / limits["bandwidth"])
    return {
        "points": n,
        "features": d,
        "queries": count,
        "k": k,
        "seconds": found,
        "same_as_torch": same.mean().item(),
        "share_of_roofline": floor / found["ours"],
    }


def cuda(folder: Path) -> Path:
    """Run, print the table, and write knn-cuda.json."""
    import torch

    limits = peaks()
    results = []
    generator = torch.Generator("cuda").manual_seed(0)
    for n, d in SHAPES:
        points = torch.randn(n, d, device="cuda", generator=generator)
        for count in QUERIES:
            for k in NEIGHBOURS:
                row = measure(points, count, k, limits, generator)
                results.append(row)
                times = "  ".join(f"{name} {1e3 * value:9.3f} ms" for name, value in row["seconds"].items())
                print(
                    f"n={n:8} d={d:4} q={count:6} k={k:4}  {times}  roofline {row['share_of_roofline']:.0%}  "
                    f"same as torch {row['same_as_torch']:.3%}",
                    flush=True,
                )
    path = save("knn-cuda", results, folder=folder, peaks=limits)
    print(f"written: {path}")
    return path

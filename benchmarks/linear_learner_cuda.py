"""Linear Learner on a GPU: the gradient and update of one step, and the pass over host memory.

step    forward, loss, backward and Adam for M models on a batch that lies on the device; beside it the two
        bare float32 products of its shape, and what the step takes at the measured peaks
pass    `Learner.update` over host memory, copies included
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import save
from benchmarks.kmeans_cuda import peaks, seconds

SHAPES = tuple(
    (width, models, batch) for width in (32, 784) for models in (1, 32, 128) for batch in (1000, 20_000)
)


def step(width: int, models: int, batch: int, limits: dict[str, float]) -> dict[str, Any]:
    """Seconds of a logistic step, `floor` of them if nothing but its products, or its bytes, took time."""
    import torch

    from optml.algorithms.kernels.linear import gradient, update
    from optml.algorithms.kernels.linear.terms import Problem, Update

    generator = torch.Generator("cuda").manual_seed(0)
    rows = torch.randn(batch, width, device="cuda", generator=generator)
    labels = (torch.rand(batch, device="cuda", generator=generator) < 0.5).float()
    weights = torch.randn(width + 1, models, device="cuda", generator=generator) / width
    moments = (torch.zeros_like(weights), torch.zeros_like(weights))
    ones = torch.ones(models, device="cuda")
    problem = Problem(
        "logistic",
        0.0,
        models,
        1,
        torch.ones(2, models, device="cuda"),
        torch.zeros(width, device="cuda"),
        torch.ones(width, device="cuda"),
        torch.zeros(width, dtype=torch.bool, device="cuda"),
        folded=True,
    )
    how = Update("adam", 1e-3 * ones, 1e-4 * ones, 0 * ones, 1e-2 * ones, 0 * ones, 0.9, 0.999)

    def ours() -> None:
        summed, _ = gradient(rows, labels, weights, problem)
        update(weights, moments, summed, 1 / batch, True, how)

    columns = weights[:-1].contiguous()
    found = {"step": seconds(ours), "products": seconds(lambda: rows.T @ (rows @ columns))}
    work, read = 4 * batch * width * models, 4 * (batch * width + 6 * weights.numel())
    floor = max(work / limits["float32"], read / limits["bandwidth"])
    return {
        "features": width,
        "models": models,
        "batch": batch,
        "seconds": found,
        "floor": floor,
        "tflops": work / found["step"] / 1e12,
        "share_of_roofline": floor / found["step"],
        "times_bare_products": found["step"] / found["products"],
    }


def streaming(width: int, models: int, batch: int) -> dict[str, Any]:
    """One pass of the learner over host memory, in rows a second."""
    import torch

    from optml.algorithms.base import Setting
    from optml.algorithms.linear_learner import ALGORITHM
    from optml.container.group import Alone
    from optml.formats.records import Records

    generator = np.random.default_rng(0)
    features = generator.random((500_000, width), dtype=np.float32)
    labels = (features[:, :1] > 0.5).astype(np.float64)
    settings = ALGORITHM.hyperparameters(
        predictor_type="binary_classifier", num_models=models, mini_batch_size=batch
    )
    learner: Any = ALGORITHM.training.learner(Setting(settings, Alone(), "cuda:0"))
    parts = [
        Records(features[at : at + batch], labels[at : at + batch]) for at in range(0, len(features), batch)
    ]
    taken = 0.0
    for _ in range(2):  # the first pass compiles, and buffers the scaler's rows
        start = time.perf_counter()
        for part in parts:
            learner.update(part)
        torch.cuda.synchronize()
        taken = time.perf_counter() - start
    return {
        "features": width,
        "models": models,
        "batch": batch,
        "rows_per_second": len(features) / taken,
        "bytes_per_second": features.nbytes / taken,
    }


def cuda(folder: Path) -> Path:
    """Run, print the tables, and write linear_learner-cuda.json."""
    limits = peaks()
    results = []
    for width, models, batch in SHAPES:
        row = step(width, models, batch, limits)
        results.append(row)
        print(
            f"d={width:4} M={models:4} batch={batch:6}  {row['seconds']['step'] * 1e6:8.1f} us  "
            f"{row['tflops']:6.2f} TFLOP/s  roofline {row['share_of_roofline']:.0%}  "
            f"{row['times_bare_products']:.2f} x its bare products",
            flush=True,
        )
    passes = [streaming(width, models, batch) for width, models, batch in SHAPES if width == 784]
    for row in passes:
        print(row)
    path = save("linear_learner-cuda", results, folder=folder, peaks=limits, streaming=passes)
    print(f"written: {path}")
    return path

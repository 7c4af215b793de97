"""DeepAR's training on a GPU: windows a second, and how much of the time the card computes.

Series of 1,000 hourly points; the default network (2 layers of 40 cells) and a wide one (3 of 128), batches
of 32, 128 and 1024 windows of 72 + 24 steps. The recurrence alone moves, for each window and step of a layer,
its gates in and out, its states and masks: those bytes against the card's bandwidth.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import save
from benchmarks.kmeans_cuda import peaks, seconds

STEPS = 96


def recurrence(cells: int, batch: int, bandwidth: float) -> dict[str, Any]:
    """Forward and backward of one layer."""
    import torch

    from optml.algorithms.kernels import lstm

    gates = torch.randn(STEPS, batch, 4 * cells, device="cuda:0", requires_grad=True)
    weight = (0.1 * torch.randn(4 * cells, cells, device="cuda:0")).requires_grad_()
    real = torch.ones(STEPS, batch, dtype=torch.bool, device="cuda:0")
    kept = torch.rand(2, STEPS, batch, cells, device="cuda:0") < 0.1

    def step() -> None:
        lstm.recurrence(gates, weight, real, kept).sum().backward()

    taken = seconds(step, 10)
    # (t, b, n) floats: forward 4 gates in, 4 out, 2 states; backward 4, 4 and 2; 4 masks of a byte
    moved = STEPS * batch * cells * (4 * 20 + 4)
    return {
        "what": "recurrence", "cells": cells, "batch": batch, "seconds": taken,
        "bytes_per_second": moved / taken, "share_of_bandwidth": moved / taken / bandwidth,
    }  # fmt: skip


def updates(cells: int, layers: int, batch: int) -> dict[str, Any]:
    from optml.algorithms.base import Setting
    from optml.algorithms.forecasting_deepar.builder import Builder
    from optml.algorithms.forecasting_deepar.data import Sampler
    from optml.algorithms.forecasting_deepar.frequency import Frequency
    from optml.algorithms.forecasting_deepar.hyperparameters import Hyperparameters
    from optml.algorithms.forecasting_deepar.learner import Learner
    from optml.container.group import Alone

    parameters = Hyperparameters.model_validate(
        {
            "time_freq": "H", "context_length": 72, "prediction_length": STEPS - 72, "epochs": 1,
            "mini_batch_size": batch, "num_cells": cells, "num_layers": layers,
        }
    )  # fmt: skip
    builder = Builder(Frequency("H"))
    generator = np.random.default_rng(0)
    for _ in range(200):
        values = 5 + np.sin(2 * np.pi * np.arange(1000) / 24) + 0.1 * generator.standard_normal(1000)
        builder.add({"start": "2020-01-01", "target": values}, str)
    train = Sampler(builder.series(), parameters)
    learner = Learner(Setting(parameters, Alone(), device="cuda:0", train=train))
    draws = [draw for draw in train.epoch(0) if len(draw) == batch]
    list(learner.update(draws[0]))
    taken = seconds(lambda: [list(learner.update(draw)) for draw in draws[1:6]], 3)
    return {
        "what": "updates", "cells": cells, "layers": layers, "batch": batch,
        "windows_per_second": 5 * batch / taken,
    }  # fmt: skip


def cuda(folder: Path) -> Path:
    """Run, print the table, and write forecasting_deepar-cuda.json."""
    bandwidth = peaks()["bandwidth"]
    rows = [recurrence(cells, batch, bandwidth) for cells in (40, 128) for batch in (32, 1024)]
    rows += [
        updates(cells, layers, batch) for cells, layers in ((40, 2), (128, 3)) for batch in (32, 128, 1024)
    ]
    for row in rows:
        print(row, flush=True)
    path = save("forecasting_deepar-cuda", rows, folder=folder, bandwidth=bandwidth)
    print(f"written: {path}")
    return path

"""XGBoost on a GPU: whole jobs over the library alone, and the GPU's model beside the CPU's.

job      as on the CPU (`benchmarks.xgboost`), with device=cuda on both sides
rounds   seconds of 100 rounds on bins that are made already, on both devices, and the RMSE on rows held out

It needs the package xgboost, not xgboost-cpu, which has no CUDA; else it says so and measures nothing.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import save
from benchmarks.xgboost import PARAMETERS, ROUNDS, job, rows_of

ROWS = 1_000_000
HELD = 100_000


def boosting(table: np.ndarray) -> dict[str, Any]:
    """Both devices on the same bins."""
    import xgboost

    train, held = table[HELD:], table[:HELD]
    seconds: dict[str, float] = {}
    errors: dict[str, float] = {}
    for device in ("cpu", "cuda"):
        matrix = xgboost.QuantileDMatrix(train[:, 1:], train[:, 0])
        given = PARAMETERS | {"device": device}
        xgboost.train(given, matrix, 1)  # bins to the device
        began = time.perf_counter()
        booster = xgboost.train(given, matrix, ROUNDS)
        seconds[device] = time.perf_counter() - began
        booster.set_param({"device": "cpu"})
        found = booster.inplace_predict(np.ascontiguousarray(held[:, 1:]))
        errors[device] = float(np.sqrt(np.mean((found - held[:, 0]) ** 2)))
    return {
        "what": f"{len(train)} x {train.shape[1] - 1}, {ROUNDS} rounds",
        "seconds": seconds,
        "rmse": errors,
        "cpu_over_cuda": seconds["cpu"] / seconds["cuda"],
    }


def cuda(folder: Path) -> Path | None:
    """Run, print the table, and write xgboost-cuda.json."""
    try:
        import xgboost
    except ImportError:
        print("xgboost is not installed: left out")
        return None
    if not xgboost.build_info().get("USE_CUDA"):
        print("the installed xgboost has no CUDA: left out")
        return None
    table = rows_of(ROWS)
    with tempfile.TemporaryDirectory() as scratch:
        results = [boosting(table), job(table, Path(scratch), "cuda")]
    for result in results:
        print("\n".join(f"{name:16} {value}" for name, value in result.items()), end="\n\n", flush=True)
    return save("xgboost-cuda", results, folder=folder)

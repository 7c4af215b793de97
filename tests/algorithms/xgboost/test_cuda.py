"""XGBoost on a GPU; skipped where there is none, or the library cannot use it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xgboost

from tests.algorithms.xgboost.runs import both, score, train

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(
    not (torch.cuda.is_available() and xgboost.build_info().get("USE_CUDA")),
    reason="needs a GPU, and the package xgboost, which has CUDA",
)


def values(line: str) -> list[float]:
    return [float(item.rpartition(":")[2]) for item in line.split("\t")[1:]]


@pytest.mark.parametrize("method", ["auto", "gpu_hist", "approx"])
def test_a_gpu_learns_what_a_cpu_does(tmp_path: Path, method: str) -> None:
    there = train(both(), tmp_path, processor="cuda:0", tree_method=method)
    here = train(both(), tmp_path, tree_method="hist" if method == "gpu_hist" else method)
    assert values(there.lines[-1]) == pytest.approx(values(here.lines[-1]), rel=0.02)  # the spec's tolerance
    np.testing.assert_allclose(score(there), score(here), atol=0.3)


def test_what_a_gpu_draws_survives_a_resume(tmp_path: Path) -> None:
    hyperparameters = {"subsample": 0.6, "colsample_bytree": 0.5, "colsample_bynode": 0.7}
    checkpoints = tmp_path / "checkpoints"
    first = train(
        both(), tmp_path, processor="cuda:0", checkpoints=checkpoints, stop_after=4, **hyperparameters
    )
    second = train(both(), tmp_path, processor="cuda:0", checkpoints=checkpoints, **hyperparameters)
    whole = train(both(), tmp_path, processor="cuda:0", checkpoints=tmp_path / "others", **hyperparameters)
    for resumed, undisturbed in zip(first.lines + second.lines, whole.lines, strict=True):
        assert values(resumed) == pytest.approx(values(undisturbed), rel=1e-4)


def test_few_rows_are_answered_as_many(tmp_path: Path) -> None:
    result = train(both(), tmp_path, processor="cuda:0")
    rows = np.random.default_rng(1).normal(size=(200, 5)).astype(np.float32)
    one = np.concatenate([score(result, rows[at : at + 1]) for at in range(len(rows))])
    np.testing.assert_allclose(score(result, rows), one, rtol=1e-5)

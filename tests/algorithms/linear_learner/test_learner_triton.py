"""The learner with its state in tensors: on a GPU, or else on the CPU with interpreted kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from optml.algorithms.base import Setting
from optml.algorithms.linear_learner.hyperparameters import Hyperparameters
from optml.algorithms.linear_learner.learner import Learner
from optml.container.group import Alone
from optml.formats.records import Records

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta"),
]

RNG = np.random.default_rng(0)
ROWS = (RNG.normal(size=(210, 4)) * (RNG.random((210, 4)) < 0.5) + np.array([0, 0, 3, 0])).astype(np.float32)
LABELS = (ROWS @ [1, -2, 0.5, 1] > 1.5).astype(float)


def on(device: str, **hyperparameters: Any) -> Learner:
    settings = Hyperparameters.model_validate(
        {"predictor_type": "binary_classifier", "mini_batch_size": 60, "num_models": 3} | hyperparameters
    )
    return Learner(Setting(settings, Alone(), device))


def train(state: Learner, rows: Any) -> Learner:
    whole = Records(rows, LABELS[:, None])
    for _ in range(3):
        for start in range(0, 210, 60):
            state.update(whole[start : start + 60])
        list(state.end_round())
    return state


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sparse", "dense", "far"])
def test_tensors_learn_what_arrays_learn(kind: str) -> None:
    device = "cuda:0" if torch.cuda.is_available() else "cpu:0"  # "cpu" alone would mean NumPy
    rows = {"dense": ROWS, "sparse": csr_array(ROWS), "far": ROWS + np.float32(1e3)}[kind]
    state = train(on(device), rows)
    resumed = on(device)
    resumed.load_state_dict(state.state_dict())
    (model, metrics), (again, _) = state.finish(), resumed.finish()
    np.testing.assert_array_equal(model.weight, again.weight)
    expected, scores = train(on("cpu"), rows).finish()
    np.testing.assert_allclose(model.weight, expected.weight, rtol=1e-3, atol=1e-3)
    for ours, theirs in zip(metrics, scores, strict=True):
        assert ours.value == pytest.approx(theirs.value, abs=0.01)

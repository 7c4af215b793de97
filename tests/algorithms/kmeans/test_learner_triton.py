"""The learner with its state in tensors: on a GPU, or else on the CPU with interpreted kernels."""

from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.base import Setting
from optml.algorithms.kernels.nearest import reference
from optml.algorithms.kmeans import ALGORITHM
from optml.algorithms.kmeans.learner import Learner
from optml.algorithms.kmeans.model import Model
from optml.container.group import Alone
from optml.formats.records import Records

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.gpu


def in_tensors(**hyperparameters: object) -> Learner:
    device = "cuda:0" if torch.cuda.is_available() else "cpu:0"  # "cpu" alone would mean NumPy
    return Learner(Setting(ALGORITHM.hyperparameters(feature_dim=5, k=3, **hyperparameters), Alone(), device))


def test_tensors_absorb_batches_by_the_rule() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(size, 5)).astype(np.float32) for size in (90, 90, 35)]
    learner = in_tensors(extra_center_factor=4, half_life_time_size=100)
    learner.update(Records(parts[0]))
    state = learner.state_dict()
    centers, weights = state["centers"], state["weights"]
    for part in parts[1:]:
        learner.update(Records(part))
        _, _, totals = reference(part, centers)
        weights *= 2.0 ** (-len(part) / 100)
        sums_of_weights = np.maximum(weights + totals.counts, 1e-300)[:, None]
        means = (weights[:, None] * centers + totals.sums) / sums_of_weights
        centers = np.where(totals.counts[:, None] > 0, means, centers)
        weights = weights + totals.counts
    learner.update(None)
    arrays = learner.state_dict()
    np.testing.assert_allclose(arrays["weights"], weights)
    np.testing.assert_allclose(arrays["centers"], centers, rtol=1e-6, atol=1e-9)


def test_a_model_is_trained_saved_as_state_and_scored() -> None:
    rows = np.random.default_rng(1).normal(size=(300, 5)).astype(np.float32)
    first = in_tensors(mini_batch_size=100)
    for start in range(0, 300, 100):
        first.update(Records(rows[start : start + 100]))
    first.end_round()
    second = in_tensors(mini_batch_size=100)
    second.load_state_dict(first.state_dict())
    (ours, metrics), (theirs, _) = first.finish(), second.finish()
    np.testing.assert_array_equal(ours.centers, theirs.centers)
    assert {metric.name for metric in metrics} == {"train:msd", "train:row_msd"}
    (test,) = first.evaluate("test", [Records(rows)])
    _, squared, _ = reference(rows, ours.centers)
    assert test.value == pytest.approx(squared.mean(), rel=1e-5)


def test_a_model_on_a_device_answers_as_on_the_cpu() -> None:
    rng = np.random.default_rng(2)
    device = "cuda:0" if torch.cuda.is_available() else "cpu:0"
    centers, rows = rng.normal(size=(40, 6)).astype(np.float32), rng.normal(size=(900, 6)).astype(np.float32)
    labels, distances = Model(centers, np.ones(40), device=device).assign(rows)
    _, squared, _ = reference(rows, centers)
    np.testing.assert_allclose(np.linalg.norm(rows - centers[labels], axis=1), np.sqrt(squared), rtol=1e-5)
    np.testing.assert_allclose(distances, np.sqrt(squared), rtol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_on_their_way_to_the_gpu_keep_apart() -> None:
    from optml.algorithms.kernels.machine.staging import Staging

    staging = Staging("cuda:0")
    total = torch.zeros(7, device="cuda:0", dtype=torch.float64)
    expected = np.zeros(7)
    for size in (5, 100_000, 3, 250_000, 250_000, 1, 0, 40):
        rows = np.random.default_rng(size).normal(size=(size, 7)).astype(np.float32)
        total += staging.put(rows).double().sum(dim=0)
        expected += rows.sum(axis=0, dtype=np.float64)
    np.testing.assert_allclose(total.cpu().numpy(), expected, rtol=1e-9, atol=1e-9)

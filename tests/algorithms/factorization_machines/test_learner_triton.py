"""The learner with its state in tensors: on a GPU, or else on the CPU with interpreted kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array

from optml.algorithms.base import Setting
from optml.algorithms.factorization_machines import ALGORITHM
from optml.algorithms.factorization_machines.learner import Learner
from optml.container.group import Alone
from tests.algorithms.factorization_machines.training import batches, learner, values

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytest.importorskip("numba")  # finds the places of features
pytestmark = pytest.mark.gpu

DEVICE = "cuda:0" if torch.cuda.is_available() else "cpu:0"  # "cpu" alone would mean NumPy
GIVEN = {"factors_lr": 0.01, "factors_init_sigma": 0.3, "mini_batch_size": 10}


def in_tensors(cluster: Any = None, **hyperparameters: Any) -> Learner:
    return Learner(
        Setting(
            ALGORITHM.hyperparameters(feature_dim=20, num_factors=4, **GIVEN, **hyperparameters),
            cluster or Alone(),
            DEVICE,
        )
    )


def data() -> tuple[csr_array, np.ndarray]:
    rng = np.random.default_rng(0)
    features = csr_array(random_array((25, 20), density=0.2, format="csr", rng=rng, dtype=np.float32))
    return features, rng.integers(0, 2, 25).astype(float)


@pytest.mark.parametrize("kind", ["regressor", "binary_classifier"])
@pytest.mark.parametrize("dense", [False, True])
def test_tensors_learn_what_arrays_do(dense: bool, kind: str) -> None:
    features, labels = data()
    x = features.toarray() if dense else features
    there, here = in_tensors(predictor_type=kind), learner(20, predictor_type=kind, **GIVEN)
    for batch in batches(x, labels, 10):
        there.update(batch)
        here.update(batch)
    again = in_tensors(predictor_type=kind)
    again.load_state_dict(there.state_dict())
    ours, theirs = values(list(again.end_round())), values(list(here.end_round()))
    assert ours == pytest.approx(theirs, rel=1e-4)
    models = again.finish()[0], here.finish()[0]
    np.testing.assert_allclose(models[0].factors, models[1].factors, atol=1e-4)
    np.testing.assert_allclose(models[0].weights, models[1].weights, atol=1e-4)
    assert models[0].bias == pytest.approx(models[1].bias, rel=1e-4)
    test = [values(list(each.evaluate("test", batches(x, labels, 9)))) for each in (again, here)]
    assert test[0] == pytest.approx(test[1], rel=1e-4)


class WithIdleHost(Alone):
    """The first of two hosts; the other has no records. (The interpreter knows no threads.)"""

    size = 2

    def gather(self, array: np.ndarray) -> list[np.ndarray]:
        return [array, np.full(1, -1) if array.shape == (1,) else array[:0]]


@pytest.mark.parametrize("dense", [False, True])
def test_gradients_that_go_over_the_network_move_the_same_rows(dense: bool) -> None:
    features, labels = data()
    x = features.toarray() if dense else features
    alone, one_of_two = (in_tensors(each, predictor_type="regressor") for each in (Alone(), WithIdleHost()))
    for batch in batches(x, labels, 10):
        alone.update(batch)
        one_of_two.update(batch)
    models = alone.model(), one_of_two.model()
    np.testing.assert_allclose(models[0].factors, models[1].factors, atol=1e-5)  # type: ignore[union-attr]
    assert values(list(alone.end_round())) == pytest.approx(values(list(one_of_two.end_round())), rel=1e-5)

"""The learner with its state in tensors: on a GPU, or else on the CPU with interpreted kernels."""

from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.ip_insights.learner import Learner
from optml.container.group import Alone
from tests.algorithms.ip_insights.training import at_home, setting, training, validation, values

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.gpu

DEVICE = "cuda:0" if torch.cuda.is_available() else "cpu:0"  # "cpu" alone would mean NumPy


class WithIdleHost(Alone):
    """The first of two hosts; the other has no pairs. (The interpreter knows no threads.)"""

    size = 2

    def gather(self, array: np.ndarray) -> list[np.ndarray]:
        return [array, array[:0]]


def learned(state: Learner) -> Learner:
    given = setting(mini_batch_size=20)
    for batch in training(at_home(20), given).epoch(0):
        state.update(batch)
    return state


@pytest.mark.parametrize("prefixes", [False, True])
def test_tensors_learn_what_arrays_do(prefixes: bool) -> None:
    given = {"num_ip_encoder_layers": 2, "_ip_prefix_tables": prefixes}
    here = learned(Learner(setting(**given)))
    there = Learner(setting(device=DEVICE, **given))
    there.load_state_dict(learned(Learner(setting(device=DEVICE, **given))).state_dict())
    text = at_home(10, seed=1)
    for one, other in zip(
        *(list(each.evaluate("validation", validation(text, setting()).epoch(0))) for each in (here, there)),
        strict=True,
    ):
        assert one.value == pytest.approx(other.value, abs=0.011)  # of 100 pairs one may change its order
    assert values(list(there.end_round())) == pytest.approx(values(list(here.end_round())), rel=1e-4)
    expected = here.parameters.values()
    for name, array in there.finish()[0].arrays.items():
        np.testing.assert_allclose(array, expected[name], atol=1e-4)


def test_gradients_that_go_over_the_network_move_the_same_rows() -> None:
    alone = learned(Learner(setting(device=DEVICE, num_entity_vectors=500)))
    given = setting(WithIdleHost(), device=DEVICE, num_entity_vectors=500)
    one_of_two = Learner(given)
    for batch in training(at_home(20), setting(mini_batch_size=20)).epoch(0):
        one_of_two.update(batch)
    expected = alone.parameters.values()
    for name, array in one_of_two.parameters.values().items():
        np.testing.assert_allclose(array, expected[name], atol=1e-5)

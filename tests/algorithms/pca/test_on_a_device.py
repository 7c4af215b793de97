"""The states as torch tensors, on a CUDA device where there is one, else on torch's CPU."""

from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.device import Device
from optml.algorithms.pca.covariance import Covariance
from optml.algorithms.pca.model import Model
from optml.algorithms.pca.sketch import Sketch
from tests.algorithms.pca.training import spread

torch = pytest.importorskip("torch")


@pytest.fixture
def device() -> Device:
    return Device("cuda:0" if torch.cuda.is_available() else "cpu:0")  # "cpu" alone would mean NumPy


def state(kind: type, device: Device, rows: np.ndarray) -> Covariance | Sketch:
    width = rows.shape[1]
    state_on_device: Covariance | Sketch = (
        Covariance(width, device, centered=True)
        if kind is Covariance
        else Sketch(width, 20, device, centered=True)
    )
    for start in range(0, len(rows), 300):
        state_on_device.absorb(rows[start : start + 300].copy())
    return state_on_device


@pytest.mark.parametrize("kind", [Covariance, Sketch])
def test_a_device_finds_the_components_of_the_cpu_signs_included(kind: type, device: Device) -> None:
    rows = spread(1000, 60)
    there, here = state(kind, device, rows), state(kind, Device("cpu"), rows)
    ours, theirs = there.components(4), here.components(4)
    np.testing.assert_allclose(ours.singular_values, theirs.singular_values, rtol=1e-5)
    np.testing.assert_allclose(ours.directions, theirs.directions, atol=1e-3 if kind is Sketch else 1e-5)


@pytest.mark.parametrize("kind", [Covariance, Sketch])
def test_a_checkpoint_moves_between_devices(kind: type, device: Device) -> None:
    there = state(kind, device, spread(1000, 60))
    here = state(kind, Device("cpu"), np.empty((0, 60), np.float32))
    here.load_state_dict(there.state_dict())
    np.testing.assert_array_equal(here.components(4).directions, there.components(4).directions)
    back = state(kind, device, np.empty((0, 60), np.float32))
    back.load_state_dict(here.state_dict())
    back.absorb(spread(100, 60))
    assert back.rows == 1100


@pytest.mark.parametrize("centered", [True, False])
def test_a_device_projects_as_the_cpu(device: Device, centered: bool) -> None:
    rows = spread(5000, 20)
    components = state(Covariance, Device("cpu"), rows).components(3)
    mean = components.mean if centered else None
    here, there = (
        Model(components.singular_values, components.directions, mean, device=name)
        for name in ("cpu", device.name)
    )
    np.testing.assert_allclose(there.project(rows), here.project(rows), atol=1e-5)

"""Arrays on their way to where the state lives; without CUDA, to torch's CPU."""

from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.device import Device, host

torch = pytest.importorskip("torch")


@pytest.fixture
def device() -> Device:
    return Device("cuda:0" if torch.cuda.is_available() else "cpu:0")  # "cpu" alone would mean NumPy


def test_on_the_cpu_arrays_stay_what_they_are() -> None:
    rows = np.ones((3, 2), np.float32)
    cpu = Device("cpu")
    assert cpu.put(rows) is rows
    assert cpu.stage(rows) is rows
    assert cpu.stage_all([rows])[0] is rows
    assert host(rows) is rows


def test_the_arrays_of_a_batch_arrive_whole_by_one_copy(device: Device) -> None:
    rng = np.random.default_rng(0)
    arrays = [
        rng.normal(size=(3, 5)).astype(np.float32),
        np.array([-1, 2**31 - 1, 7], np.int32),  # bits that are no number of float32 as well
        np.empty(0, np.int32),
        rng.normal(size=1).astype(np.float32),
    ]
    tensors = device.stage_all(arrays)
    storage = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    assert len(storage) == 1
    assert all(tensor.data_ptr() % 16 == 0 for tensor in tensors)
    for tensor, array in zip(tensors, arrays, strict=True):
        there = host(tensor)
        assert there.dtype == array.dtype
        np.testing.assert_array_equal(there, array)


def test_rows_are_stacked_where_they_live(device: Device) -> None:
    upper, lower = np.zeros((2, 3), np.float32), np.ones((1, 3), np.float32)
    both = device.stacked(device.put(upper), device.stage(lower))
    np.testing.assert_array_equal(host(both), np.concatenate([upper, lower]))
    assert device.empty(4, 2).shape == (4, 2)

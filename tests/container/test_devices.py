import pytest

from optml.algorithms.base import Compute
from optml.container import devices

UUIDS = ["GPU-aaaa-1", "GPU-bbbb-2", "GPU-bbcc-3"]


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_uuids", lambda: UUIDS)
    monkeypatch.setattr(devices, "built_for_cuda", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("visible", "count"),
    [
        (None, 3),
        ("", 0),
        ("-1", 0),
        ("0", 1),
        ("2, 0", 2),
        ("0,7,1", 1),  # nothing counts after an invalid entry
        ("0,0", 1),
        ("GPU-aaaa", 1),
        ("GPU-bb", 0),  # not told apart
        ("MIG-1234", 1),
        ("none", 0),
    ],
)
@pytest.mark.usefixtures("three")
def test_cuda_visible_devices_is_read_as_cuda_reads_it(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, count: int
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices.usable() == count


@pytest.mark.usefixtures("three")
def test_an_algorithm_takes_what_it_can_use() -> None:
    assert devices.select(None, Compute(multi_gpu=True)) == 3
    assert devices.select(2, Compute(multi_gpu=True)) == 2
    assert devices.select(9, Compute(multi_gpu=True)) == 3
    assert devices.select(None, Compute(multi_gpu=False)) == 1
    assert devices.select(None, Compute(gpu=False)) == 0
    assert devices.select(0, Compute()) == 0


@pytest.mark.usefixtures("three")
def test_torch_without_cuda_trains_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(devices, "built_for_cuda", lambda: False)
    assert devices.select(None, Compute()) == 0
    assert "use the image for GPUs" in caplog.text


def test_without_a_driver_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(devices.ctypes, "CDLL", missing)
    assert devices.identified() == devices.usable() == 0

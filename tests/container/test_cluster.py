"""Collectives, between two real processes of one host, as for its GPUs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest

from optml.container.cluster import Processes, _wire
from optml.container.group import Alone
from optml.errors import PlatformError
from optml.local.ports import free_port
from tests.contract.tree import ROOT

SCRIPT = """
import sys
import numpy as np
from optml.container.cluster import connect
from optml.container.rendezvous import Place

rank = int(sys.argv[1])
cluster = connect(Place("algo-1", ("algo-1",), local=rank, processes=2))
assert (cluster.rank, cluster.size, cluster.host) == (rank, 2, "algo-1")

arrays = [
    np.full((2, 3), rank + 1.0), np.array(rank, np.int64), np.array([rank + 0.5], np.float32),
    np.array([1e300 * (rank + 1)]), np.array([True, rank == 1]), np.array([2**63 - rank], np.uint64),
    np.empty((0, 3)), np.array([100, 3], np.int16),
]
cluster.all_sum(*arrays)
assert (arrays[0] == 3).all() and arrays[0].shape == (2, 3)
assert arrays[1] == 1 and arrays[1].shape == ()
assert arrays[2] == np.float32(2) and arrays[3] == 3e300
assert arrays[4].tolist() == [True, True]
assert arrays[5] == np.uint64(2**64 - 1)
assert arrays[7].tolist() == [200, 6]

parts = cluster.gather(np.arange(rank * 4, dtype=np.float32).reshape(-1, 2))
assert [part.shape for part in parts] == [(0, 2), (2, 2)]
assert parts[1].tolist() == [[0, 1], [2, 3]]
words = cluster.gather(np.array(["a" * (rank + 1)]))
assert [word.tolist() for word in words] == [["a"], ["aa"]]
assert cluster.gather(np.empty(0))[0].size == 0

sent = cluster.broadcast(np.array([[7, 8]]) if rank == 1 else np.empty(0), source=1)
assert sent.tolist() == [[7, 8]]
assert cluster.broadcast(np.array(5.0)).shape == ()
import torch

tensors = [torch.full((3,), float(rank)), torch.ones(2, dtype=torch.float64)]
for wait in [cluster.sum_beside(tensor) for tensor in tensors]:
    wait()
assert tensors[0].tolist() == [1, 1, 1] and tensors[1].tolist() == [2, 2]
cluster.close()
print("well")
"""


def test_two_processes_agree(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    environment = {"OPTML_PORT": str(free_port()), "PATH": "", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", SCRIPT]
    processes = [
        subprocess.Popen([*command, str(rank)], env=environment, stdout=-1, stderr=-2, text=True)
        for rank in range(2)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert output == "well\n"
        assert process.returncode == 0


def test_a_peer_that_freezes_while_the_group_is_built_is_given_up_like_any_other() -> None:
    """The library itself would wait for hours."""
    frozen = Event()

    class Group(Processes):
        def __init__(self) -> None:
            self.rank, self.size, self._device = 0, 2, "cpu"
            self._store = self._torch = None
            self._dist = SimpleNamespace(
                PrefixStore=lambda *given: None, init_process_group=lambda *a, **k: frozen.wait()
            )

        def _listen(self) -> None:
            raise PlatformError("algo-2 has given no sign of life for 300 s")

    with pytest.raises(PlatformError, match="algo-2 has given no sign"):
        Group()._build()
    frozen.set()


def test_one_process_is_a_cluster_too() -> None:
    array = np.array([1.0])
    Alone().all_sum(array)
    assert array == 1
    assert Alone().gather(array) == [array]
    assert Alone().broadcast(array) is array


@pytest.mark.parametrize(
    ("kind", "wire"), [("f4", "<f4"), ("i8", "<i8"), ("?", "<i8"), ("u2", "<i8"), ("f8", "<f8")]
)
def test_types_that_gloo_lacks_travel_as_wider_ones(kind: str, wire: str) -> None:
    assert _wire(np.zeros(1, kind)) == wire

"""Ports for servers that are about to start."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from optml.errors import PlatformError
from optml.local import ports

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


@pytest.mark.skipif(not RANGE.exists(), reason="only Linux says which ports it hands out")
def test_a_free_port_is_none_that_the_kernel_hands_out_to_others() -> None:
    first, last = map(int, RANGE.read_text().split())
    assert not set(ports._PORTS) & set(range(first, last + 1))


def test_each_port_is_handed_out_once_and_none_that_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    free = [ports.free_port() for _ in range(4)]
    assert len(set(free)) == 4
    monkeypatch.setattr(ports, "_TRIES", 4)
    monkeypatch.setattr(ports, "_PORTS", range(min(free), min(free) + 4))
    with socket.socket() as server:
        server.bind(("", min(free)))
        monkeypatch.setattr(ports, "_used", set(ports._PORTS) - {min(free)})
        with pytest.raises(PlatformError, match="is free"):
            ports.free_port()

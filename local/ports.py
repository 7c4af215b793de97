"""Ports of this machine for servers that are about to start."""

from __future__ import annotations

import random
import socket

from optml.errors import PlatformError

# Below those that the kernel hands out by itself, to connections and to whoever asks for port 0: one of these
# may be taken again between the question and its use.
_PORTS = range(12000, 30000)
_TRIES = 1000

_random = random.SystemRandom()  # processes that begin alike must not ask for the same ports
_used: set[int] = set()


def free_port() -> int:
    """A port on which nothing listens, each time another one. Raises PlatformError where there is none."""
    for port in _random.sample(_PORTS, _TRIES):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        if port not in _used:
            _used.add(port)
            return port
    raise PlatformError(f"none of {_TRIES} ports from {_PORTS.start} to {_PORTS.stop} is free")

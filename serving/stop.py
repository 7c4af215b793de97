"""How a server of several processes stops without losing a request: all workers leave together.

A connection belongs to whichever worker accepts it, so the listener may close only when no worker needs it
any more, and without those in its queue: the kernel would reset them.
"""

from __future__ import annotations

import ctypes
import mmap
import socket
import struct
from contextlib import suppress

DRAIN = 25.0  # seconds for requests in flight; SageMaker kills after 30

_ATTACH_FILTER = 26  # SO_ATTACH_FILTER of Linux
# A classic BPF program over a TCP packet: drop it if byte 13 has the flag SYN, else take it.
_NO_SYN = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
)


class Stop:
    """Does the server stop, and which workers have nothing left to answer? In memory of all processes."""

    def __init__(self, workers: int) -> None:
        self._flags = mmap.mmap(-1, workers + 1)  # the last: has the stop begun?

    def begin(self) -> None:
        self._flags[-1] = 1

    def begun(self) -> bool:
        return self._flags[-1] == 1

    def done(self, place: int, done: bool = True) -> None:
        """Note that the worker of this number has answered everything, or is no more."""
        if place < len(self._flags) - 1:
            self._flags[place] = done

    def everywhere(self) -> bool:
        return all(self._flags[:-1])


def refuse_connections(listener: socket.socket) -> None:
    """Let no new handshake begin on a listening socket; those under way come to their end.

    Clients try again after a second and find the port closed: refused, not reset.
    """
    program = ctypes.create_string_buffer(_NO_SYN)
    fprog = struct.pack("HL", len(_NO_SYN) // 8, ctypes.addressof(program))
    with suppress(OSError):  # not Linux: a client that connects in this very moment is reset
        listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, fprog)

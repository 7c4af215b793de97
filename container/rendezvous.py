"""Where the processes of a job meet: a store that the first of them serves."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from optml.errors import PlatformError, UserError


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process stands in its job."""

    host: str  # as it is called in the network
    hosts: tuple[str, ...] = ()  # of the job, in the order of their ranks
    label: str = "algo-1"  # the host as log lines print it
    interface: str | None = None  # of the network that joins the hosts; may not exist
    local: int = 0  # among the processes of its host
    processes: int = 1  # on each host

    @property
    def rank(self) -> int:
        return self.hosts.index(self.host) * self.processes + self.local

    @property
    def size(self) -> int:
        return len(self.hosts) * self.processes


def serve_or_find(place: Place, deadline: float) -> Any:
    """The job's store (torch.distributed.TCPStore): served by its first process on `OPTML_PORT`, found by
    name by the others, who try until the deadline (of time.monotonic).

    Raises PlatformError for a port that is taken, or a first host that cannot be reached.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # no warnings about addresses that were tried
    port = int(number("OPTML_PORT", 7777))
    if place.rank == 0:
        try:
            listener = socket.create_server((_address(place), port))
        except OSError as error:
            raise PlatformError(
                f"port {port} is not free on {place.host} ({error.strerror}); "
                "set OPTML_PORT to another one on all hosts"
            ) from error
        address = listener.getsockname()[0].replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        served: dict[str, Any] = {"is_master": True, "master_listen_fd": listener.detach()}
    else:
        address = _reachable(place, port, deadline)
        served = {"is_master": False}
    store = import_module("torch.distributed").TCPStore
    return store(address, port, wait_for_workers=False, **served)


def number(variable: str, default: float) -> float:
    """An environment variable that is a number. Raises UserError naming it."""
    text = os.environ.get(variable, "").strip()
    try:
        return float(text) if text else default
    except ValueError:
        raise UserError(f"environment variable {variable}='{text}' is not a number") from None


def _address(place: Place) -> str:
    """The address to listen at: that of the job's interface, every one where there is no such interface."""
    if len(place.hosts) == 1:
        return "127.0.0.1"
    if not place.interface:
        return ""
    import fcntl
    import struct

    request = struct.pack("256s", place.interface[:15].encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:  # 0x8915 is SIOCGIFADDR, whose answer holds a sockaddr_in at byte 16
            return socket.inet_ntoa(fcntl.ioctl(probe, 0x8915, request)[20:24])
        except OSError:
            return ""


def _reachable(place: Place, port: int, deadline: float) -> str:
    """The address at which the first process answers. Names of hosts still starting do not resolve yet."""
    host = "127.0.0.1" if len(place.hosts) == 1 else place.hosts[0]
    pause = 0.05
    while True:
        try:
            with socket.create_connection((host, port), timeout=5) as connection:
                address: str = connection.getpeername()[0]
                return address
        except OSError as error:
            if time.monotonic() + pause > deadline:
                raise PlatformError(
                    f"{host}, the first host of the job, cannot be reached at port {port}: {error}; "
                    "is it running, and does its network let the port through?"
                ) from error
        time.sleep(pause)
        pause = min(pause * 1.5, 5.0)

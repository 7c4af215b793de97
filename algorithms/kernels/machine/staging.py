"""Mini-batches on their way to a GPU: copied by a stream of their own while the one before is computed."""

from __future__ import annotations

from typing import Any

import numpy as np


class Staging:
    """Two places on the device and two page-locked ones on the host, used in turn.

    `put` returns once the rows lie in page-locked memory; the copy to the device, and whatever is launched
    after it, run on. The tensor it returns holds until `put` has been called twice more.
    """

    def __init__(self, device: str) -> None:
        import torch

        self._torch = torch
        self._device = torch.device(device)
        self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        self._slots: list[_Slot | None] = [None, None]
        self._turn = 0

    def put(self, rows: np.ndarray) -> Any:
        """The (n, d) float32 rows as a tensor on the device."""
        torch = self._torch
        current = torch.cuda.current_stream(self._device)
        slot = self._slots[self._turn]
        if slot is None or slot.page_locked.numel() < rows.size:
            slot = self._slots[self._turn] = _Slot(torch, self._device, max(rows.size, 1))
        self._turn = 1 - self._turn
        slot.copy_end.synchronize()  # the host's place is free again; a no-op before its first use
        slot.on_host[: rows.size] = rows.reshape(-1)
        copy = slot.on_device[: rows.size]
        self._stream.wait_event(slot.use_end)  # as is the device's, once what read it has run
        with torch.cuda.stream(self._stream):
            copy.copy_(slot.page_locked[: rows.size], non_blocking=True)
            slot.copy_end.record(self._stream)
        current.wait_event(slot.copy_end)
        # What this slot's predecessor was read by is launched by now: its place is free when that has run.
        other = self._slots[self._turn]
        if other is not None:
            other.use_end.record(current)
        return copy.view(rows.shape)


class _Slot:
    def __init__(self, torch: Any, device: Any, size: int) -> None:
        self.page_locked = torch.empty(size, dtype=torch.float32, pin_memory=True)
        self.on_device = torch.empty(size, dtype=torch.float32, device=device)
        self.on_host: np.ndarray = self.page_locked.numpy()
        self.copy_end = torch.cuda.Event()
        self.use_end = torch.cuda.Event()
        # The device's memory may have been another tensor's, which launched kernels still read.
        self.use_end.record(torch.cuda.current_stream(device))

"""How many GPUs this process may use, found out without torch (whose import takes seconds)."""

from __future__ import annotations

import ctypes
import logging
import os
import re
from importlib.util import find_spec
from pathlib import Path

from optml.algorithms.base import Compute

log = logging.getLogger(__name__)


def identified() -> int:
    """GPUs that the driver shows to this container; 0 without a driver."""
    return len(_uuids())


def usable() -> int:
    """GPUs that CUDA would give to this process: `CUDA_VISIBLE_DEVICES` applied to what the driver shows.

    As CUDA reads that variable: indices or beginnings of UUIDs, and nothing after the first invalid entry.
    """
    uuids = _uuids()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None or not uuids:
        return len(uuids)
    count = 0
    seen = set()
    for entry in (text.strip() for text in chosen.split(",")):
        if entry.isdigit():
            index = int(entry) if int(entry) < len(uuids) else None
        elif entry.startswith("MIG-"):  # a slice of a GPU: a process sees one of them
            return max(count, 1)
        else:
            matches = [i for i, uuid in enumerate(uuids) if entry and uuid.startswith(entry)]
            index = matches[0] if len(matches) == 1 else None
        if index is None or index in seen:
            break
        seen.add(index)
        count += 1
    return count


def select(wanted: int | None, compute: Compute) -> int:
    """GPUs to train on: 0 is the CPU. `wanted` is `_num_gpus`, None for as many as there are.

    At most one where the algorithm uses one per host. Logs AWS's two lines.
    """
    gpus = identified()
    log.info("nvidia-smi identified %d GPUs.", gpus)
    number = usable() if gpus and compute.gpu else 0
    if number and not built_for_cuda():
        log.warning("The installed torch has no CUDA; use the image for GPUs to train on them")
        number = 0
    if wanted is not None:
        if wanted > number and compute.gpu:
            log.warning("_num_gpus is %d, of which %d can be used", wanted, number)
        number = min(number, wanted)
    if not compute.multi_gpu:
        number = min(number, 1)
    log.info("Number of GPUs being used: %d", number)
    return number


def built_for_cuda() -> bool:
    """Whether the installed torch can use NVIDIA's GPUs, read from its version file."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    try:
        version = (Path(spec.origin).parent / "version.py").read_text()
    except OSError:
        return False
    return re.search(r"^cuda\b[^=]*= *['\"]", version, re.MULTILINE) is not None


def _uuids() -> list[str]:
    """The UUIDs of the driver's GPUs in its order, from NVML."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return []
    if nvml.nvmlInit_v2() != 0:
        return []
    try:
        count = ctypes.c_uint()
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return []
        uuids = []
        for index in range(count.value):
            device, text = ctypes.c_void_p(), ctypes.create_string_buffer(96)
            present = nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)) == 0
            named = present and nvml.nvmlDeviceGetUUID(device, text, len(text)) == 0
            uuids.append(text.value.decode() if named else "")
        return uuids
    finally:
        nvml.nvmlShutdown()

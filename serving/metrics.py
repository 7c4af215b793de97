"""What the server counts, for Prometheus: `GET /metrics` of any worker tells of all of them.

A request notes its numbers with `deque.append`, in 50 ns; a thread adds them up once a second and writes the
sums to this worker's row of a table that all workers share. (prometheus_client's own way between processes,
a file write a number, cost a small request 15 % of its time.) Rows outlive workers, so no count goes back.
"""

from __future__ import annotations

import mmap
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import numpy as np

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FLUSH = 1.0  # seconds
CODES = (200, 204, 400, 404, 405, 406, 408, 413, 415, 500, 503, 507)
_SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0)
_SIZES = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0)


class Histogram:
    """Observed values, waiting to be added up."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self._values: deque[float] = deque()
        self.observe = self._values.append

    @property
    def size(self) -> int:
        return len(self.bounds) + 2  # the buckets, the last without a bound, and the sum

    def drain(self) -> np.ndarray:
        """What came since the last time: counts by bucket, then the sum."""
        values = [self._values.popleft() for _ in range(len(self._values))]
        counts = np.bincount(np.searchsorted(self.bounds, values), minlength=len(self.bounds) + 1)
        return np.append(counts, sum(values)).astype(np.float64)


QUEUED, DECODED, COMPUTED, ENCODED, LATENCY = (Histogram(_SECONDS) for _ in range(5))
RECORDS = Histogram(_SIZES)
ANSWERS = Histogram(tuple(float(code) for code in CODES))  # one bucket a status code

_HISTOGRAMS = (QUEUED, DECODED, COMPUTED, ENCODED, LATENCY, RECORDS, ANSWERS)
_STARTS = np.cumsum([0, *(histogram.size for histogram in _HISTOGRAMS)]).tolist()
_GAUGES = ("queue_depth", "models_loaded", "model_load_seconds")
_WIDTH = _STARTS[-1] + len(_GAUGES)

_table = np.zeros((1, _WIDTH))
_row = 0
_flushing = Lock()


def share(workers: int) -> None:
    """In the parent, before any fork: a table with a row for each worker."""
    global _table
    shared = mmap.mmap(-1, workers * _WIDTH * 8)
    _table = np.frombuffer(shared, np.float64).reshape(workers, _WIDTH)


def start(row: int) -> None:
    """In a worker: take its row, and add up once a second."""
    global _row
    _row = row
    _table[row, _STARTS[-1] :] = 0  # gauges of the one that had the row before
    Thread(target=_flush_forever, name="metrics", daemon=True).start()


def gauge(name: str, value: float) -> None:
    """Set `queue_depth`, `models_loaded` or `model_load_seconds` of this worker."""
    _table[_row, _STARTS[-1] + _GAUGES.index(name)] = value


def flush() -> None:
    """Add up what this worker has noted."""
    with _flushing:
        for start_, histogram in zip(_STARTS, _HISTOGRAMS, strict=False):
            _table[_row, start_ : start_ + histogram.size] += histogram.drain()


def _flush_forever() -> None:
    while True:
        time.sleep(FLUSH)
        flush()


def exposition(device: str = "cpu") -> bytes:
    """The text that Prometheus reads; `device` is that of the worker that answers."""
    from prometheus_client import CollectorRegistry, generate_latest

    flush()
    registry = CollectorRegistry()
    registry.register(_Collector(device))
    return generate_latest(registry)


class _Collector:
    """The shared table as Prometheus' families."""

    def __init__(self, device: str) -> None:
        self._device = device

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        total = _table.sum(axis=0)
        answers = CounterMetricFamily(
            "optml_requests", "Invocations answered, by status code.", labels=["code"]
        )
        for code, count in zip(CODES, _part(total, ANSWERS), strict=False):
            answers.add_metric([str(code)], count)
        yield answers
        stages = HistogramMetricFamily(
            "optml_stage_seconds", "Time of a stage of a request.", labels=["stage"]
        )
        for name, histogram in (
            ("queue", QUEUED), ("decode", DECODED), ("compute", COMPUTED), ("encode", ENCODED)
        ):  # fmt: skip
            stages.add_metric([name], *_buckets(total, histogram))
        yield stages
        for name, meaning, histogram in (
            ("optml_request_seconds", "From the head of a request to its answer.", LATENCY),
            ("optml_batch_records", "Records of one inference.", RECORDS),
        ):
            family = HistogramMetricFamily(name, meaning)
            family.add_metric([], *_buckets(total, histogram))
            yield family
        depth, models, load = _table[:, _STARTS[-1] :].T
        yield GaugeMetricFamily("optml_queue_depth", "Requests that wait for inference.", depth.sum())
        yield GaugeMetricFamily("optml_models_loaded", "Models in memory.", models.max())
        yield GaugeMetricFamily("optml_model_load_seconds", "Time the last model took to load.", load.max())
        memory = GaugeMetricFamily("optml_resident_memory_bytes", "Resident memory.", labels=["process"])
        for pid in {os.getpid(), *_children(os.getppid())}:
            memory.add_metric([str(pid)], _resident(pid))
        yield memory
        if self._device != "cpu" and "torch" in sys.modules:
            import torch

            free, all_ = torch.cuda.mem_get_info(self._device)
            gpu = GaugeMetricFamily("optml_gpu_memory_bytes", "Memory of a GPU in use.", labels=["device"])
            gpu.add_metric([self._device], all_ - free)
            yield gpu


def _part(total: np.ndarray, histogram: Histogram) -> list[float]:
    start_ = _STARTS[_HISTOGRAMS.index(histogram)]
    part: list[float] = total[start_ : start_ + histogram.size].tolist()
    return part


def _buckets(total: np.ndarray, histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    *counts, summed = _part(total, histogram)
    labels = [*map(str, histogram.bounds), "+Inf"]
    return list(zip(labels, np.cumsum(counts).tolist(), strict=True)), summed


def _resident(pid: int) -> int:
    """Bytes of memory that a process has in RAM; 0 for one that is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]

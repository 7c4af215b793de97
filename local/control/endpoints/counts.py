"""What endpoints do, counted by the minute for CloudWatch."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from optml.local.control import datapoints
from optml.local.control.datapoints import Sample

if TYPE_CHECKING:
    from optml.local.control.context import Context

_NAMESPACE = "AWS/SageMaker"
_PERIOD = 60  # seconds

_Key = tuple[str, str, str, int]  # endpoint, variant, metric, minute


class Counts:
    """Held in memory for the minute that runs; `flush` writes it down."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._open: dict[_Key, list[float]] = {}
        self._last = 0

    def invocation(self, endpoint: str, variant: str, seconds: float, status: int) -> None:
        """Status 0: the container did not answer."""
        minute = int(time.time()) // _PERIOD
        values = {
            "Invocations": 1.0,
            "ModelLatency": seconds * 1e6,
            "Invocation4XXErrors": float(400 <= status < 500),
            "Invocation5XXErrors": float(status >= 500 or status == 0),
        }
        with self._lock:
            for name, value in values.items():
                held = self._open.setdefault((endpoint, variant, name, minute), [0.0, 0.0, value, value])
                held[0] += 1
                held[1] += value
                held[2] = min(held[2], value)
                held[3] = max(held[3], value)
            passed, self._last = minute != self._last, minute
        if passed and len(self._open) > 4:
            threading.Thread(target=self.flush, daemon=True).start()

    def flush(self) -> None:
        with self._lock:
            counted, self._open = self._open, {}
        for (endpoint, variant, name, minute), (count, total, low, high) in counted.items():
            unit = "Microseconds" if name == "ModelLatency" else "None"
            sample = Sample(minute * _PERIOD, count, total, low, high, unit)
            dimensions = {"EndpointName": endpoint, "VariantName": variant}
            datapoints.put(self._context.database, _NAMESPACE, name, dimensions, [sample])

    def summary(self, endpoint: str, variants: Sequence[str], seconds: float) -> dict[str, float]:
        """How many requests there were in the last `seconds`, and their mean latency in milliseconds."""
        self.flush()
        since = time.time() - seconds
        found = [
            sample
            for variant in variants
            for sample in datapoints.samples(
                self._context.database,
                _NAMESPACE,
                "ModelLatency",
                {"EndpointName": endpoint, "VariantName": variant},
            )
            if sample.time + _PERIOD > since
        ]
        number = sum(sample.number for sample in found)
        total = sum(sample.total for sample in found)
        return {"requests": number, "latency": total / number / 1000 if number else 0.0}

    def invocations(self, endpoint: str, variant: str, seconds: float) -> float:
        """How many there were in the last `seconds`."""
        dimensions = {"EndpointName": endpoint, "VariantName": variant}
        since = time.time() - seconds
        self.flush()
        found = datapoints.samples(self._context.database, _NAMESPACE, "Invocations", dimensions)
        return sum(sample.total for sample in found if sample.time + _PERIOD > since)

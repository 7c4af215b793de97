"""How benchmarks measure: warmed up, in turn, the best of several; so a busy machine is fair to all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

PAUSE = 0.2  # seconds: OpenBLAS's threads keep a core busy for 2^28 cycles after their last product


def compare(contestants: Mapping[str, Callable[[], object]], repeats: int = 5) -> dict[str, float]:
    """Seconds that each contestant takes: all warm up, then run in turn; the best of `repeats` counts."""
    for run in contestants.values():
        run()
    best = dict.fromkeys(contestants, float("inf"))
    for _ in range(repeats):
        for name, run in contestants.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    return best

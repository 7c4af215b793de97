"""Training of small networks on a machine that others use too: how its threads wait for one another.

    python -m benchmarks.busy [--updates N] [--rounds N]

deepar, ntm   each trains idle and beside a busy loop on each CPU: as `train` does it, and as the libraries do
              it if left alone, spinning on as many threads as there are CPUs. Contestants take turns; the
              ratio is the median over the turns. Other work on the machine ("load") makes "idle" untrue.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.environment import options, save

CONTESTANTS = ("train", "left alone")
LEARNERS = ("deepar", "ntm")


def child(learner: str, contestant: str, updates: int) -> None:
    """Train and print the seconds, and those of processors, of so many updates."""
    from optml import cpus

    if contestant == "train":
        cpus.limit_threads()
    from optml.algorithms import network

    if contestant != "train":
        network.PER_THREAD = 1
    began: list[float] = []
    for number, _ in enumerate(_deepar(updates) if learner == "deepar" else _ntm(updates)):
        if number == 2:  # compiled functions are loaded
            began = [time.perf_counter(), time.process_time()]
    print(json.dumps([time.perf_counter() - began[0], time.process_time() - began[1]]))


def _deepar(updates: int) -> Iterator[Any]:
    """AWS's example, with batches of 128."""
    from benchmarks.forecasting_deepar import awss_example, built
    from optml.algorithms.base import Setting
    from optml.algorithms.forecasting_deepar.data import Sampler
    from optml.algorithms.forecasting_deepar.hyperparameters import Hyperparameters
    from optml.algorithms.forecasting_deepar.learner import Learner
    from optml.container.group import Alone

    task = awss_example()
    given = Hyperparameters(
        time_freq="H", context_length=72, prediction_length=48, num_layers=3, likelihood="gaussian", epochs=20
    )
    data = Sampler(built(task, 0, False), given, (0,))
    learner = Learner(Setting(given, Alone(), train=data))
    epoch = 0
    while updates > 0:
        for batch in data.epoch(epoch):
            yield list(learner.update(batch))
            updates -= 1
        epoch += 1


def _ntm(updates: int) -> Iterator[Any]:
    """2,000 words, 20 topics, documents of 60 words, batches of 256 as the default has it."""
    from benchmarks.ntm import batches, documents
    from optml.algorithms.base import Setting
    from optml.algorithms.ntm import ALGORITHM
    from optml.container.group import Alone

    given = ALGORITHM.hyperparameters(feature_dim=2000, num_topics=20)
    assert ALGORITHM.training.learner is not None
    learner = ALGORITHM.training.learner(Setting(given, Alone()))
    parts = list(batches(documents(2000, 60, 6400), 256))
    for number in range(10 * updates):
        yield list(learner.update(parts[number % len(parts)]))


@contextlib.contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many processes that compute for ever."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measured(learner: str, contestant: str, updates: int) -> tuple[float, float]:
    program = f"from benchmarks.busy import child; child({learner!r}, {contestant!r}, {updates})"
    names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    wall, processor = json.loads(done.stdout.splitlines()[-1])
    return wall, processor


def compared(learner: str, loops: int, updates: int, rounds: int) -> dict[str, Any]:
    with busy(loops):
        runs = [[measured(learner, who, updates) for who in CONTESTANTS] for _ in range(rounds)]
    seconds = np.array(runs)  # (rounds, contestants, 2)
    median = np.median(seconds, axis=0)
    row: dict[str, Any] = {"learner": learner, "busy_loops": loops}
    for place, who in enumerate(CONTESTANTS):
        row |= {f"{who} seconds": median[place, 0], f"{who} processor seconds": median[place, 1]}
    return row | {"ratio": float(np.median(seconds[:, 1, 0] / seconds[:, 0, 0]))}


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--updates", type=int, default=60, help="of DeepAR; NTM makes ten times as many")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    rows = []
    for learner in LEARNERS:
        for loops in (0, cores):
            rows.append(compared(learner, loops, given.updates, given.rounds))
            print(
                "  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items())
            )
    print(f"written: {save('busy-cpu', rows, folder=given.out, load=os.getloadavg()[0])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

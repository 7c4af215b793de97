"""A whole `train`, from the start of the process to its end: time on MNIST, and memory on a long FIFO.

    python -m benchmarks.job [--gib 4]

The bare compute is the same learner on the same rows, in memory already. What a job adds to it is starting
Python, reading and decoding RecordIO, log lines and saving the model.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import options, save
from benchmarks.kmeans import batches, rows_of
from optml.algorithms.base import Setting
from optml.algorithms.kmeans import ALGORITHM
from optml.container.group import Alone
from optml.formats.record_protobuf import encode
from optml.formats.records import Records
from optml.local.feeder import Feeder

RUNS = 3


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--gib", type=float, default=4, help="data to send through the FIFO")
    arguments = parser.parse_args()
    rows = rows_of("mnist")
    encoded = encode(Records(rows))
    results = [whole_job(rows, encoded), pipe(encoded, arguments.gib)]
    for result in results:
        print("  ".join(f"{name} {value}" for name, value in result.items()))
    print(save("job-cpu", results, folder=arguments.out))
    return 0


def whole_job(rows: np.ndarray, encoded: bytes) -> dict[str, Any]:
    """Seconds of `train` beside seconds of the bare compute, in turn; the medians."""
    jobs, bare = [], []
    with tempfile.TemporaryDirectory() as scratch:
        root = tree(Path(scratch), rows.shape[1])
        channel = root / "input" / "data" / "train"
        channel.mkdir()
        (channel / "mnist.pbr").write_bytes(encoded)
        for _ in range(RUNS):
            jobs.append(train(root)[0])
            bare.append(compute(rows))
    job, alone = statistics.median(jobs), statistics.median(bare)
    return {
        "what": "train K-Means, k=10, MNIST 60,000 x 784 RecordIO",
        "job_s": round(job, 2),
        "bare_compute_s": round(alone, 2),
        "allowed_s": round(2 * alone + 3, 2),
    }


def pipe(encoded: bytes, gib: float) -> dict[str, Any]:
    """Peak resident memory of a job that reads so much data from a FIFO."""
    with tempfile.TemporaryDirectory() as scratch:
        root = tree(Path(scratch), 784)
        source = Path(scratch) / "part.pbr"
        source.write_bytes(encoded)
        times = max(1, round(gib * 2**30 / len(encoded)))
        with Feeder(root / "input" / "data", "train", [source] * times, epochs=1):
            seconds, peak, _ = train(root)
    return {
        "what": f"train K-Means, k=10, {times * len(encoded) / 2**30:.1f} GiB through a FIFO",
        "job_s": round(seconds, 1),
        "mb_per_s": round(times * len(encoded) / seconds / 1e6),
        "peak_resident_mb": round(peak / 1e6),
    }


def tree(scratch: Path, width: int) -> Path:
    """An /opt/ml tree without data."""
    root = scratch / "ml"
    config = root / "input" / "config"
    config.mkdir(parents=True)
    (root / "input" / "data").mkdir()
    (config / "hyperparameters.json").write_text(json.dumps({"k": "10", "feature_dim": str(width)}))
    return root


def train(root: Path, algorithm: str = "kmeans") -> tuple[float, int, str]:
    """Run the program; seconds from start to exit, bytes of its peak resident memory, and its log."""
    environment = os.environ | {"SAGEMAKER_BASE_DIR": str(root), "OPTML_ALGORITHM": algorithm}
    peak = 0
    with tempfile.TemporaryFile("w+") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "optml.container", "train"], env=environment, stdout=log, stderr=log
        )
        while process.poll() is None:
            peak = max(peak, high_water(process.pid))
            time.sleep(0.01)
        seconds = time.perf_counter() - began
        log.seek(0)
        said = log.read()
        if process.returncode:
            raise SystemExit(f"train failed with {process.returncode}:\n{said[-3000:]}")
    return seconds, peak, said


def high_water(pid: int) -> int:
    """Bytes of peak resident memory so far; getrusage would count those of the parent from before exec."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def compute(rows: np.ndarray) -> float:
    """Seconds of the learner alone over the same mini-batches."""
    hyperparameters = ALGORITHM.hyperparameters(k=10, feature_dim=rows.shape[1])  # type: ignore[call-arg]
    learner = ALGORITHM.training.learner(Setting(hyperparameters, Alone()))
    began = time.perf_counter()
    for batch in batches(rows):
        learner.update(Records(batch))
    learner.end_round()
    learner.finish()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())

"""XGBoost on a CPU: what the container adds to the library, and the open AWS container's ways beside ours.

python -m benchmarks.xgboost [--rows 1000000]

job      a whole `train`, from the start of its process to its end, against a process that calls
         `xgboost.train` on the same rows, in memory already: seconds and peak resident memory
csv      a CSV file as the library's matrix, against the open container's ways: the library's own parser of
         text, by URI (all versions up to 3.0-5), and pandas
serving  bytes in, bytes out, of one row and of 1,000, against the open container's path: csv to an array
         of Python floats, DMatrix, Booster.predict, a string a number
"""

from __future__ import annotations

import csv as python_csv
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import options, save
from benchmarks.job import high_water
from benchmarks.timing import compare

WIDTH = 50
ROUNDS = 100
RUNS = 3
PARAMETERS = {"objective": "reg:squarederror", "max_depth": 6, "eta": 0.1}

# The library alone: loads the rows, says so, waits for the word, trains; the time is that from the word on.
BARE = """
import sys, time
import numpy as np, xgboost
table = np.load(sys.argv[1])
features, labels = table[:, 1:], table[:, 0]
began = time.perf_counter()
matrix = xgboost.{matrix}(features, labels)
parameters = {parameters!r}
xgboost.train(parameters, matrix, {rounds}, evals=[(matrix, "train")], verbose_eval=False)
print(time.perf_counter() - began)
"""


def rows_of(count: int) -> np.ndarray:
    """(count, 1 + WIDTH) float32: labels, then features of four digits, as in a file of measurements."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(count, WIDTH)).astype(np.float32).round(4)
    labels = features[:, 0] - np.abs(features[:, 1]) + features[:, 2] * features[:, 3]
    return np.column_stack([labels.round(4), features]).astype(np.float32)


def measured(command: list[str], **environment: str) -> tuple[float, int, str]:
    """Seconds, bytes of peak resident memory, and standard output of a process.

    Modules are compiled to byte code once, before the first run that counts, as in an image."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    peak = 0
    with tempfile.TemporaryFile("w+") as log:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=inherited | environment, stdout=log, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, high_water(process.pid))
            time.sleep(0.01)
        seconds = time.perf_counter() - began
        log.seek(0)
        said = log.read()
    if process.returncode:
        raise SystemExit(f"{command} failed:\n{said[-3000:]}")
    return seconds, peak, said


def job(table: np.ndarray, scratch: Path, device: str = "cpu") -> dict[str, Any]:
    """The container's job on RecordIO and on CSV, the library alone on DMatrix and QuantileDMatrix.

    Overhead and memory are told against both; a job is what QuantileDMatrix is: its bins are not held
    beside a copy of the values.
    """
    from optml.formats import csv
    from optml.formats import record_protobuf as records
    from optml.formats.records import Records

    parameters = PARAMETERS | {"device": device}
    np.save(scratch / "rows.npy", table)
    block = Records(table[:, 1:], table[:, :1].astype(np.float64).round(4))
    trees = {}
    for name, media, content in (
        ("recordio", "application/x-recordio-protobuf", records.encode(block)),
        ("csv", "text/csv", csv.write(block)),
    ):
        root = trees[name] = scratch / name
        (root / "input" / "config").mkdir(parents=True)
        (root / "input" / "data" / "train").mkdir(parents=True)
        (root / "input" / "data" / "train" / "part").write_bytes(content)
        given = {name: str(value) for name, value in (parameters | {"num_round": ROUNDS}).items()}
        (root / "input" / "config" / "hyperparameters.json").write_text(json.dumps(given))
        config = {"train": {"ContentType": media}}
        (root / "input" / "config" / "inputdataconfig.json").write_text(json.dumps(config))
    best: dict[str, tuple[float, int]] = {}
    for _ in range(RUNS):  # in turn, the best of each: the machine may be shared
        for matrix in ("DMatrix", "QuantileDMatrix"):
            script = BARE.format(matrix=matrix, parameters=parameters, rounds=ROUNDS)
            _, peak, said = measured([sys.executable, "-c", script, str(scratch / "rows.npy")])
            best[matrix] = min(best.get(matrix, (float("inf"), 0)), (float(said.split()[-1]), peak))
        for name, root in trees.items():
            environment = {"SAGEMAKER_BASE_DIR": str(root), "OPTML_ALGORITHM": "xgboost"}
            seconds, peak, _ = measured([sys.executable, "-m", "optml.container", "train"], **environment)
            best[name] = min(best.get(name, (float("inf"), 0)), (seconds, peak))
    matrices = ("QuantileDMatrix", "DMatrix")
    return {
        "what": f"{len(table)} x {WIDTH}, {ROUNDS} rounds of depth {PARAMETERS['max_depth']}, {device}",
        "seconds": {name: round(seconds, 2) for name, (seconds, _) in best.items()},
        "peak_mb": {name: round(peak / 1e6) for name, (_, peak) in best.items()},
        "overhead": {
            matrix: {name: round(best[name][0] / best[matrix][0] - 1, 3) for name in trees}
            for matrix in matrices
        },
        "memory_ratio": {
            matrix: {name: round(best[name][1] / best[matrix][1], 2) for name in trees} for matrix in matrices
        },
    }


def reading(table: np.ndarray, scratch: Path) -> list[dict[str, Any]]:
    """Seconds from a CSV file to a matrix, and to the bins that trees are grown on.

    The library bins a DMatrix in the first round of training, and QuantileDMatrix when it is made; so the
    bins are timed with one round on either."""
    import xgboost

    from optml.algorithms.xgboost import ALGORITHM
    from optml.algorithms.xgboost.hyperparameters import Hyperparameters
    from optml.algorithms.xgboost.matrix import Channel, join, stream, whole
    from optml.container.channels import Channel as Files
    from optml.container.group import Alone
    from optml.container.rows import Rows
    from optml.container.spill import Spill
    from optml.formats import csv
    from optml.formats.content_type import ContentType
    from optml.formats.records import Records

    folder = scratch / "table"
    folder.mkdir()
    path = folder / "rows.csv"
    path.write_bytes(csv.write(Records(table[:, 1:], table[:, :1].astype(np.float64).round(4))))
    spec = ALGORITHM.training.channels[0]
    h = Hyperparameters(num_round=1)  # type: ignore[call-arg]

    def ours(make: Callable[[Channel], object]) -> Callable[[], object]:
        def run() -> object:
            files = Files("train", spec, folder, content_type=ContentType.parse("text/csv"))
            kept = Rows(
                files, width=None, batch_size=None, cluster=Alone(), sparse=True, label_size=1, missing=True,
                ragged=True, spill=Spill(scratch),
            )  # fmt: skip
            return make(Channel("train", kept, h))

        return run

    def uri() -> xgboost.DMatrix:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return xgboost.DMatrix(f"{path}?format=csv&label_column=0")

    def boosted(matrix: xgboost.DMatrix) -> object:
        return xgboost.train(PARAMETERS, matrix, 1)

    contestants: dict[str, Callable[[], object]] = {
        "ours, decoded": ours(lambda channel: channel),
        "ours, DMatrix": ours(lambda channel: whole(join(channel.blocks(WIDTH)), h)),
        "text URI": uri,
    }
    try:
        import pandas
    except ImportError:
        print("pandas is not installed: left out")
    else:

        def by_pandas() -> object:
            array = pandas.read_csv(path, header=None).to_numpy()
            return xgboost.DMatrix(array[:, 1:], label=array[:, 0])

        contestants["pandas, DMatrix"] = by_pandas
    seconds = compare(contestants, 2)
    binned = compare(
        {
            "ours, QuantileDMatrix": ours(lambda channel: boosted(stream(lambda: channel.blocks(WIDTH), h))),
            "text URI, DMatrix": lambda: boosted(uri()),
        },
        2,
    )
    what = f"CSV of {len(table)} x {1 + WIDTH}, {path.stat().st_size / 1e6:.0f} MB"
    return [
        {
            "what": title,
            "seconds": {name: round(value, 2) for name, value in found.items()},
            "times_ours": {name: round(value / found[base], 2) for name, value in found.items()},
        }
        for title, base, found in (
            (what, "ours, DMatrix", seconds),
            (f"{what}, to bins and one round on them", "ours, QuantileDMatrix", binned),
        )
    ]


def serving(table: np.ndarray, scratch: Path) -> list[dict[str, Any]]:
    """Microseconds of a body of CSV rows, answered as CSV."""
    import xgboost

    from optml.algorithms.xgboost import ALGORITHM
    from optml.algorithms.xgboost.boosters import Native
    from optml.algorithms.xgboost.model import Model
    from optml.serving.batching import Gate
    from optml.serving.models import load
    from optml.serving.predictor import Predictor
    from optml.serving.settings import Settings

    matrix = xgboost.QuantileDMatrix(table[:20_000, 1:], table[:20_000, 0])
    booster = xgboost.train(PARAMETERS, matrix, ROUNDS)
    Model([Native(booster)]).save(scratch / "model")
    predictor = Predictor(load(scratch / "model"), Gate(64), Settings())
    assert predictor.served.algorithm is ALGORITHM
    alone = xgboost.Booster({"nthread": 1})  # as the open container: a process a core, a thread a process
    alone.load_model(bytearray(booster.save_raw("ubj")))

    def ours(body: bytes) -> bytes:
        return predictor.answer(body, "text/csv", "text/csv", time.monotonic() + 60)[0]

    def theirs(body: bytes) -> bytes:
        text = body.decode().strip()
        delimiter = python_csv.Sniffer().sniff(text.split("\n")[0][:512]).delimiter
        rows = [row.split(delimiter) for row in text.split("\n")]
        cells = np.array([[float(cell) if cell else np.nan for cell in row] for row in rows])
        matrix = xgboost.DMatrix(cells)
        predictions = alone.predict(matrix, validate_features=False)
        return "".join(f"{value}\n" for value in predictions.tolist()).encode()

    results = []
    for count, times in ((1, 300), (1000, 3)):
        body = "".join(",".join(map(str, row)) + "\n" for row in table[:count, 1:].tolist()).encode()
        np.testing.assert_allclose(np.loadtxt(io.BytesIO(ours(body))), np.loadtxt(io.BytesIO(theirs(body))))
        seconds = compare(
            {
                "ours": lambda body=body, times=times: [ours(body) for _ in range(times)],  # type: ignore[misc]
                "open container's": lambda body=body, times=times: [theirs(body) for _ in range(times)],  # type: ignore[misc]
            }
        )
        results.append(
            {
                "what": f"{count} row(s) of {WIDTH}, CSV to CSV",
                "microseconds": {name: round(value / times * 1e6) for name, value in seconds.items()},
                "rows_per_second": {name: round(count * times / value) for name, value in seconds.items()},
                "ratio": round(seconds["open container's"] / seconds["ours"], 2),
            }
        )
    return results


def main() -> int:
    """Run, print the table, and write xgboost-cpu.json."""
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the table (1,000,000)")
    arguments = parser.parse_args()
    table = rows_of(arguments.rows)
    results: list[dict[str, Any]] = []
    for measure in (serving, reading, job):
        with tempfile.TemporaryDirectory() as scratch:
            found = measure(table, Path(scratch))
        for result in found if isinstance(found, list) else [found]:
            print("\n".join(f"{name:16} {value}" for name, value in result.items()), end="\n\n", flush=True)
            results.append(result)
    print(save("xgboost-cpu", results, folder=arguments.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())

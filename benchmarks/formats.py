"""Speed of the decoders and encoders: `python -m benchmarks.formats`.

Files are read from the page cache through `read(stream)`, as training does; the best of several runs
counts. "One core" means that the process is bound to one CPU and pyarrow to one thread. pyarrow's own CSV
reader takes turns with ours in the same run; it stops at columns, ours goes on to a float32 matrix.
"""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv as pyarrow_csv
from scipy.sparse import csr_array

from benchmarks.environment import options, save
from optml.formats import tabular
from optml.formats.content_type import ContentType
from optml.formats.layout import Layout
from optml.formats.record_protobuf import encode, encode_columns
from optml.formats.records import Records

# AWS's own reader of RecordIO-protobuf (sagemaker.amazon.common), as measured when the project was planned.
AWS_READER_MB_S = 4.0


def best(work: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest run; one run to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def consume(path: Path, content_type: ContentType, layout: Layout) -> int:
    with path.open("rb", buffering=0) as stream:
        return sum(len(block) for block in tabular.read(stream, content_type, layout, source=path.name))


def recordio(folder: Path, size: int, repeats: int) -> list[dict[str, Any]]:
    """Decoding and encoding of RecordIO-protobuf, `size` bytes a file."""
    rng = np.random.default_rng(0)
    form = ContentType.parse("recordio-protobuf")
    rows: list[dict[str, Any]] = []
    for width, labelled in ((784, False), (784, True), (16, True)):
        n = size // (4 * width)
        labels = rng.integers(0, 10, (n, 1)).astype(np.float64) if labelled else None
        records = Records(rng.random((n, width), dtype=np.float32), labels)
        rows += _both(
            f"dense float32, {width} wide{', label' if labelled else ''}", records, form, folder, repeats
        )
    n = size // 1000  # a quarter of the bytes: encoding takes a while
    keys = np.cumsum(rng.integers(1, 333, (n, 30)), axis=1).ravel()
    values = rng.random(n * 30, dtype=np.float32)
    sparse = csr_array((values, keys, np.arange(n + 1) * 30), shape=(n, 10_000))
    records = Records(sparse, np.ones((n, 1)))
    rows += _both("sparse float32, 30 of 10000, label", records, form, folder, repeats)
    uneven = encode(Records(rng.random((1, 784), dtype=np.float32))) + encode(
        Records(rng.random((1, 784), dtype=np.float32), np.ones((1, 1)))
    )
    path = folder / "uneven.pbr"
    path.write_bytes(uneven * (size // len(uneven)))
    rows.append(_row("decode", "dense float32, 784 wide, every other labelled", path.stat().st_size,
                     best(lambda: consume(path, form, Layout(784, 0)), repeats)))  # fmt: skip
    return rows


def _both(name: str, records: Records, form: ContentType, folder: Path, repeats: int) -> list[dict[str, Any]]:
    block = max(
        1, (16 << 20) // max(1, len(encode(records[:100])) // 100)
    )  # rows of 16 MiB, as convert writes
    path = folder / "records.pbr"

    def write() -> None:
        for start in range(0, len(records), block):
            encode(records[start : start + block])

    with path.open("wb") as out:
        for start in range(0, len(records), block):
            out.write(encode(records[start : start + block]))
    size = path.stat().st_size
    return [
        _row("decode", name, size, best(lambda: consume(path, form, Layout(records.width)), repeats)),
        _row("encode", name, size, best(write, repeats)),
    ]


def csv(folder: Path, size: int, repeats: int) -> list[dict[str, Any]]:
    """Our CSV reader beside pyarrow's."""
    rng = np.random.default_rng(0)
    form = ContentType.parse("text/csv;label_size=0")
    rows = []
    for width in (5, 20, 100, 784):
        text = io.BytesIO()
        np.savetxt(text, rng.normal(size=(max(20, 100_000 // width), width)), delimiter=",", fmt="%.6g")
        path = folder / f"{width}.csv"
        path.write_bytes(text.getvalue() * (size // len(text.getvalue())))
        length = path.stat().st_size
        options = pyarrow_csv.ReadOptions(autogenerate_column_names=True)

        def theirs(path: Path = path) -> object:
            return pyarrow_csv.read_csv(path, read_options=options)  # noqa: B023

        def ours(path: Path = path, width: int = width) -> object:
            return consume(path, form, Layout(width))

        pairs = [(best(ours, 1), best(theirs, 1)) for _ in range(repeats)]
        mine, peer = (min(times) for times in zip(*pairs, strict=True))
        row = _row("decode", f"CSV, {width} columns", length, mine)
        rows.append(row | {"pyarrow_mb_s": round(length / peer / 1e6), "of_pyarrow": round(peer / mine, 2)})
    return rows


def requests() -> list[dict[str, Any]]:
    """Microseconds a request or answer."""
    rows = []
    for count, width in ((1, 4), (1, 784), (100, 16)):
        records = Records(np.random.default_rng(0).random((count, width), dtype=np.float32))
        for name in ("csv", "json", "jsonlines", "recordio-protobuf"):
            form = ContentType.parse(name)
            body = tabular.write(records, form)
            seconds = _mean(lambda: tabular.decode(body, form, Layout(width, 0)))  # noqa: B023
            rows.append(
                {"what": f"decode request, {name}", "records": f"{count} of {width}", "us": seconds * 1e6}
            )
    for count in (1, 1000):
        columns = {
            "closest_cluster": np.ones(count, np.float32),
            "distance_to_cluster": np.ones(count, np.float32),
        }
        seconds = _mean(lambda: encode_columns(columns))  # noqa: B023
        rows.append(
            {"what": "encode answer, recordio-protobuf", "records": f"{count} of 2", "us": seconds * 1e6}
        )
    return [row | {"us": round(float(str(row["us"])), 1)} for row in rows]


def _mean(work: Callable[[], object], runs: int = 500) -> float:
    return best(lambda: [work() for _ in range(runs)], 3) / runs


def _row(what: str, data: str, size: int, seconds: float) -> dict[str, Any]:
    return {"what": what, "data": data, "mb": round(size / 1e6), "mb_s": round(size / seconds / 1e6)}


def show(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        print("  ".join(f"{key}={value}" if key != "what" else f"{value:34}" for key, value in row.items()))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--megabytes", type=int, default=256, help="size of each RecordIO file")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    size = arguments.megabytes << 20
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        all_cores = [
            row | {"cores": len(os.sched_getaffinity(0))} for row in csv(folder, size // 4, arguments.repeats)
        ]
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        pa.set_cpu_count(1)
        rows = recordio(folder, size, arguments.repeats) + csv(folder, size // 4, arguments.repeats)
        rows = [row | {"cores": 1} for row in rows] + all_cores + [row | {"cores": 1} for row in requests()]
    show(rows)
    print(f"AWS's reader of RecordIO-protobuf: {AWS_READER_MB_S} MB/s (quoted, not run here)")
    print(
        save(
            "formats-cpu",
            rows,
            folder=arguments.out,
            aws_reader_mb_s_quoted=AWS_READER_MB_S,
            method=str(__doc__),
        )
    )


if __name__ == "__main__":
    main()

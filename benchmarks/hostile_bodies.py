"""What a request costs that is made to be dear: CPU seconds per 6 MB, and memory in multiples of its size.

`python -m benchmarks.hostile_bodies [--mib 6]`: every body of `tests/fuzz/hostile.py` through every algorithm
that decodes its own requests, and through the decoders of tables, for a model of one feature and for one
of which the width is not known; then those and three algorithms of tables once more with
`OPTML_BAD_RECORD=null`, predictions of the records that are tried included. Each in a process of its own;
gzip does not count. The bar is 2 s and 10 times. It takes an hour, of a machine that does nothing else.
"""

from __future__ import annotations

import json
import math
import os
import resource
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.environment import options, save
from optml.errors import UserError
from optml.formats import csv_cells, tabular
from optml.formats.content_type import PARQUET, ContentType
from optml.formats.layout import Layout
from optml.serving.batching import Gate
from optml.serving.errors import RequestError, unreadable
from optml.serving.predictor import Predictor
from optml.serving.settings import Settings
from optml.serving.warmup import warm_up
from tests.fuzz.hostile import TABLES, bodies
from tests.serving.every import content_types, served

MOST_SECONDS, MOST_TIMES = 2.0, 10.0
PAYLOAD = 6 << 20
LIMIT = 60  # CPU seconds, after which a body is given up
PREDICTORS = ("kmeans", "knn", "randomcutforest")  # the two last take longest to predict
OWN = ("ipinsights", "blazingtext", "blazingtext words", "forecasting-deepar")


def decoders() -> Iterator[tuple[str, str, Callable[[bytes], Any]]]:
    """Triples (who decodes, content type, decoder)."""
    for media in (*TABLES, PARQUET):
        for name, width in (("a table of one feature", 1), ("a table", None)):
            layout = Layout(width, 0)
            yield name, media, lambda body, m=media, w=layout: tabular.decode(body, ContentType(m), w)  # type: ignore[misc]
    for name in OWN:
        model = served(name)
        warm_up(model)
        predictor = Predictor(model, Gate(1), Settings())
        for media in content_types(name):
            yield name, media, lambda body, m=media, p=predictor: p.decode(body, ContentType(m))  # type: ignore[misc]
    for name in (*PREDICTORS, *OWN):
        model = served(name)
        warm_up(model)
        predictor = Predictor(model, Gate(1), Settings(bad_record="null"))
        for media in content_types(name):
            yield (
                f"{name}, OPTML_BAD_RECORD=null",
                media,
                lambda body, m=media, p=predictor: _apart(p, body, m),
            )  # type: ignore[misc]


def _apart(predictor: Predictor, body: bytes, media: str) -> Any:
    """What comes of a request whose bad records are answered alone."""
    form = ContentType(media)
    try:
        return predictor.decode(body, form)
    except UserError as error:
        try:
            records, failed = predictor._sound(body, form, unreadable(str(error)), math.inf)
        except RequestError as refused:
            raise UserError(refused.message) from None
        return range(len(records or ()) + len(failed))


def measure(decode: Callable[[bytes], Any], body: bytes, size: int) -> dict[str, Any]:
    """CPU seconds per 6 MB, peak memory beyond the body's in its sizes, and what came of it; in a child."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))
        os.write(write, json.dumps(_measured(decode, body, size)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        report = pipe.read()
    os.waitpid(child, 0)
    if not report:
        return {"seconds": math.inf, "times": math.inf, "outcome": "killed"}
    result: dict[str, Any] = json.loads(report)
    return result


def _measured(decode: Callable[[bytes], Any], body: bytes, size: int) -> dict[str, Any]:
    with suppress(UserError):  # what a first request brings into memory, and no later one
        for text in (b"1\n", b"1\n\n"):  # by code of ours, by a library
            tabular.decode(text * 150_000, ContentType("text/csv"), Layout(1))
        decode(body[: min(1 << 15, len(body) // 16)])
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, start = _peak(), time.process_time()
    try:
        outcome = f"{len(decode(body))} records"
    except UserError as error:
        outcome = str(error).split("\n", 1)[0][:100]
    seconds = time.process_time() - start
    return {"seconds": seconds * PAYLOAD / size, "times": (_peak() - before) / size, "outcome": outcome}


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--mib", type=float, default=6, help="size of a body")
    arguments = parser.parse_args()
    csv_cells.build()  # as in an image
    rows = []
    for name, media, decode in decoders():
        print(f"{name}, {media}", flush=True)
        size = int(arguments.mib * 2**20)
        for kind, body in bodies(media, size):
            # of Parquet, what it inflates to
            cost = measure(decode, body, max(len(body), size) if media == PARQUET else len(body))
            row = {"decoder": name, "content_type": media, "body": kind, "gzip": len(zlib.compress(body, 1))}
            rows.append(row | cost | {"seconds": round(cost["seconds"], 3), "times": round(cost["times"], 2)})
            if cost["seconds"] > MOST_SECONDS or cost["times"] > MOST_TIMES:
                print(
                    f"{name}, {media}, {kind}: {cost['seconds']:.2f} s, {cost['times']:.1f} times", flush=True
                )
    over = [row for row in rows if row["seconds"] > MOST_SECONDS or row["times"] > MOST_TIMES]
    for key in ("seconds", "times"):
        print(f"\nmost {key}:")
        for row in sorted(rows, key=lambda row: -row[key])[:8]:
            name = f"{row['decoder']}, {row['content_type']}, {row['body']}"
            print(f"  {row[key]:6.2f}  {name}: {row['outcome'][:60]}")
    print(f"\n{len(rows)} bodies of {arguments.mib:g} MiB, {len(over)} beyond the bar")
    dear = [row for row in rows if row["seconds"] > MOST_SECONDS / 4 or row["times"] > MOST_TIMES / 4]
    save("hostile_bodies-cpu", dear, folder=arguments.out, mib=arguments.mib, bodies=len(rows))


if __name__ == "__main__":
    main()

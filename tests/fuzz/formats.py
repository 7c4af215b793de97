"""Seeded mutation fuzzing of every decoder: `python -m tests.fuzz.formats --seconds 20 --seed 1`.

Whatever the bytes, a decoder gives Records or raises UserError; anything else stops the run and prints the
body, in hex, that did it.
"""

from __future__ import annotations

import argparse
import io
import logging
import random
import time
from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_array

from optml.errors import UserError
from optml.formats import compression, record_message, tabular
from optml.formats.content_type import ContentType
from optml.formats.images import record as image_record
from optml.formats.layout import Layout
from optml.formats.records import Records

FORMATS = ("csv", "csv;header=present", "libsvm", "recordio-protobuf", "json", "jsonlines", "parquet")
SPICE = (
    b"\x0a\x23\xd7\xce", b"\n", b"\r", b",", b'"', b"nan", b"-", b"1e999", b"_", b"{", b"}", b"[", b"]", b":",
    b"\xff", b"\0", b"\x0a\x06values", b"\x12\x00", b"\x80" * 10, b"\xff" * 8, b"null", b"qid:1", b"#",
)  # fmt: skip


def seeds(form: str) -> list[bytes]:
    """Well-formed bodies to start from."""
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(80, 3)).astype(np.float32)
    sparse = csr_array(np.where(rng.random((80, 3)) < 0.5, dense, 0))
    labels = np.arange(80.0)[:, None]
    content_type = ContentType.parse(form)
    tables = [Records(dense[:2]), Records(dense, labels), Records(sparse, labels), Records(dense[:1])]
    tables.append(Records(dense[:5], uids=("a",) * 5, weights=np.ones(5, np.float32)))
    return [tabular.write(table, content_type) for table in tables]


def mutate(body: bytes, rng: random.Random) -> bytes:
    """A few flips, cuts, insertions and repetitions."""
    data = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at:]
            case 2:
                data[at:at] = rng.choice(SPICE)
            case 3:
                del data[at : at + rng.randint(1, 8)]
            case 4:
                data[at:at] = data[at : at + rng.randint(1, 200)]
            case _ if at < len(data):
                data[at] = rng.randrange(256)
    return bytes(data)


def attempts(form: str, rng: random.Random) -> list[Callable[[bytes], object]]:
    """The ways in which a body of that form is read."""
    content_type = ContentType.parse(form)
    layout = Layout(rng.choice([None, 3]), rng.choice([None, 0, 1]))
    block_bytes = rng.choice([1, 7, 100, 1 << 20])

    def read(body: bytes) -> object:
        stream = io.BytesIO(body)
        return list(tabular.read(stream, content_type, layout, source="a", block_bytes=block_bytes))

    ways: list[Callable[[bytes], object]] = [lambda body: tabular.decode(body, content_type, layout), read]
    ways.append(lambda body: compression.decompress(body, max_bytes=1 << 20))
    if content_type.media.startswith("application/x-recordio"):
        ways.append(lambda body: list(record_message.messages(io.BytesIO(body), source="a")))
        ways.append(lambda body: list(image_record.read(io.BytesIO(body), source="a")))
    return ways


def fuzz(seconds: float, seed: int, forms: tuple[str, ...] = FORMATS) -> int:
    """Returns how many bodies were tried."""
    rng = random.Random(seed)
    corpus = {form: seeds(form) for form in forms}
    count = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        form = rng.choice(forms)
        body = mutate(rng.choice(corpus[form]), rng)
        begin = time.monotonic()
        for way in attempts(form, rng):
            try:
                way(body)
            except UserError:
                pass
            except BaseException as error:
                raise AssertionError(f"{form}: {error!r} from bytes.fromhex('{body.hex()}')") from error
        if time.monotonic() - begin > 10:
            raise AssertionError(f"{form}: slow: bytes.fromhex('{body.hex()}')")
        count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    print(f"{fuzz(arguments.seconds, arguments.seed)} bodies, no surprise")


if __name__ == "__main__":
    main()

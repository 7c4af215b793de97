"""Any bytes of any content type against a real server: `python -m tests.fuzz.invocations --seconds 20`.

Every answer must be 200 or 4xx within a second or so; a 5xx, a broken connection, a hang or a dead worker
stops the run and prints the request that did it.
"""

from __future__ import annotations

import argparse
import http.client
import math
import random
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from optml.local.endpoint import Endpoint
from tests.fuzz.formats import FORMATS, SPICE, seeds
from tests.serving.sample import save_kmeans

CONTENT_TYPES = (
    *FORMATS, "", "application/octet-stream", "text/csv;label_size=1", "text/csv;charset=utf-16", "image/png",
    ";;=", "application/json, text/csv", "text/csv;label_size=99999999999999", "\xff",
)  # fmt: skip
ACCEPTS = (
    "", "*/*", "text/csv", "application/json;verbose=true", "application/x-recordio-protobuf", "q=;,,;q=nan",
    "text/csv;q=0.1, application/jsonlines",
)  # fmt: skip
TIMEOUT = 10.0  # seconds


def mutated(rng: random.Random, body: bytes) -> bytes:
    """A body with some pieces cut, doubled, replaced or spiced."""
    for _ in range(rng.randrange(4)):
        begin = rng.randrange(len(body) + 1)
        end = min(len(body), begin + rng.choice((0, 1, 4, 30)))
        piece = rng.choice((b"", body[begin:end] * 2, rng.randbytes(4), rng.choice(SPICE)))
        body = body[:begin] + piece + body[end:]
    return body


def attack(port: int, seed: int, *, seconds: float = math.inf, count: float = math.inf) -> int:
    """Send requests for so long, or so many; returns how many.

    Raises AssertionError for an answer that must not be.
    """
    rng = random.Random(seed)
    bodies = [body for form in FORMATS for body in seeds(form)]
    sent = 0
    until = time.monotonic() + seconds
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as connection:
        while sent < count and time.monotonic() < until:
            body = mutated(rng, rng.choice(bodies))
            headers = {"Content-Type": rng.choice(CONTENT_TYPES), "Accept": rng.choice(ACCEPTS)}
            if rng.random() < 0.1:
                headers["Content-Encoding"] = rng.choice(("gzip", "br", "identity"))
            try:
                connection.request("POST", "/invocations", body, headers)
                answer = connection.getresponse()
                said = answer.read()
            except (OSError, http.client.HTTPException) as error:
                raise AssertionError(f"{error!r} after {headers} {body.hex()}") from error
            sent += 1
            assert answer.status < 500, f"{answer.status} {said!r} for {headers} {body.hex()}"
            assert answer.status == 200 or b"<html" not in said.lower(), said
    return sent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Endpoint(save_kmeans(Path(folder) / "model")) as endpoint:
        sent = attack(endpoint.port, chosen.seed, seconds=chosen.seconds)
    print(f"{sent} requests, none answered with 5xx")
    return 0


if __name__ == "__main__":
    sys.exit(main())

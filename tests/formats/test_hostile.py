"""Bodies that are cheap to send are no dearer to read than others: `tests/fuzz/hostile.py` makes them."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import pytest

from optml.errors import UserError
from optml.formats import tabular
from optml.formats.content_type import ContentType
from optml.formats.layout import Layout
from tests.fuzz.hostile import TABLES, bodies

SMALL, LARGE = 1 << 15, 1 << 17
SLACK = 24 << 20  # bytes that a block at work may take, however large the body is


def decode(media: str, body: bytes, width: int | None) -> None:
    with suppress(UserError):
        tabular.decode(body, ContentType.parse(media), Layout(width, 0))


def seconds(work: Callable[[], None]) -> float:
    """Of the processor, without the collector: what other tests have left in memory is not this work's."""
    gc.disable()
    try:
        begin = time.process_time()
        work()
        return time.process_time() - begin
    finally:
        gc.enable()


@pytest.mark.slow  # it counts seconds
@pytest.mark.parametrize("media", TABLES)
def test_four_times_as_many_bytes_take_no_more_than_four_times_as_long(media: str) -> None:
    """Twelve, to leave room for a busy machine; what is quadratic takes sixteen, and seconds."""
    small, large = dict(bodies(media, SMALL)), dict(bodies(media, LARGE))
    for name, body in large.items():
        for width in (1, None):
            short = seconds(lambda n=name, w=width: decode(media, small[n], w))  # type: ignore[misc]
            long = seconds(lambda b=body, w=width: decode(media, b, w))  # type: ignore[misc]
            assert long < 12 * short + 0.5, f"{name}, width {width}: {short:.3f} s, then {long:.3f} s"


@pytest.mark.parametrize(
    ("media", "name"),
    [
        ("text/csv", "ones between blank lines"),
        ("text/csv", "a long line of quoted words"),
        ("text/csv", "a row, then a long line of numbers"),
        pytest.param("text/libsvm", "labels", marks=pytest.mark.slow),
        pytest.param("text/libsvm", "a long line of features", marks=pytest.mark.slow),
        ("application/jsonlines", "empty objects"),
        ("application/jsonlines", "one long line of empty lists"),
        ("application/json", "empty lists"),
        ("application/json", "features: texts"),
        pytest.param("application/json", "instances: lists of one", marks=pytest.mark.slow),
        ("application/json", "another key: empty objects"),
        ("application/x-recordio-protobuf", "with uid"),
        pytest.param("application/x-recordio-protobuf", "split", marks=pytest.mark.slow),
        ("application/x-recordio-protobuf", "dense and with uid"),
        pytest.param("application/x-recordio-protobuf", "odd and split", marks=pytest.mark.slow),
    ],
)
def test_decoding_takes_at_most_ten_times_the_memory_of_the_body(media: str, name: str) -> None:
    body = dict(bodies(media, 5 << 19))[name]
    decode(media, body[: 1 << 16], None)  # imports
    gc.collect()
    tracemalloc.start()
    try:
        decode(media, body, None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(body) + SLACK, f"{peak / len(body):.1f} times"


@pytest.mark.slow  # it counts seconds
def test_decoding_ends_at_the_first_record_that_does_not_fit() -> None:
    """Of twelve megabytes it reads less than the first."""
    body = b"{}\n" * (4 << 20)
    small = seconds(lambda: decode("application/jsonlines", body[: 1 << 20], 2))
    assert seconds(lambda: decode("application/jsonlines", body, 2)) < 4 * small + 0.5
    with pytest.raises(UserError, match="line 1 of the request"):
        tabular.decode(body, ContentType.parse("jsonlines"), Layout(2))

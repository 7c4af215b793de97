from __future__ import annotations

import ipaddress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.algorithms.kernels.pairs.entity_pairs_cpu import address, hash_each, xxh64


def number(text: bytes) -> int:
    return int(xxh64(np.frombuffer(b"<" + text + b">", np.uint8), 1, 1 + len(text)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", 0xEF46DB3751D8E999),
        (b"a", 0xD24EC4F1A98C6E5B),
        (b"as", 0x1C330FB2D66BE179),
        (b"asd", 0x631C37CE72A97393),
        (b"asdf", 0x415872F599CEA71E),
        # 63 characters, of the library's own tests: more than one stripe and every kind of tail
        (b"Call me Ishmael. Some years ago--never mind how long precisely-", 0x02A2E85470D6FD96),
    ],
)
def test_hashes_are_those_that_are_published(text: bytes, expected: int) -> None:
    assert number(text) == expected


@given(st.binary(max_size=100))
def test_hashes_are_those_of_the_library(text: bytes) -> None:
    xxhash = pytest.importorskip("xxhash")
    assert number(text) == xxhash.xxh64_intdigest(text)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=8))
def test_runs_of_bytes_are_hashed_apart(texts: list[bytes]) -> None:
    bounds = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    hashes = np.empty(len(texts), np.uint64)
    hash_each(np.frombuffer(b"".join(texts) + b"\0", np.uint8), bounds, hashes)
    assert hashes.tolist() == [number(text) for text in texts]


def parse(text: str) -> int:
    content = text.encode()
    return int(address(np.frombuffer(content + b"\0", np.uint8), 0, len(content)))


@settings(max_examples=300)
@given(
    st.one_of(
        st.ip_addresses(v=4).map(str),
        st.text("0123456789.", max_size=16),
        st.lists(st.text("0123456789 -+a٣", max_size=4), min_size=3, max_size=5).map(".".join),
    )
)
def test_addresses_are_those_that_python_takes(text: str) -> None:
    try:
        expected = int(ipaddress.IPv4Address(text))
    except ValueError:
        expected = -1
    assert parse(text) == expected

"""Bytes into requests: however they are cut, and whatever they are."""

from itertools import pairwise

import pytest
from gunicorn.config import Config
from hypothesis import given
from hypothesis import strategies as st

from optml.serving.errors import RequestError
from optml.serving.incoming import MAX_HEAD, Incoming

POST = b"POST /invocations HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def incoming(max_body: int = 1 << 20) -> Incoming:
    return Incoming(Config(), ("127.0.0.1", 1), max_body)


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(b"%x;a=b\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return CHUNKED + chunks + b"0\r\nTrailer: dropped\r\n\r\n"


def sized(body: bytes) -> bytes:
    return POST + b"Content-Length: %d\r\n\r\n" % len(body) + body


def bodies(client: Incoming, *parts: bytes) -> list[bytes]:
    """The bodies of the requests in what comes part by part."""
    read = []
    for part in parts:
        client.feed(part)
        while (request := client.next()) is not None:
            read.append(request.body.read())
    return read


@given(
    wanted=st.lists(st.tuples(st.binary(max_size=60), st.sampled_from([0, 1, 3, 100])), max_size=4),
    cuts=st.lists(st.integers(0, 1000), max_size=10),
)
def test_requests_are_the_same_however_their_bytes_are_cut(
    wanted: list[tuple[bytes, int]], cuts: list[int]
) -> None:
    sent = b"".join(chunked(body, size) if size else sized(body) for body, size in wanted)
    edges = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    client = incoming()
    parts = [sent[start:end] for start, end in pairwise(edges)]
    assert bodies(client, *parts) == [body for body, _ in wanted]
    assert not client.begun
    assert client.size == 0


@given(
    st.lists(st.binary(max_size=40), max_size=5), st.sampled_from([b"", POST, CHUNKED, CHUNKED + b"5\r\n"])
)
def test_any_bytes_are_requests_or_refused(parts: list[bytes], start: bytes) -> None:
    refusal = None
    try:
        bodies(incoming(64), start, *parts)
    except RequestError as error:
        refusal = error
    assert refusal is None or refusal.status in (400, 413, 414, 431, 501)
    assert refusal is None or "\n" not in refusal.message


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        (b"nonsense\r\n\r\n", 400, "malformed request"),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400, "CR LF"),
        (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n", 414, "malformed request"),
        (b"GET /" + b"x" * 2 * MAX_HEAD, 414, "request line is longer"),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 2 * MAX_HEAD, 431, "head is longer"),
        (POST + b"Content-Length: -5\r\n\r\n", 400, "CONTENT-LENGTH"),
        (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "CONTENT-LENGTH"),
        (POST + b"Content-Length: 101\r\n\r\n", 413, "larger than 100 bytes"),
        (CHUNKED + b"zz\r\n", 400, "b'zz', no hexadecimal number"),
        (CHUNKED + b"65\r\n", 413, "larger than 100 bytes"),
        (CHUNKED + b"40\r\n" + b"x" * 64 + b"\r\n40\r\n", 413, "larger than 100 bytes"),
        (CHUNKED + b"1\r\nab\r\n", 400, "longer than it says"),
        (CHUNKED + b"1;" + b"x" * 10_000, 400, "line between chunks"),
        (CHUNKED + b"0\r\n" + b"A: b\r\n" * 20_000, 431, "trailers"),
        (POST + b"Transfer-Encoding: magic\r\n\r\n", 501, "malformed request"),
    ],
)
def test_what_is_no_http_is_refused_with_a_reason(sent: bytes, status: int, reason: str) -> None:
    with pytest.raises(RequestError, match=reason) as refusal:
        bodies(incoming(max_body=100), sent)
    assert refusal.value.status == status


def test_an_empty_line_before_a_request_is_not_the_begin_of_one() -> None:
    client = incoming()
    assert bodies(client, sized(b"a") + b"\r\n") == [b"a"]
    assert not client.begun
    assert bodies(client, sized(b"b")) == [b"b"]


def test_a_client_that_expects_100_continue_is_known() -> None:
    client = incoming()
    assert bodies(client, POST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n") == []
    assert client.expects
    assert bodies(client, b"abc") == [b"abc"]
    assert not client.expects


def test_a_client_of_http_1_0_expects_nothing() -> None:
    client = incoming()
    old = POST.replace(b"1.1", b"1.0")
    bodies(client, old + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert not client.expects

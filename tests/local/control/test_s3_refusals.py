"""Requests to S3 that no SDK would make, and clients that are in each other's way."""

from __future__ import annotations

import http.client
import socket
from typing import Any

import pytest

from optml.local.control.errors import ApiError
from optml.local.control.plane import Plane


def asked(
    plane: Plane, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """What a request that no SDK would make gets."""
    connection = http.client.HTTPConnection(plane.options.host, plane.options.port)
    signed = (
        "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    )
    own = {"Authorization": signed, **{name.replace("_", "-"): text for name, text in headers.items()}}
    connection.request(method, path, body, own)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content, answer.headers


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("PUT", "k?uploadId=x", {}, b"partNumber=0"),
        ("PUT", "k", {"content_encoding": "aws-chunked", "x_amz_decoded_content_length": "x"}, b"length of"),
        ("GET", "k?response-content-type=a%0d%0ab:%20c", {}, b"response-content-type"),
        ("GET", "k?response-content-disposition=%E6%97%A5", {}, b"response-content-disposition"),
        ("GET", "?prefix=%ff", {}, b"no UTF-8"),
        ("PUT", "k", {"x_amz_copy_source": "b/%ff"}, b"no UTF-8"),
        ("GET", "?max-keys=" + "9" * 5000, {}, b"expected a number"),
    ],
)
def test_what_makes_no_sense_is_said(
    plane: Plane, s3: Any, bucket: str, method: str, path: str, headers: dict[str, str], expected: bytes
) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    status, body, _ = asked(plane, method, f"/{bucket}/{path}", **headers)
    assert (status, expected in body) == (400, True)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"


def test_headers_of_an_answer_can_be_asked_for_but_not_its_length(plane: Plane, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"12345")
    query = "response-content-type=x/y&response-content-length=2"
    status, body, headers = asked(plane, "GET", f"/{bucket}/k?{query}")
    assert (status, body, headers["Content-Type"]) == (200, b"12345", "x/y")
    span = "bytes=0-" + "9" * 5000  # no number that is read: all of it, as S3 does
    assert asked(plane, "GET", f"/{bucket}/k", Range=span)[:2] == (200, b"12345")


@pytest.mark.parametrize("chunk", [b"0x1\r\na", b"-5\r\na", b"1_0\r\na", b"1\r\nabc", b"f" * 100_000])
def test_a_chunk_of_no_length_is_refused(plane: Plane, s3: Any, bucket: str, chunk: bytes) -> None:
    body = chunk + b"\r\n0\r\n\r\n"
    status, text, _ = asked(plane, "PUT", f"/{bucket}/k", body, content_encoding="aws-chunked")
    assert (status, b"IncompleteBody" in text) == (400, True)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_of_two_writers_who_want_to_be_alone_one_is(plane: Plane, s3: Any, bucket: str) -> None:
    """Both are told to go on; the check counts once the bodies are there."""
    line = (
        f"PUT /{bucket}/lock HTTP/1.1\r\nHost: 127.0.0.1\r\nIf-None-Match: *\r\nContent-Length: 1\r\n"
        "Authorization: Credential=a/20260101/us-east-1/s3/aws4_request\r\nExpect: 100-continue\r\n\r\n"
    )
    address = (plane.options.host, plane.options.port)
    with socket.create_connection(address) as first, socket.create_connection(address) as second:
        for each in (first, second):
            each.sendall(line.encode())
            assert b"100 Continue" in each.recv(1000)
        statuses = []
        for each in (first, second):
            each.sendall(b"x")
            statuses.append(each.recv(1000).split()[1])
    assert statuses == [b"200", b"412"]


def test_a_body_for_a_bucket_that_is_removed_meanwhile_is_refused(plane: Plane, s3: Any, bucket: str) -> None:
    stored = plane.s3.bucket(bucket)
    s3.delete_bucket(Bucket=bucket)
    content, path = plane.s3.contents.new()
    path.write_text("1")
    with pytest.raises(ApiError, match="bucket does not exist"):
        stored.put("k", content, 1, "0" * 32, {})
    assert not plane.s3.contents.path(content).exists()

"""S3 of our own, through boto3."""

from __future__ import annotations

import hashlib
import http.client
import io
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from optml.local.control.database import Database
from optml.local.control.home import Home
from optml.local.control.plane import Plane
from optml.local.control.s3.content import Contents
from optml.local.control.s3.store import Store

ODD = [
    "a", "a/", "a/b", "a//b", "a///", "/a", "..", "../x", "a/../b", ".", "é +%2F.csv", "x&y=z?#", "日本/語",
    "~t'(*)!", "long/" + "p" * 300, "tab\tand\nline", "%41", "a b", "\U0001f600",
]  # fmt: skip


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    found: str = error.value.response["Error"]["Code"]
    return found


def test_any_key_comes_back_as_it_was(s3: Any, bucket: str) -> None:
    for key in ODD:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for key in ODD:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == sorted(ODD, key=str.encode)
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in ODD]})
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_pages_with_a_delimiter_name_each_key_and_prefix_once(s3: Any, bucket: str) -> None:
    keys = [f"{a}/{b}" for a in ("p", "q", "r") for b in range(5)] + ["p", "s", "q-"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    for size in (1, 2, 3, 1000):
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": size}
        )
        objects, prefixes = [], []
        for page in pages:
            objects += [entry["Key"] for entry in page.get("Contents", [])]
            prefixes += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
        assert (objects, prefixes) == (["p", "q-", "s"], ["p/", "q/", "r/"])
    old = s3.get_paginator("list_objects").paginate(
        Bucket=bucket, Prefix="q", PaginationConfig={"PageSize": 2}
    )
    assert [entry["Key"] for page in old for entry in page["Contents"]] == [
        "q-",
        *(f"q/{n}" for n in range(5)),
    ]


def test_an_upload_in_parts_is_one_object_with_s3s_etag(s3: Any, bucket: str) -> None:
    body = random.Random(0).randbytes(13 << 20)
    s3.upload_fileobj(
        io.BytesIO(body), bucket, "big", ExtraArgs={"Metadata": {"a": "b"}, "ContentType": "x/y"}
    )
    head = s3.head_object(Bucket=bucket, Key="big")
    digests = [hashlib.md5(body[: 8 << 20]).digest(), hashlib.md5(body[8 << 20 :]).digest()]
    assert head["ETag"] == f'"{hashlib.md5(b"".join(digests)).hexdigest()}-2"'
    assert (head["Metadata"], head["ContentType"], head["ContentLength"]) == ({"a": "b"}, "x/y", len(body))
    received = io.BytesIO()
    s3.download_fileobj(bucket, "big", received)
    assert received.getvalue() == body


def test_completing_twice_answers_twice_and_a_part_sent_again_counts(s3: Any, bucket: str) -> None:
    names = {"Bucket": bucket, "Key": "k"}
    upload = s3.create_multipart_upload(**names)["UploadId"]
    s3.upload_part(**names, UploadId=upload, PartNumber=1, Body=b"x" * (5 << 20))
    tags = [
        s3.upload_part(**names, UploadId=upload, PartNumber=number, Body=body)["ETag"]
        for number, body in ((1, b"y" * (5 << 20)), (2, b"end"))
    ]
    assert [part["Size"] for part in s3.list_parts(**names, UploadId=upload)["Parts"]] == [5 << 20, 3]
    parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
    first = s3.complete_multipart_upload(**names, UploadId=upload, MultipartUpload={"Parts": parts})
    again = s3.complete_multipart_upload(**names, UploadId=upload, MultipartUpload={"Parts": parts})
    assert first["ETag"] == again["ETag"]
    assert s3.get_object(**names)["Body"].read() == b"y" * (5 << 20) + b"end"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(1, "0" * 32)], "InvalidPart"),
        ([(3, None)], "InvalidPart"),
        ([(2, None), (1, None)], "InvalidPartOrder"),
        ([(1, None), (2, None)], "EntityTooSmall"),
    ],
)
def test_parts_that_do_not_fit_are_refused(s3: Any, bucket: str, parts: Any, expected: str) -> None:
    names = {"Bucket": bucket, "Key": "k"}
    upload = s3.create_multipart_upload(**names)["UploadId"]
    tags = {
        number: s3.upload_part(**names, UploadId=upload, PartNumber=number, Body=b"ab")["ETag"]
        for number in (1, 2)
    }
    wanted = [{"PartNumber": number, "ETag": tag or tags.get(number, "x")} for number, tag in parts]
    with pytest.raises(ClientError) as error:
        s3.complete_multipart_upload(**names, UploadId=upload, MultipartUpload={"Parts": wanted})
    assert code(error) == expected
    s3.abort_multipart_upload(**names, UploadId=upload)
    with pytest.raises(ClientError) as error:
        s3.upload_part(**names, UploadId=upload, PartNumber=1, Body=b"")
    assert code(error) == "NoSuchUpload"


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ("bytes=2-4", b"234"),
        ("bytes=7-", b"789"),
        ("bytes=-3", b"789"),
        ("bytes=5-100", b"56789"),
        ("lines=1", None),
    ],
)
def test_a_range_is_a_part(s3: Any, bucket: str, span: str, expected: bytes | None) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    answer = s3.get_object(Bucket=bucket, Key="k", Range=span)
    assert answer["Body"].read() == (expected or b"0123456789")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == (206 if expected else 200)


def test_a_range_behind_the_end_is_416(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="k", Range="bytes=10-")
    assert code(error) == "InvalidRange"


def test_preconditions_hold(s3: Any, bucket: str) -> None:
    tag = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    assert s3.get_object(Bucket=bucket, Key="k", IfMatch=tag)["Body"].read() == b"1"
    for condition, expected in (({"IfMatch": '"x"'}, "PreconditionFailed"), ({"IfNoneMatch": tag}, "304")):
        with pytest.raises(ClientError) as error:
            s3.get_object(Bucket=bucket, Key="k", **condition)
        assert code(error) == expected
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    assert code(error) == "PreconditionFailed"


def test_a_refusal_before_the_body_does_not_spoil_the_connection(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    for size in (1, 1 << 20, 20 << 20):
        with pytest.raises(ClientError) as error:
            s3.put_object(Bucket=bucket, Key="k", Body=b"2" * size, IfNoneMatch="*")
        assert code(error) == "PreconditionFailed"
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"


def test_copies_keep_their_metadata_or_get_others(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="é +", Body=b"1", Metadata={"a": "b"})
    source = {"Bucket": bucket, "Key": "é +"}
    s3.copy_object(Bucket=bucket, Key="same", CopySource=source)
    s3.copy_object(
        Bucket=bucket, Key="other", CopySource=source, Metadata={"c": "d"}, MetadataDirective="REPLACE"
    )
    assert s3.head_object(Bucket=bucket, Key="same")["Metadata"] == {"a": "b"}
    assert s3.head_object(Bucket=bucket, Key="other")["Metadata"] == {"c": "d"}
    s3.copy_object(
        Bucket=bucket, Key="same", CopySource={"Bucket": bucket, "Key": "same"}, MetadataDirective="REPLACE"
    )
    assert s3.get_object(Bucket=bucket, Key="same")["Body"].read() == b"1"


def test_a_reader_of_what_is_overwritten_finishes(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"old" * (4 << 20))
    body = s3.get_object(Bucket=bucket, Key="k")["Body"]
    head = body.read(3)
    s3.put_object(Bucket=bucket, Key="k", Body=b"new")
    s3.delete_object(Bucket=bucket, Key="k")
    assert head + body.read() == b"old" * (4 << 20)


def test_presigned_addresses_need_no_client(s3: Any, bucket: str) -> None:
    put = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a b"})
    assert requests.put(put, data=b"1", timeout=10).status_code == 200
    get = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a b"})
    assert requests.get(get, timeout=10).content == b"1"


def test_chunked_uploads_are_decoded_and_their_trailers_checked(plane: Plane, s3: Any, bucket: str) -> None:
    def send(checksum: str) -> int:
        headers = {
            "Content-Encoding": "aws-chunked",
            "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "x-amz-decoded-content-length": "11",
            "x-amz-trailer": "x-amz-checksum-crc32",
            "Expect": "100-continue",
        }
        body = f"5\r\nhello\r\n6;chunk-signature=x\r\n world\r\n0\r\nx-amz-checksum-crc32:{checksum}\r\n\r\n"
        return requests.put(f"{plane.url}/{bucket}/k", body.encode(), headers=headers, timeout=10).status_code

    assert send("DUoRhQ==") == 200
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"hello world"
    assert "ContentEncoding" not in s3.head_object(Bucket=bucket, Key="k")
    assert send("AAAAAA==") == 400


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_chunks_may_be_cut_anywhere(cut: int) -> None:
    import asyncio

    from optml.local.control.s3.bodies import unchunked

    body = b"5\r\nhello\r\n6;s=x\r\n world\r\n0\r\na: b\r\n\r\n"

    async def decode() -> tuple[bytes, dict[str, str]]:
        async def pieces() -> Any:
            for start in range(0, len(body), cut):
                yield body[start : start + cut]

        trailers: dict[str, str] = {}
        return b"".join([piece async for piece in unchunked(pieces(), trailers)]), trailers

    assert asyncio.run(decode()) == (b"hello world", {"a": "b"})


def test_a_body_that_breaks_off_leaves_nothing(plane: Plane, s3: Any, bucket: str) -> None:
    connection = http.client.HTTPConnection(plane.options.host, plane.options.port)
    connection.putrequest("PUT", f"/{bucket}/k")
    connection.putheader("Content-Length", "100")
    connection.endheaders(b"only this")
    connection.close()
    for _ in range(100):  # the server needs a moment to see it; the answer is the same before
        with pytest.raises(ClientError):
            s3.head_object(Bucket=bucket, Key="k")
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==")
    assert code(error) == "BadDigest"


def test_many_writers_of_one_key_leave_one_whole_object(plane: Plane, s3: Any, bucket: str) -> None:
    bodies = [bytes([n]) * 300_000 for n in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda body: s3.put_object(Bucket=bucket, Key="k", Body=body), bodies))
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() in bodies
    (used,) = plane.database.row("SELECT content FROM objects WHERE bucket = ?", (bucket,))
    assert plane.s3.contents.path(used).exists()
    assert not list(plane.home.incoming.iterdir())


def test_what_is_not_there_is_said_in_s3s_words(s3: Any, bucket: str) -> None:
    for call, arguments, expected in (
        (s3.get_object, {"Bucket": bucket, "Key": "k"}, "NoSuchKey"),
        (s3.head_object, {"Bucket": bucket, "Key": "k"}, "404"),
        (s3.list_objects_v2, {"Bucket": "nowhere"}, "NoSuchBucket"),
        (s3.put_object, {"Bucket": "nowhere", "Key": "k"}, "NoSuchBucket"),
        (s3.get_bucket_lifecycle_configuration, {"Bucket": bucket}, "NoSuchLifecycleConfiguration"),
    ):
        with pytest.raises(ClientError) as error:
            call(**arguments)
        assert code(error) == expected
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    with pytest.raises(ClientError) as error:
        s3.delete_bucket(Bucket=bucket)
    assert code(error) == "BucketNotEmpty"
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)


def test_a_kill_leaves_whole_objects_and_nothing_else(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()

    def opened() -> Store:
        database = Database(home.database)
        contents = Contents(home, database)
        contents.recover()
        return Store(database, contents, {})

    store = opened()
    store.create("bkt")
    for key in ("kept", "replaced"):
        content, path = store.contents.new()
        path.write_bytes(key.encode())
        store.bucket("bkt").put(key, content, len(key), "0" * 32, {})
    half, path = store.contents.new()  # a body that has not come to its end
    path.write_bytes(b"half")
    orphan, path = store.contents.new()  # moved, when the kill came before the row
    path.write_bytes(b"orphan")
    store.contents.keep(orphan)
    store = opened()
    for key in ("kept", "replaced"):
        found = store.bucket("bkt").get(key)
        assert found is not None
        assert found.path.read_bytes() == key.encode()
    assert not store.contents.incoming(half).exists()
    assert not store.contents.path(orphan).exists()

"""A folder of the user's as a bucket."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tests.local.control.conftest import client, running
from tests.local.control.test_s3 import code


def test_a_folder_is_a_bucket_without_a_copy(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "a.csv").write_text("1,2\n")
    (folder / "b.csv").write_text("3\n")
    (tmp_path / "secret").write_text("no")
    (folder / "out").symlink_to(tmp_path / "secret")
    with running(tmp_path / "home", buckets={"mine": folder}) as plane:
        s3 = client(plane, "s3")
        assert [entry["Key"] for entry in s3.list_objects_v2(Bucket="mine")["Contents"]] == [
            "b.csv",
            "inner/a.csv",
        ]
        assert s3.get_object(Bucket="mine", Key="inner/a.csv")["Body"].read() == b"1,2\n"
        s3.upload_fileobj(
            io.BytesIO(b"x" * 100), "mine", "new/c", Config=TransferConfig(multipart_threshold=50)
        )
        assert (folder / "new" / "c").read_bytes() == b"x" * 100
        for key in ("../secret", "out", "a//b"):
            with pytest.raises(ClientError) as error:
                s3.get_object(Bucket="mine", Key=key)
            assert code(error) == "NoSuchKey"
        with pytest.raises(ClientError) as error:
            s3.put_object(Bucket="mine", Key="../secret", Body=b"overwritten")
        assert code(error) == "InvalidArgument"
        with pytest.raises(ClientError) as error:
            s3.delete_bucket(Bucket="mine")
        assert code(error) == "AccessDenied"
    assert (tmp_path / "secret").read_text() == "no"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[tuple[Path, Any]]:
    """A folder, and a client of the control plane that shows it as the bucket `mine`."""
    shown = tmp_path / "mine"
    (shown / "sub").mkdir(parents=True)
    (shown / "a.csv").write_text("1")
    (shown / "sub" / "b.csv").write_text("2")
    with running(tmp_path / "home", buckets={"mine": shown}) as plane:
        yield shown, client(plane, "s3")


def test_a_folder_shows_files_alone_and_none_of_others(folder: tuple[Path, Any]) -> None:
    shown, s3 = folder
    (shown / "loop").symlink_to("loop")
    (shown / "dangling").symlink_to("nowhere")
    (shown / "out").symlink_to("/etc/passwd")
    (shown / "in").symlink_to("a.csv")
    (shown / f".{'0' * 32}.part").write_text("half of a file")
    os.mkfifo(shown / "pipe")
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="mine")["Contents"]] == [
        "a.csv",
        "in",
        "sub/b.csv",
    ]
    for key in ("loop", "dangling", "out", "pipe", "sub", "a.csv/x", "x" * 300, "../a.csv"):
        with pytest.raises(ClientError) as error:
            s3.get_object(Bucket="mine", Key=key)
        assert code(error) == "NoSuchKey"
    for key in ("x" * 300, "a.csv/x", "sub", "../x"):
        with pytest.raises(ClientError) as error:
            s3.put_object(Bucket="mine", Key=key, Body=b"1")
        assert code(error) == "InvalidArgument"
    (shown / os.fsdecode(b"\xff.csv")).write_text("3")
    with pytest.raises(ClientError, match="rename it"):
        s3.list_objects_v2(Bucket="mine")
    assert s3.list_objects_v2(Bucket="mine", Prefix="sub/")["KeyCount"] == 1


def test_the_keys_of_a_folder_come_in_s3s_order_page_by_page(folder: tuple[Path, Any]) -> None:
    shown, s3 = folder
    for name in ("sub-x", "sub.csv", "sub/c/d", "sub/c.csv", "é", "z/z"):
        (shown / name).parent.mkdir(exist_ok=True)
        (shown / name).write_text("")
    keys = sorted(
        ["a.csv", "sub/b.csv", "sub-x", "sub.csv", "sub/c/d", "sub/c.csv", "é", "z/z"], key=str.encode
    )
    for size in (1, 2, 3, 100):
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket="mine", PaginationConfig={"PageSize": size}
        )
        assert [each["Key"] for page in pages for each in page["Contents"]] == keys


def test_a_copy_is_nobodys_file(folder: tuple[Path, Any]) -> None:
    """Neither changes with the other, and the user's own stays writable."""
    shown, s3 = folder
    s3.create_bucket(Bucket="stored")
    s3.copy_object(Bucket="stored", Key="k", CopySource="mine/a.csv")
    s3.copy_object(Bucket="mine", Key="back.csv", CopySource="stored/k")
    (shown / "a.csv").write_text("changed")
    (shown / "back.csv").write_text("changed")
    assert s3.get_object(Bucket="stored", Key="k")["Body"].read() == b"1"
    assert (shown / "a.csv").stat().st_mode & 0o200

"""From S3 to channels: which objects, under which names, for which host."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from optml.errors import UserError
from optml.local.control.database import Database
from optml.local.control.home import Home
from optml.local.control.jobs.channels import Job, prepare
from optml.local.control.s3.content import Contents
from optml.local.control.s3.store import Store

Put = Callable[[str, str], None]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    home = Home(tmp_path / "home")
    home.make()
    database = Database(home.database)
    store = Store(database, Contents(home, database), {})
    store.create("bkt")
    return store


@pytest.fixture
def put(store: Store) -> Put:
    def put(key: str, text: str) -> None:
        content, path = store.contents.new()
        path.write_text(text)
        store.bucket("bkt").put(key, content, len(text), "0" * 32, {})

    return put


def channel(uri: str, kind: str = "S3Prefix", distribution: str | None = None, **more: Any) -> dict[str, Any]:
    source = {"S3DataType": kind, "S3Uri": uri, **more.pop("source", {})}
    if distribution:
        source["S3DataDistributionType"] = distribution
    return {"ChannelName": "train", "DataSource": {"S3DataSource": source}, **more}


def laid_out(store: Store, folder: Path, request: dict[str, Any], hosts: int = 1, mode: str = "File") -> Any:
    return prepare([request], Job(folder, hosts, mode), store)["train"]


def names(share: list[str]) -> list[str]:
    (folder,) = share
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("data/", ["b/c.csv", "train.csv", "train/a.csv"]),
        ("data", ["b/c.csv", "train.csv", "train/a.csv"]),
        ("data/train", ["train.csv", "train/a.csv"]),
        ("data/train/", ["a.csv"]),
        ("data/train.csv", ["train.csv"]),
        ("", ["data/b/c.csv", "data/train.csv", "data/train/a.csv"]),
    ],
)
def test_a_prefix_names_what_lies_behind_it(
    store: Store, put: Put, tmp_path: Path, prefix: str, expected: list[str]
) -> None:
    for key in ("data/", "data/train.csv", "data/train/a.csv", "data/b/c.csv"):
        put(key, key)
    shares = laid_out(store, tmp_path / "job", channel(f"s3://bkt/{prefix}"))["shares"]
    assert names(shares[0]) == expected


def test_nothing_is_copied_and_nothing_leaves_the_folder(store: Store, put: Put, tmp_path: Path) -> None:
    for key in ("d/../../x", "d//y", "d/z"):
        put(key, key)
    (share,) = laid_out(store, tmp_path / "job", channel("s3://bkt/d/"))["shares"]
    assert names(share) == ["%%/y", "%..%/%..%/x", "z"]
    found = store.find("s3://bkt/d/z")
    assert found is not None
    assert (Path(share[0]) / "z").stat().st_ino == found.path.stat().st_ino


def test_hosts_share_out_the_keys_in_their_order(store: Store, put: Put, tmp_path: Path) -> None:
    for number in range(5):
        put(f"d/{number}", "")
    request = channel("s3://bkt/d/", distribution="ShardedByS3Key")
    shares = laid_out(store, tmp_path / "a", request, hosts=2)["shares"]
    assert [names(share) for share in shares] == [["0", "2", "4"], ["1", "3"]]
    shares = laid_out(store, tmp_path / "b", request, hosts=7)["shares"]
    assert [len(names(share)) for share in shares] == [1, 1, 1, 1, 1, 0, 0]
    shares = laid_out(store, tmp_path / "c", channel("s3://bkt/d/"), hosts=2)["shares"]
    assert [len(names(share)) for share in shares] == [5, 5]


def test_a_manifest_names_its_objects(store: Store, put: Put, tmp_path: Path) -> None:
    put("d/x/a", "1")
    put("d/b", "2")
    put("m", json.dumps([{"prefix": "s3://bkt/d/"}, "b", "x/a"]))
    shares = laid_out(store, tmp_path / "a", channel("s3://bkt/m", "ManifestFile", "ShardedByS3Key"), hosts=2)
    assert [names(share) for share in shares["shares"]] == [["b"], ["x/a"]]
    piped = laid_out(store, tmp_path / "b", channel("s3://bkt/m", "ManifestFile"), mode="Pipe")["shares"]
    assert [Path(source).read_text() for source in piped[0]] == ["2", "1"]
    put("m", json.dumps([{"prefix": "s3://bkt/d/"}, "c"]))
    with pytest.raises(UserError, match="names s3://bkt/d/c, which is not there"):
        laid_out(store, tmp_path / "c", channel("s3://bkt/m", "ManifestFile"))
    put("m", '["a"]')
    with pytest.raises(UserError, match="is no manifest"):
        laid_out(store, tmp_path / "d", channel("s3://bkt/m", "ManifestFile"))


def test_an_augmented_manifest_is_dealt_out_by_its_lines(store: Store, put: Put, tmp_path: Path) -> None:
    for number in range(3):
        put(f"i/{number}", f"image {number}")
    lines = [{"source-ref": f"s3://bkt/i/{number}", "class": number, "box": {"a": 1}} for number in range(3)]
    put("m", "\n".join(map(json.dumps, lines)))
    request = channel(
        "s3://bkt/m",
        "AugmentedManifestFile",
        "ShardedByS3Key",
        InputMode="Pipe",
        RecordWrapperType="RecordIO",
        ShuffleConfig={"Seed": 3},
        source={"AttributeNames": ["source-ref", "class", "box"]},
    )
    prepared = laid_out(store, tmp_path / "job", request, hosts=2)
    assert (prepared["mode"], prepared["wrapper"], prepared["shuffle"]) == ("Pipe", "RecordIO", 3)
    units = [json.loads(line) for line in Path(prepared["shares"][0]["units"]).read_text().splitlines()]
    assert [[kind for kind, _ in unit] for unit in units] == [["path", "text", "text"]] * 2
    assert [Path(unit[0][1]).read_text() for unit in units] == ["image 0", "image 2"]
    assert units[1][1:] == [["text", "2"], ["text", '{"a": 1}']]
    with pytest.raises(UserError, match="needs InputMode Pipe, not File"):
        laid_out(store, tmp_path / "other", {**request, "InputMode": "File"})
    put("m", "{}")
    with pytest.raises(UserError, match="s3://bkt/m, line 1: KeyError: 'source-ref'"):
        laid_out(store, tmp_path / "third", request)


@pytest.mark.parametrize("uri", ["s3://bkt/nothing", "s3://nowhere/x"])
def test_data_that_are_not_there_are_named(store: Store, tmp_path: Path, uri: str) -> None:
    with pytest.raises(UserError, match="Data download failed"):
        laid_out(store, tmp_path / "job", channel(uri))


def test_a_file_and_a_folder_of_one_name_are_refused(store: Store, put: Put, tmp_path: Path) -> None:
    put("d/a", "")
    put("d/a/b", "")
    with pytest.raises(UserError, match="one name is a folder"):
        laid_out(store, tmp_path / "job", channel("s3://bkt/d/"))

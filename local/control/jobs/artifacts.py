"""What a job leaves: packed and put into S3, whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from optml.local.control.s3.content import joined
from optml.local.control.s3.objects import split
from optml.local.control.s3.store import Store

_LEVEL = 1  # of gzip: numbers hardly get smaller, and the disk is near
_TIME = 315_532_800  # 1980: equal files make equal archives


def files(folder: Path) -> dict[str, Path]:
    """The regular files below a folder, by their names relative to it, in order."""
    if not folder.is_dir():
        return {}
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def merged(folders: Sequence[Path]) -> dict[str, Path]:
    """The files of several hosts; a name that two have is told apart by the host."""
    found: dict[str, Path] = {}
    for number, folder in enumerate(folders):
        for name, path in files(folder).items():
            found[name if name not in found else f"algo-{number + 1}/{name}"] = path
    return found


def put_archive(entries: Mapping[str, Path], uri: str, store: Store) -> None:
    """The files as a tar.gz at `uri`."""
    content, path = store.contents.new()
    try:
        with (
            path.open("wb") as raw,
            gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
        ):
            for name, source in entries.items():
                with source.open("rb") as file:
                    member = tarfile.TarInfo(name)
                    member.size = source.stat().st_size
                    member.mtime = _TIME
                    archive.addfile(member, file)
        _put(content, path, uri, store)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def put_files(entries: Iterable[tuple[str, Path]], uri: str, store: Store) -> None:
    """Each file as an object of its own, at `uri`/NAME."""
    for name, source in entries:
        content, path = store.contents.new()
        try:
            joined([source], path)  # a copy: the job may write to its own file again
            _put(content, path, f"{uri.rstrip('/')}/{name}", store)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _put(content: str, path: Path, uri: str, store: Store) -> None:
    bucket, key = split(uri)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    store.bucket(bucket).put(key, content, path.stat().st_size, digest.hexdigest(), {})


def fetch(uri: str, folder: Path, store: Store) -> None:
    """The objects under `uri` as files of a folder, each a copy that may be written to."""
    prefix = split(uri)[1].rstrip("/")
    for found in store.under(uri):
        name = found.key[len(prefix) :].lstrip("/")
        if name and not found.key.endswith("/") and ".." not in name.split("/"):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            joined([found.path], target)

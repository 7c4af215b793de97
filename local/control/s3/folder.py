"""A folder of the user's, shown as a bucket without a copy."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path

from optml.local.control.s3.content import Contents
from optml.local.control.s3.errors import error
from optml.local.control.s3.objects import Check, Object

_PART = re.compile(r"\.[0-9a-f]{32}\.part")  # what is being written, or was when the power went


class Folder:
    """Keys are paths below the folder. Hidden files are objects too; links to files are followed within it. A
    key that is no such path (`a//b`, `..`) is refused on writing and is nowhere on reading."""

    def __init__(self, root: Path, contents: Contents) -> None:
        self._root = root.resolve()
        self._contents = contents
        self._lock = threading.Lock()  # of who looks at a file and writes over it

    def get(self, key: str) -> Object | None:
        path = self._path(key)
        with suppress(OSError):  # gone meanwhile, or a name that no file can have
            if path is not None and path.is_file() and not _PART.fullmatch(path.name):
                return _object(key, path, path.stat())
        return None

    def page(self, prefix: str, after: str, limit: int) -> list[Object]:
        try:
            return list(islice(self._objects("", prefix, after), limit))
        except OSError as problem:
            raise error("AccessDenied", f"{problem.filename}: {problem.strerror}") from None

    def put(
        self,
        key: str,
        content: str,
        size: int,
        etag: str,
        headers: Mapping[str, str],
        check: Check | None = None,
    ) -> None:
        path = self._path(key)
        part = (path or self._root).with_name(f".{content}.part")
        try:
            if path is None:
                raise error("InvalidArgument", f"the key '{key}' is no path below the folder {self._root}")
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(self._contents.incoming(content), part)
            part.chmod(0o644)
            with self._lock:
                if check is not None:
                    check(self.get(key))
                part.replace(path)
        except OSError as problem:
            reason = f"'{key}' cannot be a file of {self._root}: {problem.strerror}"
            raise error("InvalidArgument", reason) from None
        finally:
            self._contents.remove([content])
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            if path is not None and path.is_file():
                path.unlink()
        except OSError as problem:
            raise error("AccessDenied", f"{path}: {problem.strerror}") from None

    def _path(self, key: str) -> Path | None:
        parts = key.split("/")
        if not all(parts) or "." in parts or ".." in parts or "\0" in key:
            return None
        path = self._root / key
        try:
            return path if path.resolve().is_relative_to(self._root) else None
        except (OSError, RuntimeError):  # a circle of links
            return None

    def _objects(self, below: str, prefix: str, after: str) -> Iterator[Object]:
        """Those under `below` (a path that ends in a slash, or nothing) that a page asks for, in the order of
        their keys. Of folders those alone are read that can have some."""
        try:
            with os.scandir(self._root / below) as scan:
                entries = [(each.name + "/" * each.is_dir(follow_symlinks=False), each) for each in scan]
        except FileNotFoundError:  # gone meanwhile
            return
        for name, entry in sorted(entries, key=lambda each: each[0]):
            key = below + name
            if name.endswith("/"):
                there = key.startswith(prefix) or prefix.startswith(key)
                if there and (key > after or after.startswith(key)):
                    yield from self._objects(_text(key, self._root), prefix, after)
            elif key.startswith(prefix) and key > after and self._shown(key, entry):
                with suppress(FileNotFoundError):
                    yield _object(_text(key, self._root), self._root / key, entry.stat())

    def _shown(self, key: str, entry: os.DirEntry[str]) -> bool:
        try:
            whole = entry.is_file() and not _PART.fullmatch(entry.name)
        except OSError:  # a circle of links
            return False
        return whole and (not entry.is_symlink() or self._path(key) is not None)


def _text(key: str, root: Path) -> str:
    """Raises ApiError for a path that is no key: it would be passed over unseen."""
    try:
        key.encode()
    except UnicodeEncodeError:
        path = os.fsencode(root / key)
        raise error("InvalidArgument", f"the name of {path!r} is no UTF-8: rename it") from None
    return key


def _object(key: str, path: Path, state: os.stat_result) -> Object:
    etag = f"{state.st_mtime_ns:x}{state.st_size:016x}".zfill(32)[-32:]  # no MD5: nothing is read
    return Object(key, path, state.st_size, etag, state.st_mtime)

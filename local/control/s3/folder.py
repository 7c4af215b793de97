"""A folder of the user's, shown as a bucket without a copy."""

from __future__ import annotations

import heapq
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from optml.local.control.s3.content import Contents
from optml.local.control.s3.errors import error
from optml.local.control.s3.objects import Object


class Folder:
    """Keys are paths below the folder. Hidden files are objects too; symbolic links are followed within it.
    A key that is no such path (`a//b`, `..`) is refused on writing and is nowhere on reading."""

    def __init__(self, root: Path, contents: Contents) -> None:
        self._root = root.resolve()
        self._contents = contents

    def get(self, key: str) -> Object | None:
        path = self._path(key)
        return self._object(key, path) if path is not None and path.is_file() else None

    def page(self, prefix: str, after: str, limit: int) -> list[Object]:
        keys = (key for key in self._keys(prefix) if key > after)
        chosen = heapq.nsmallest(limit, keys, key=os.fsencode)
        return [self._object(key, self._root / key) for key in chosen]

    def put(self, key: str, content: str, size: int, etag: str, headers: Mapping[str, str]) -> None:
        path = self._path(key)
        if path is None:
            raise error("InvalidArgument", f"the key '{key}' is no path below the folder {self._root}")
        part = path.with_name(f".{content}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(self._contents.incoming(content), part)
            part.chmod(0o644)
            part.replace(path)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            part.unlink(missing_ok=True)
            raise error("InvalidArgument", f"'{key}' clashes with a file or folder of {self._root}") from None

    def delete(self, key: str) -> None:
        path = self._path(key)
        if path is not None and path.is_file():
            path.unlink()

    def _path(self, key: str) -> Path | None:
        parts = key.split("/")
        if not all(parts) or "." in parts or ".." in parts or "\0" in key:
            return None
        path = self._root / key
        try:
            return path if path.resolve().is_relative_to(self._root) else None
        except OSError:  # a name too long, a circle of links
            return None

    def _keys(self, prefix: str) -> Iterator[str]:
        start = prefix.rpartition("/")[0]
        top = self._root / start
        if start and self._path(start) is None:
            return
        for folder, _, names in os.walk(top):
            below = os.path.relpath(folder, self._root)
            for name in names:
                key = name if below == "." else f"{below}/{name}"
                if key.startswith(prefix) and self._path(key) is not None:
                    yield key

    def _object(self, key: str, path: Path) -> Object:
        state = path.stat()
        etag = f"{state.st_mtime_ns:x}{state.st_size:016x}".zfill(32)[-32:]  # no MD5: nothing is read
        return Object(key, path, state.st_size, etag, state.st_mtime)

"""Uploads in parts."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optml.local.control.database import Database
from optml.local.control.s3.content import joined
from optml.local.control.s3.errors import error
from optml.local.control.s3.objects import Check
from optml.local.control.s3.store import Store

MIN_PART = 5 << 20  # bytes, of all parts but the last
MAX_PART_NUMBER = 10_000


@dataclass(frozen=True, slots=True)
class Part:
    number: int
    content: str
    size: int
    etag: str
    modified: float


class Uploads:
    """What has begun and is not complete. A completed one is remembered by its ETag: asked twice, it answers
    twice."""

    def __init__(self, database: Database, store: Store) -> None:
        self._database = database
        self._store = store

    def start(self, bucket: str, key: str, headers: Mapping[str, str]) -> str:
        self._store.bucket(bucket)
        upload = uuid.uuid4().hex
        row = (upload, bucket, key, json.dumps(dict(headers)), time.time(), None)
        with self._database.write() as connection:
            connection.execute("INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?)", row)
        return upload

    def check(self, upload: str, bucket: str, key: str) -> None:
        """Raises ApiError NoSuchUpload."""
        row = self._database.row(
            "SELECT 1 FROM uploads WHERE id = ? AND bucket = ? AND key = ? AND etag IS NULL",
            (upload, bucket, key),
        )
        if row is None:
            raise error("NoSuchUpload", UploadId=upload)

    def put(self, upload: str, number: int, content: str, size: int, etag: str) -> None:
        """Take in a part that is written to its incoming path; one of the same number is replaced."""
        if not 1 <= number <= MAX_PART_NUMBER:
            raise error("InvalidArgument", f"a part's number lies between 1 and {MAX_PART_NUMBER}")
        with self._database.write() as connection:
            if not connection.execute(
                "SELECT 1 FROM uploads WHERE id = ? AND etag IS NULL", (upload,)
            ).fetchone():
                raise error("NoSuchUpload", UploadId=upload)  # aborted while the part came
            old = connection.execute(
                "SELECT content FROM parts WHERE upload = ? AND number = ?", (upload, number)
            ).fetchall()
            connection.execute(
                "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?)",
                (upload, number, content, size, etag, time.time()),
            )
        self._store.contents.remove(content for (content,) in old)

    def parts(self, upload: str) -> list[Part]:
        rows = self._database.rows(
            "SELECT number, content, size, etag, modified FROM parts WHERE upload = ? ORDER BY number",
            (upload,),
        )
        return [Part(*row) for row in rows]

    def open(self, bucket: str, prefix: str) -> list[tuple[str, str, float]]:
        """(key, id, time of the start) of those under way."""
        rows: list[tuple[str, str, float]] = self._database.rows(
            "SELECT key, id, created FROM uploads WHERE bucket = ? AND etag IS NULL ORDER BY key, created",
            (bucket,),
        )
        return [row for row in rows if row[0].startswith(prefix)]

    def complete(
        self,
        upload: str,
        bucket: str,
        key: str,
        wanted: Sequence[tuple[int, str]],
        check: Check | None = None,
    ) -> str:
        """Join the wanted parts, (number, ETag) each, to the object; its ETag. `check`: see `Bucket.put`."""
        row = self._database.row(
            "SELECT headers, etag FROM uploads WHERE id = ? AND bucket = ? AND key = ?", (upload, bucket, key)
        )
        if row is None:
            raise error("NoSuchUpload", UploadId=upload)
        if row[1] is not None:
            done: str = row[1]
            return done
        chosen = self._chosen(upload, wanted)
        etag = _etag(chosen)
        paths = [self._store.contents.incoming(part.content) for part in chosen]
        content = self._joined(paths)
        size = sum(part.size for part in chosen)
        self._store.bucket(bucket).put(key, content, size, etag, json.loads(row[0]), check)
        with self._database.write() as connection:
            connection.execute("UPDATE uploads SET etag = ? WHERE id = ?", (etag, upload))
            old = self._forget(connection, upload)
        self._store.contents.remove(old)
        return etag

    def abort(self, upload: str, bucket: str, key: str) -> None:
        self.check(upload, bucket, key)
        with self._database.write() as connection:
            connection.execute("DELETE FROM uploads WHERE id = ?", (upload,))
            old = self._forget(connection, upload)
        self._store.contents.remove(old)

    def _chosen(self, upload: str, wanted: Sequence[tuple[int, str]]) -> list[Part]:
        parts = {part.number: part for part in self.parts(upload)}
        if not wanted:
            raise error("MalformedXML")
        if [number for number, _ in wanted] != sorted({number for number, _ in wanted}):
            raise error("InvalidPartOrder")
        for number, etag in wanted:
            if number not in parts or parts[number].etag != etag:
                raise error("InvalidPart", PartNumber=number, UploadId=upload)
        chosen = [parts[number] for number, _ in wanted]
        for part in chosen[:-1]:
            if part.size < MIN_PART:
                raise error("EntityTooSmall", PartNumber=part.number, ProposedSize=part.size)
        return chosen

    def _joined(self, paths: Sequence[Path]) -> str:
        content, path = self._store.contents.new()
        try:
            joined(paths, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return content

    def _forget(self, connection: Any, upload: str) -> list[str]:
        """Remove the parts' rows; their contents."""
        rows = connection.execute(
            "DELETE FROM parts WHERE upload = ? RETURNING content", (upload,)
        ).fetchall()
        return [content for (content,) in rows]


def _etag(parts: Sequence[Part]) -> str:
    """As S3's: the MD5 of the parts' MD5s, and how many there are."""
    digests = b"".join(bytes.fromhex(part.etag) for part in parts)
    return f"{hashlib.md5(digests).hexdigest()}-{len(parts)}"  # noqa: S324

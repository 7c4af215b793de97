"""A bucket whose keys stand in the database."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from optml.local.control.database import Database
from optml.local.control.s3.content import Contents
from optml.local.control.s3.errors import error
from optml.local.control.s3.objects import Check, Object

_SELECT = "SELECT key, content, size, etag, modified, headers FROM objects"
_OF_KEY = f"{_SELECT} WHERE bucket = ? AND key = ?"


class Stored:
    """See `Bucket`."""

    def __init__(self, name: str, database: Database, contents: Contents) -> None:
        self._name = name
        self._database = database
        self._contents = contents

    def get(self, key: str) -> Object | None:
        row = self._database.row(_OF_KEY, (self._name, key))
        return self._object(row) if row else None

    def page(self, prefix: str, after: str, limit: int) -> list[Object]:
        end = _successor(prefix)
        below, values = ("AND key < ?", [end]) if end is not None else ("", [])
        rows = self._database.rows(
            f"{_SELECT} WHERE bucket = ? AND key >= ? AND key > ? {below} ORDER BY key LIMIT ?",
            (self._name, prefix, after, *values, limit),
        )
        return [self._object(row) for row in rows]

    def put(
        self,
        key: str,
        content: str,
        size: int,
        etag: str,
        headers: Mapping[str, str],
        check: Check | None = None,
    ) -> None:
        row = (self._name, key, content, size, etag, time.time(), json.dumps(dict(headers)))
        try:
            self._contents.keep(content)
            with self._database.write() as connection:
                bucket = connection.execute("SELECT 1 FROM buckets WHERE name = ?", (self._name,))
                if bucket.fetchone() is None:  # removed while the body came
                    raise error("NoSuchBucket", BucketName=self._name)
                if check is not None:
                    old_row = connection.execute(_OF_KEY, (self._name, key)).fetchone()
                    check(self._object(old_row) if old_row else None)
                old = self._of(connection, key)
                connection.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        except BaseException:
            self._contents.remove([content])
            raise
        self._contents.remove(old)

    def delete(self, key: str) -> None:
        with self._database.write() as connection:
            old = self._of(connection, key)
            connection.execute("DELETE FROM objects WHERE bucket = ? AND key = ?", (self._name, key))
        self._contents.remove(old)

    def _of(self, connection: Any, key: str) -> list[str]:
        """The content that a key has, if any."""
        rows = connection.execute(
            "SELECT content FROM objects WHERE bucket = ? AND key = ?", (self._name, key)
        ).fetchall()
        return [content for (content,) in rows]

    def _object(self, row: Any) -> Object:
        key, content, size, etag, modified, headers = row
        return Object(key, self._contents.path(content), size, etag, modified, json.loads(headers))


def _successor(prefix: str) -> str | None:
    """The least text that comes after all that begin with `prefix`; None: there is none."""
    while prefix:
        point = ord(prefix[-1]) + 1
        if 0xD800 <= point <= 0xDFFF:  # no characters of their own
            point = 0xE000
        if point <= 0x10FFFF:
            return prefix[:-1] + chr(point)
        prefix = prefix[:-1]
    return None

"""All buckets of S3."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from optml.local.control.database import Database
from optml.local.control.s3.content import Contents
from optml.local.control.s3.errors import error
from optml.local.control.s3.folder import Folder
from optml.local.control.s3.objects import Bucket, Object, split
from optml.local.control.s3.stored import Stored

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class Store:
    """By name. `folders`: folders of the user's that are shown as buckets."""

    def __init__(self, database: Database, contents: Contents, folders: Mapping[str, Path]) -> None:
        self._database = database
        self.contents = contents
        self._folders = {name: Folder(path, contents) for name, path in folders.items()}
        self._started = time.time()

    def bucket(self, name: str) -> Bucket:
        """Raises ApiError NoSuchBucket."""
        if name in self._folders:
            return self._folders[name]
        if self._database.row("SELECT 1 FROM buckets WHERE name = ?", (name,)) is None:
            raise error("NoSuchBucket", BucketName=name)
        return Stored(name, self._database, self.contents)

    def buckets(self) -> list[tuple[str, float]]:
        """Names and times of creation, by name."""
        rows = self._database.rows("SELECT name, created FROM buckets")
        return sorted([*rows, *((name, self._started) for name in self._folders)])

    def create(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise error("InvalidBucketName", BucketName=name)
        with self._database.write() as connection:
            connection.execute("INSERT OR IGNORE INTO buckets VALUES (?, ?)", (name, time.time()))

    def remove(self, name: str) -> None:
        self.bucket(name)
        if name in self._folders:
            raise error("AccessDenied", f"bucket {name} is a folder of yours: optml leaves it where it is")
        with self._database.write() as connection:
            if connection.execute("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", (name,)).fetchone():
                raise error("BucketNotEmpty", BucketName=name)
            connection.execute("DELETE FROM buckets WHERE name = ?", (name,))

    def find(self, uri: str) -> Object | None:
        """The object at s3://BUCKET/KEY."""
        bucket, key = split(uri)
        return self.bucket(bucket).get(key)

    def under(self, uri: str) -> Iterator[Object]:
        """Every object whose key begins with that of s3://BUCKET/PREFIX, in order."""
        bucket, prefix = split(uri)
        after = ""
        while page := self.bucket(bucket).page(prefix, after, 1000):
            yield from page
            after = page[-1].key

"""The one SQLite file of the control plane: one writer, and as many readers as are needed at once."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
    number INTEGER PRIMARY KEY, kind TEXT, name TEXT, arn TEXT, status TEXT, created REAL, modified REAL,
    request TEXT, state TEXT, UNIQUE (kind, name));
CREATE INDEX IF NOT EXISTS by_status ON resources (kind, status, number);
CREATE TABLE IF NOT EXISTS tags (arn TEXT, key TEXT, value TEXT, PRIMARY KEY (arn, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS metrics (
    job TEXT, name TEXT, host TEXT, line INTEGER, time REAL, value REAL, PRIMARY KEY (job, name, host, line))
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trials (
    tuning TEXT, number INTEGER, job TEXT, definition TEXT, parameters TEXT, PRIMARY KEY (tuning, number))
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS datapoints (
    namespace TEXT, name TEXT, dimensions TEXT, time REAL, count REAL, total REAL, low REAL, high REAL,
    unit TEXT);
CREATE INDEX IF NOT EXISTS by_metric ON datapoints (namespace, name, dimensions, time);
CREATE TABLE IF NOT EXISTS buckets (name TEXT PRIMARY KEY, created REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT, key TEXT, content TEXT, size INTEGER, etag TEXT, modified REAL, headers TEXT,
    PRIMARY KEY (bucket, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, bucket TEXT, key TEXT, headers TEXT, created REAL, etag TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (
    upload TEXT, number INTEGER, content TEXT, size INTEGER, etag TEXT, modified REAL,
    PRIMARY KEY (upload, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unsupported (operation TEXT PRIMARY KEY, calls INTEGER, last REAL) WITHOUT ROWID;
"""


class Database:
    """Reads see what was committed last; a write is on disk's side of the process when `write` is left, so
    that no kill of the process loses it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._idle: list[sqlite3.Connection] = []  # readers that nobody uses at the moment
        self._writer = self._open()
        self._writer.executescript(_SCHEMA)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=30, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            reader = self._idle.pop()
        except IndexError:
            reader = self._open()
        try:
            rows: list[Any] = reader.execute(statement, values).fetchall()
        finally:
            self._idle.append(reader)
        return rows

    def row(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """The first row, or None."""
        return next(iter(self.rows(statement, values)), None)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it, or nothing. Reads within go through the connection."""
        with self._lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    def close(self) -> None:
        with self._lock:
            self._writer.close()
            while self._idle:
                self._idle.pop().close()

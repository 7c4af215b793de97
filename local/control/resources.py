"""What was created by name: jobs, models, endpoints. The request as it came, and what became of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from optml.local.control import arns
from optml.local.control.database import Database

_COLUMNS = "kind, name, arn, status, created, modified, request, state"
_SELECT = f"SELECT {_COLUMNS} FROM resources"  # noqa: S608
_INSERT = f"INSERT INTO resources ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_BY_NAME = f"{_SELECT} WHERE kind = ? AND name = ?"


@dataclass(frozen=True, slots=True)
class Resource:
    """request: of its Create, as it came.   state: what was computed since, in the words of its Describe.
    Times are seconds since 1970."""

    kind: str
    name: str
    arn: str
    status: str
    created: float
    modified: float
    request: dict[str, Any]
    state: dict[str, Any]


class AlreadyThereError(Exception):
    """There is a resource of that kind and name."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource.arn)
        self.resource = resource


class Resources:
    """The table of resources and their tags."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, kind: str, name: str, region: str, request: Mapping[str, Any], status: str, **state: Any
    ) -> Resource:
        """Raises AlreadyThereError."""
        now = time.time()
        arn = arns.arn(kind, name, region)
        tags = [(arn, tag["Key"], tag["Value"]) for tag in request.get("Tags", ())]
        kept = {key: value for key, value in request.items() if key != "Tags"}
        with self._database.write() as connection:
            row = connection.execute(_BY_NAME, (kind, name)).fetchone()
            if row:
                raise AlreadyThereError(_resource(row))
            values = (kind, name, arn, status, now, now, json.dumps(kept), json.dumps(state))
            connection.execute(_INSERT, values)
            connection.executemany("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", tags)
        return Resource(kind, name, arn, status, now, now, kept, state)

    def get(self, kind: str, name: str) -> Resource | None:
        row = self._database.row(_BY_NAME, (kind, name))
        return _resource(row) if row else None

    def of_status(self, kind: str, *statuses: str) -> list[Resource]:
        """Oldest first."""
        marks = ", ".join("?" * len(statuses))
        rows = self._database.rows(
            f"{_SELECT} WHERE kind = ? AND status IN ({marks}) ORDER BY number",
            (kind, *statuses),
        )
        return [_resource(row) for row in rows]

    def all(self, kind: str) -> list[Resource]:
        """Oldest first."""
        rows = self._database.rows(f"{_SELECT} WHERE kind = ? ORDER BY number", (kind,))
        return [_resource(row) for row in rows]

    def update(
        self,
        kind: str,
        name: str,
        status: str | None = None,
        *,
        only_from: tuple[str, ...] | None = None,
        request: Mapping[str, Any] | None = None,
        computed: Callable[[Resource], Mapping[str, Any]] = lambda resource: {},
        **state: Any,
    ) -> Resource | None:
        """Set status and members of the state; None of a member removes it. `computed`: further members, of
        the resource as it is. `only_from`: statuses that it must have, else nothing is changed. Returns the
        resource as it is now; None: nothing was changed."""
        with self._database.write() as connection:
            row = connection.execute(_BY_NAME, (kind, name)).fetchone()
            if row is None:
                return None
            old = _resource(row)
            if only_from is not None and old.status not in only_from:
                return None
            merged = {
                key: value
                for key, value in {**old.state, **state, **computed(old)}.items()
                if value is not None
            }
            new = Resource(
                kind,
                name,
                old.arn,
                status or old.status,
                old.created,
                time.time(),
                dict(request) if request is not None else old.request,
                merged,
            )
            connection.execute(
                "UPDATE resources SET status = ?, modified = ?, request = ?, state = ?"
                " WHERE kind = ? AND name = ?",
                (new.status, new.modified, json.dumps(new.request), json.dumps(merged), kind, name),
            )
        return new

    def delete(self, kind: str, name: str) -> bool:
        """False: there was none."""
        with self._database.write() as connection:
            row = connection.execute(
                "DELETE FROM resources WHERE kind = ? AND name = ? RETURNING arn", (kind, name)
            ).fetchone()
            if row:
                connection.execute("DELETE FROM tags WHERE arn = ?", row)
        return row is not None

    def tags(self, arn: str) -> dict[str, str]:
        return dict(self._database.rows("SELECT key, value FROM tags WHERE arn = ? ORDER BY key", (arn,)))

    def tag(self, arn: str, tags: Mapping[str, str]) -> None:
        with self._database.write() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", [(arn, *pair) for pair in tags.items()]
            )

    def untag(self, arn: str, keys: list[str]) -> None:
        with self._database.write() as connection:
            connection.executemany("DELETE FROM tags WHERE arn = ? AND key = ?", [(arn, key) for key in keys])


def _resource(row: Any) -> Resource:
    kind, name, arn, status, created, modified, request, state = row
    return Resource(kind, name, arn, status, created, modified, json.loads(request), json.loads(state))

"""Objects of S3, and what keeps those of one bucket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from optml.local.control.s3.errors import error

MAX_KEY = 1024  # bytes


@dataclass(frozen=True, slots=True)
class Object:
    """path: of its content.   headers: Content-Type, x-amz-meta-* and the like, as they were sent."""

    key: str
    path: Path
    size: int
    etag: str  # without quotes
    modified: float
    headers: Mapping[str, str] = field(default_factory=dict)


Check = Callable[[Object | None], None]


class Bucket(Protocol):
    """What keeps the objects of one bucket."""

    def get(self, key: str) -> Object | None: ...

    def page(self, prefix: str, after: str, limit: int) -> list[Object]:
        """At most `limit` objects of keys that begin with `prefix` and come after `after` (from it on, where
        it ends in NUL), in the order of the keys' UTF-8 bytes."""

    def put(
        self,
        key: str,
        content: str,
        size: int,
        etag: str,
        headers: Mapping[str, str],
        check: Check | None = None,
    ) -> None:
        """`content`: an id of `Contents`, written; it is gone where this raises. `check` looks at the object
        that is there, in one step with writing over it. Raises ApiError."""

    def delete(self, key: str) -> None: ...


def split(uri: str) -> tuple[str, str]:
    """(bucket, key or prefix) of s3://BUCKET/KEY. Raises ApiError."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise error("InvalidArgument", f"'{uri}' is no address such as s3://bucket/key")
    return bucket, key

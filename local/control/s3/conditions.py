"""Ranges and preconditions of requests for an object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from optml.local.control.s3.errors import error
from optml.local.control.s3.objects import Check, Object

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def span(header: str | None, size: int) -> tuple[int, int] | None:
    """(first, one behind the last) byte of a Range; None: all of it. Raises ApiError InvalidRange."""
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not (match[1] or match[2]):
        return None  # as S3 does with what it does not read
    if not match[1]:
        first, end = max(0, size - int(match[2])), size
        if int(match[2]) == 0:
            raise error("InvalidRange")
    else:
        first, end = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
        if match[2] and int(match[2]) < first:
            return None
    if first >= size:
        raise error("InvalidRange", ActualObjectSize=size)
    return first, end


def unchanged(found: Object, headers: Mapping[str, str]) -> bool:
    """Is the answer 304? Raises ApiError PreconditionFailed."""
    if (wanted := headers.get("if-match")) is not None and not _matches(wanted, found.etag):
        raise error("PreconditionFailed", Condition="If-Match")
    when = _time(headers.get("if-unmodified-since")) if "if-match" not in headers else None
    if when is not None and int(found.modified) > when:
        raise error("PreconditionFailed", Condition="If-Unmodified-Since")
    if (other := headers.get("if-none-match")) is not None:
        return _matches(other, found.etag)
    since = _time(headers.get("if-modified-since"))
    return since is not None and int(found.modified) <= since


def write_check(headers: Mapping[str, str]) -> Check | None:
    """What looks at the object that is to be written over, and raises ApiError where there must be none
    (If-None-Match: *) or another one. None: all may be."""
    alone, wanted = headers.get("if-none-match") == "*", headers.get("if-match")
    if not alone and wanted is None:
        return None

    def check(old: Object | None) -> None:
        if alone and old is not None:
            raise error("PreconditionFailed", Condition="If-None-Match")
        if wanted is not None and old is None:
            raise error("NoSuchKey")
        if wanted is not None and old is not None and not _matches(wanted, old.etag):
            raise error("PreconditionFailed", Condition="If-Match")

    return check


def _matches(header: str, etag: str) -> bool:
    return header.strip() == "*" or etag in [tag.strip().strip('"') for tag in header.split(",")]


def _time(header: str | None) -> float | None:
    try:
        return parsedate_to_datetime(header).timestamp() if header else None
    except ValueError:
        return None

"""Listing a bucket: prefix, delimiter, pages."""

from __future__ import annotations

from dataclasses import dataclass

from optml.local.control.s3.objects import Bucket, Object

_PAGE = 1000
_LAST = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Listing:
    """One page. last: the key or common prefix after which the next one goes on; None: there is none."""

    objects: list[Object]
    prefixes: list[str]
    last: str | None


def page(bucket: Bucket, prefix: str, delimiter: str, after: str, most: int) -> Listing:
    """At most `most` keys and common prefixes that come after `after`."""
    objects: list[Object] = []
    prefixes: list[str] = []
    last = ""
    if delimiter and after.endswith(delimiter) and after.startswith(prefix) and after != prefix:
        after += _LAST  # a common prefix: all that lies under it has been told
    while len(objects) + len(prefixes) < most:
        batch = bucket.page(prefix, after, min(_PAGE, most - len(objects) - len(prefixes) + 1))
        if not batch:
            return Listing(objects, prefixes, None)
        for found in batch:
            if len(objects) + len(prefixes) == most:
                return Listing(objects, prefixes, last)
            cut = found.key.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                objects.append(found)
                after = last = found.key
            else:
                last = found.key[: cut + len(delimiter)]
                prefixes.append(last)
                after = last + _LAST
                break  # what else lies under the prefix is jumped over
    more = most > 0 and bucket.page(prefix, after, 1)
    return Listing(objects, prefixes, last if more else None)

"""Who may ask: this machine's programs, and no page of a foreign site. CreateTrainingJob runs programs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from optml.local.control.errors import ApiError

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def check(method: str, headers: Mapping[bytes, bytes], host: str) -> None:
    """Raise ApiError for a Host that is neither loopback nor `host` (a foreign name that was made to point
    here), and for an Origin other than this server's own."""
    named = headers.get(b"host", b"").decode("latin-1")
    if not _ours(named, host):
        raise ApiError("AccessDeniedException", f"Host {named!r} is not this machine.", 403)
    origin = headers.get(b"origin")
    if origin is not None and urlsplit(origin.decode("latin-1")).netloc != named:
        raise ApiError("AccessDeniedException", f"Origin {origin.decode()!r} is not this server.", 403)
    if headers.get(b"sec-fetch-site") == b"cross-site" and method not in ("GET", "HEAD"):
        raise ApiError("AccessDeniedException", "A page of another site may not ask.", 403)


@lru_cache(256)
def _ours(named: str, host: str) -> bool:
    name = named.partition("]")[0] + "]" if named.startswith("[") else named.partition(":")[0].lower()
    return name in (*_LOOPBACK, host) or name.endswith(".localhost")

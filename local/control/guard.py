"""Who may ask: this machine's programs, and no page of a foreign site. CreateTrainingJob runs programs."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request

from optml.local.control.errors import ApiError

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def check(request: Request, host: str) -> None:
    """Raise ApiError for a Host that is neither loopback nor `host` (a foreign name that was made to point
    here), and for an Origin other than this server's own."""
    named = request.headers.get("host", "")
    name = _name(named)
    if name not in (*_LOOPBACK, host) and not name.endswith(".localhost"):
        raise ApiError("AccessDeniedException", f"Host {named!r} is not this machine.", 403)
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != named:
        raise ApiError("AccessDeniedException", f"Origin {origin!r} is not this server.", 403)
    if request.headers.get("sec-fetch-site") == "cross-site" and request.method not in ("GET", "HEAD"):
        raise ApiError("AccessDeniedException", "A page of another site may not ask.", 403)


def _name(host: str) -> str:
    """A Host without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()

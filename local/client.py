"""A caller of an inference server: a kept-alive connection per thread, retries as in batch transform."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from optml.errors import PlatformError, UserError

_Body = bytes | Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True)
class Client:
    """Talks to `url` (http or https; a path in it is put before every call's own).

    timeout: seconds to wait for an answer. retries: how often a 5xx, a broken connection or a timeout is
    tried again. pause: seconds before the first retry, doubled each time.
    """

    url: str
    timeout: float = 600.0
    retries: int = 3
    pause: float = 0.5
    _local: threading.local = field(default_factory=threading.local, repr=False)
    _opened: list[http.client.HTTPConnection] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            parts.port  # noqa: B018  (reading it checks it)
        except ValueError as error:
            raise UserError(f"'{self.url}' is no valid address: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"'{self.url}' is not an address such as http://localhost:8080")

    def get(self, path: str) -> Reply:
        return self._tried("GET", path, b"", {})

    def post(self, path: str, body: _Body, headers: dict[str, str]) -> Reply:
        """Send a body; a callable is asked for its pieces anew at each try and sent chunked.

        Returns the last answer whatever its status. Raises PlatformError if none ever came.
        """
        return self._tried("POST", path, body, headers)

    def _tried(self, method: str, path: str, body: _Body, headers: dict[str, str]) -> Reply:
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(self.pause * 2 ** (attempt - 1))
            try:
                answer = self._once(method, path, body, headers)
            except (OSError, http.client.HTTPException) as error:
                if attempt < self.retries:
                    continue
                reason = str(error) or type(error).__name__
                if isinstance(error, TimeoutError):
                    reason = f"no answer within {self.timeout:g} s"
                raise PlatformError(f"{method} {self.url}{path} failed: {reason}") from None
            if answer.status < 500 or attempt == self.retries:
                return answer
        raise AssertionError("the last attempt returns or raises")

    def _once(self, method: str, path: str, body: _Body, headers: dict[str, str]) -> Reply:
        parts = urlsplit(self.url)
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            connection = kind(parts.hostname or "", parts.port, timeout=self.timeout)
            self._local.connection = connection
            self._opened.append(connection)
        chunked = callable(body)
        try:
            connection.request(
                method,
                parts.path.rstrip("/") + path,
                body() if callable(body) else body,
                {**headers, "Transfer-Encoding": "chunked"} if chunked else headers,
                encode_chunked=chunked,
            )
            response = connection.getresponse()
            content = response.read()
        except BaseException:
            self._drop(connection)
            raise
        if response.will_close:
            self._drop(connection)
        return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, content)

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        """Close this thread's connection; its next call opens another."""
        connection.close()
        self._opened.remove(connection)
        self._local.connection = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        """Close the connections of all threads."""
        for connection in self._opened:
            connection.close()
        self._opened.clear()

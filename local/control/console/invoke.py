"""The try-it box: one invocation from a form."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from optml.local.control.endpoints.client import BrokenError
from optml.local.control.endpoints.requests import Invocation
from optml.local.control.errors import ApiError
from optml.local.control.plane import Plane

_MOST = 100_000  # characters of an answer on a page


@dataclass(frozen=True, slots=True)
class Trial:
    """What came back: `text` is the answer, or what was wrong."""

    ok: bool
    text: str
    content_type: str
    milliseconds: float


async def tried(plane: Plane, endpoint: str, form: Mapping[str, str]) -> Trial:
    headers = {b"content-type": form["content_type"].encode(), b"accept": form["accept"].encode()}
    body = form["body"].replace("\r\n", "\n").encode()
    began = time.perf_counter()
    try:
        reply = await plane.invoker.invoke(Invocation(endpoint, headers, body, len(body)))
        try:
            content = b"".join([piece async for piece in reply.answer.body()])
        finally:
            reply.done()
    except (ApiError, BrokenError) as error:
        return Trial(False, str(error), "", (time.perf_counter() - began) * 1000)
    text = content.decode(errors="replace")[:_MOST]
    return Trial(True, text, reply.content_type.decode("latin-1"), (time.perf_counter() - began) * 1000)

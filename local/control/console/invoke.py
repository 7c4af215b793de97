"""The try-it box: one invocation from a form."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qsl

from optml.formats.content_type import CSV, JSON
from optml.local.control.endpoints.client import BrokenError
from optml.local.control.endpoints.requests import Invocation
from optml.local.control.errors import ApiError
from optml.local.control.plane import Plane
from optml.local.control.programs import slug_of
from optml.local.control.resources import Resource

_MOST = 100_000  # characters of an answer on a page
_PICTURE = 8 << 20  # bytes of one


@dataclass(frozen=True, slots=True)
class Form:
    """What is asked: the text of `body`, or a file in its place.   file: its content; b"": none."""

    content_type: str
    accept: str
    body: str = ""
    file: bytes = b""

    @classmethod
    def read(cls, body: bytes, content_type: str, offered: Form) -> Form:
        """Of a form in either encoding; what it lacks is as in `offered`."""
        if content_type.startswith("multipart/form-data"):
            parts = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
            contents: dict[str, bytes] = {}
            for part in parts.get_payload() if parts.is_multipart() else ():
                name = part.get_param("name", header="content-disposition")  # type: ignore[union-attr]
                contents[str(name)] = part.get_payload(decode=True)  # type: ignore[union-attr, assignment]
        else:
            contents = dict(parse_qsl(body, keep_blank_values=True))  # type: ignore[arg-type]
            contents = {_text(name): content for name, content in contents.items()}  # type: ignore[arg-type]
        return cls(
            _text(contents.get("content_type", offered.content_type.encode())),
            _text(contents.get("accept", offered.accept.encode())),
            _text(contents.get("body", b"")),
            contents.get("file", b""),
        )


def _text(content: bytes) -> str:
    return content.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Trial:
    """What came back: `text` is the answer, or what was wrong.   picture: the answer as a data URI, if it is
    one."""

    ok: bool
    text: str
    content_type: str
    milliseconds: float
    picture: str = ""


def content_types(endpoint: Resource) -> tuple[list[str], list[str]]:
    """What the endpoint's algorithm reads, and what it answers in, the usual one first; of another's image
    CSV and JSON."""
    from optml.algorithms import registry
    from optml.serving.negotiation import readable, writable

    models: Mapping[str, Any] = endpoint.state.get("Models") or {}
    for model in models.values():
        container = model.get("PrimaryContainer") or (model.get("Containers") or [{}])[0]
        slug = slug_of(container.get("Image", ""))
        if slug is not None:
            algorithm = registry.get(slug)
            return list(readable(algorithm)), [media.split(";")[0] for media in writable(algorithm)]
    return [CSV, JSON], [JSON, CSV]


async def tried(plane: Plane, endpoint: str, form: Form) -> Trial:
    headers = {b"content-type": form.content_type.encode(), b"accept": form.accept.encode()}
    body = form.file or form.body.replace("\r\n", "\n").encode()
    began = time.perf_counter()
    try:
        reply = await plane.invoker.invoke(Invocation(endpoint, headers, body, len(body)))
        try:
            content = b"".join([piece async for piece in reply.answer.body()])
        finally:
            reply.done()
    except (ApiError, BrokenError) as error:
        return Trial(False, str(error), "", (time.perf_counter() - began) * 1000)
    milliseconds = (time.perf_counter() - began) * 1000
    media = reply.content_type.decode("latin-1")
    if media.startswith("image/") and len(content) <= _PICTURE:
        picture = f"data:{media.split(';')[0]};base64,{base64.b64encode(content).decode()}"
        return Trial(True, "", media, milliseconds, picture)
    return Trial(True, content.decode(errors="replace")[:_MOST], media, milliseconds)

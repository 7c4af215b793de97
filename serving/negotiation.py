"""Which format a request is in, and which one its answer takes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from optml.algorithms.base import Algorithm
from optml.formats.content_type import CSV, JSON, JSON_LINES, ContentType, sniff
from optml.serving.errors import unsupported_accept, unsupported_content_type

_UNTOLD = ("", "application/octet-stream", "binary/octet-stream")  # what SDKs send when nobody said


@lru_cache(maxsize=256)
def _parsed(header: str) -> ContentType:
    return ContentType.parse(header)


def of_request(header: str, body: bytes, algorithm: Algorithm) -> ContentType:
    """The content type of a request: what its header says, else what its first bytes look like.

    Raises RequestError (415) for one that the algorithm does not read.
    """
    content_type = _parsed(header)
    if content_type.media in _UNTOLD:
        content_type = sniff(body)
    if algorithm.inference.label_size is None:
        content_type = content_type.without("label_size")
    supported = readable(algorithm)
    if content_type.media not in supported:
        declared = _parsed(header).media not in _UNTOLD
        looks = "" if declared else f" (the body looks like {content_type.media})"
        raise unsupported_content_type(f"{header or repr('')}{looks}", supported)
    return content_type


def readable(algorithm: Algorithm) -> tuple[str, ...]:
    """The content types of requests; JSON lines are ours in addition where AWS lacks them, but for images."""
    types = algorithm.inference.content_types
    return types if any(media.startswith("image/") for media in types) else _with_json_lines(types)


def writable(algorithm: Algorithm, many: bool = False) -> tuple[str, ...]:
    """The content types of answers; the first is the answer to */* and to no Accept.

    many: of a server of many models.
    """
    accepts = _with_json_lines(algorithm.inference.accepts)
    first = algorithm.inference.answer_of_many if many else None
    return accepts if first is None else (first, *(media for media in accepts if media != first))


@lru_cache(maxsize=64)
def _with_json_lines(types: tuple[str, ...]) -> tuple[str, ...]:
    return types if JSON_LINES in types else (*types, JSON_LINES)


@lru_cache(maxsize=256)
def of_answer(header: str, offered: tuple[str, ...]) -> tuple[str, Mapping[str, str]]:
    """The first of the formats that `Accept` names, best q-value first, that is offered; and its parameters
    (`verbose=true`) in lower case. `*/*` and an empty header are the first one offered.

    Raises RequestError (406) if none is.
    """
    if header in ("", "*/*"):
        return offered[0], {}
    wanted = []
    for item in header.split(","):
        accepted = ContentType.parse(item)
        if not accepted.media:
            continue
        parameters = {name: value.lower() for name, value in accepted.parameters.items()}
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 1.0
        if quality > 0:  # not true of NaN
            wanted.append((quality, accepted.media, parameters))
    for _, media, parameters in sorted(wanted, key=lambda entry: -entry[0]):  # stable: the first of equals
        chosen = offered[0] if media in ("*/*", "*") else media
        if media.endswith("/*") and chosen == media:
            kind = media[:-1]
            usual = [each for each in (JSON, CSV, *offered) if each in offered and each.startswith(kind)]
            chosen = usual[0] if usual else media
        if chosen in offered:
            return chosen, parameters
    raise unsupported_accept(header, offered)


def speaks_json(accept: str, content_type: str) -> bool:
    """Does the client expect JSON, also of an error? By Accept or, where that says nothing, Content-Type."""
    said = accept if accept not in ("", "*/*") else content_type
    return any(_parsed(item).media in (JSON, JSON_LINES) for item in said.split(","))

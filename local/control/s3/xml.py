"""S3's answers and requests in XML."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from optml.local.control.s3.errors import error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MAX_BODY = 4 << 20  # bytes: a thousand keys to delete, ten thousand parts

Tree = Iterable[tuple[str, object]]  # names and what is in them: a text, a number, another tree


def document(root: str, tree: Tree) -> bytes:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{NAMESPACE}">{inside(tree)}</{root}>'
    return text.encode()


def inside(tree: Tree) -> str:
    parts = []
    for name, value in tree:
        if value is None:
            continue
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, str):
            text = _clean(value)
        elif isinstance(value, int):
            text = str(value)
        else:
            text = inside(value)  # type: ignore[arg-type]
        parts.append(f"<{name}>{text}</{name}>")
    return "".join(parts)


def _clean(text: str) -> str:
    """XML 1.0 has no way to write control characters: clients ask for keys in URL form instead."""
    if text.isprintable():
        return escape(text)
    return escape("".join(char for char in text if char >= " " or char in "\t\n")).replace("\n", "&#10;")


def encoded(text: str, url: bool) -> str:
    """A key or prefix as the client wants it (`encoding-type=url`)."""
    return quote(text, safe="/-_.~*") if url else text


def iso(seconds: float) -> str:
    return (
        datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        + f"{int(seconds * 1000) % 1000:03d}Z"
    )


def parse(body: bytes) -> ElementTree.Element:
    """The root of a document, names without their namespaces. Raises ApiError MalformedXML."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise error("MalformedXML")
    try:
        root = ElementTree.fromstring(body)  # noqa: S314  (without entities there is nothing to expand)
    except ElementTree.ParseError:
        raise error("MalformedXML") from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root

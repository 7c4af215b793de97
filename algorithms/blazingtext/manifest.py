"""Labelled lines from JSON: objects of JSON lines, and records of an augmented manifest in Pipe mode.

SageMaker sends, of each line of a manifest, one RecordIO record for each of AttributeNames, in that order:
the bytes of the object that a name in -ref points to, else the value as a string (`1`, `sport`, `[0, 2]`).
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from optml.algorithms.blazingtext.vocabulary import LABEL
from optml.errors import UserError

EXPECTED = (
    "AttributeNames must be the attribute of the text and that of the label, in this order and no others, "
    "and RecordWrapperType must be RecordIO"
)
SHOWN = 60  # characters of a record in a message


def line_of_object(text: bytes, where: str) -> bytes:
    """A JSON line with source and label as a line of a plain file. Raises UserError."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UserError(f"{where} is no JSON: {error}; it is {_shown(text)}") from None
    if not isinstance(document, dict) or not isinstance(document.get("source"), str):
        raise UserError(
            f'{where} must be an object such as {{"source": "the text", "label": 1}}, not {_shown(text)}'
        )
    return _line(document["source"], document.get("label", []), where)


def line_of_records(text: bytes, label: bytes, where: str) -> bytes:
    """The two records of an example as a line of a plain file. Raises UserError for records that are
    something else, as those of attributes in another order, or of one too many."""
    value = _value(label)
    source = _value(text)
    swapped = isinstance(value, str) and len(label.split()) > 1 and len(text.split()) == 1
    if not isinstance(source, str) or isinstance(value, dict) or value is None or swapped:
        raise UserError(f"{where} has the text {_shown(text)} and the label {_shown(label)}: {EXPECTED}")
    return _line(text.decode("utf-8", "surrogateescape"), value, where)


def _value(record: bytes) -> Any:
    """What was made a string: a number, a list or an object; of all else the text itself."""
    try:
        value = orjson.loads(record)
    except orjson.JSONDecodeError:
        value = record.decode("utf-8", "surrogateescape")
    return record.decode() if isinstance(value, bool) else value


def _line(text: str, labels: Any, where: str) -> bytes:
    """The prefix is added to labels that lack it."""
    parts = []
    for label in labels if isinstance(labels, list) else [labels]:
        if isinstance(label, bool) or not isinstance(label, (int, str)) or not str(label).strip():
            raise UserError(
                f"{where} has the label {json.dumps(label)[:SHOWN]}; expected a whole number, a text, or a "
                "list of these"
            )
        name = "_".join(str(label).split())
        parts.append(name if name.startswith(LABEL.decode()) else f"{LABEL.decode()}{name}")
    return " ".join([*parts, *text.split()]).encode("utf-8", "surrogateescape") + b"\n"


def _shown(record: bytes) -> str:
    return repr(record[:SHOWN].decode("utf-8", "replace")) + "..." * (len(record) > SHOWN)

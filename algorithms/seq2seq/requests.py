"""Requests as AWS's image takes them: sentences in JSON, or ids in RecordIO-protobuf."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import orjson

from optml.algorithms.answers import Answer, Written
from optml.algorithms.seq2seq.model import Model, Request
from optml.algorithms.seq2seq.records import KEYS, UNKNOWN, ids
from optml.algorithms.sequences import instances, vocabulary
from optml.algorithms.sequences.ragged import Sequences
from optml.errors import UserError, shown
from optml.formats.content_type import JSON, JSON_LINES, RECORDIO_PROTOBUF, ContentType
from optml.formats.record_encoding import record_of
from optml.formats.record_message import messages
from optml.formats.records import Columns

EXAMPLE = {JSON: '{"data": "you are so good !"}', JSON_LINES: '{"source": "you are so good !"}'}
MOST = 1 << 22  # weights of the attention matrices of a request, taken for square
KEY = {JSON: "data", JSON_LINES: "source"}


def decode(body: bytes, form: ContentType, model: Model) -> Request:
    """Read `{"instances": [{"data": ...}]}`, JSON lines `{"source": ...}`, or records with `source`. Raises
    UserError, naming the instance, the line or the record."""
    if form.media == RECORDIO_PROTOBUF:
        return _records(body, model)
    sources: list[list[int]] = []
    matrix: list[bool] = []
    table = model.vocabularies.ids[0]
    weights = 0
    for first, run in instances.read(body, form, EXAMPLE[form.media]):
        for number, instance in enumerate(run, first):
            text = _text(instance, form, number)
            sources.append(vocabulary.encode(text, table, UNKNOWN))
            matrix.append(_wants_matrix(instance, form, number))
            weights += len(sources[-1]) ** 2 * matrix[-1]
            if weights > MOST:
                raise UserError(
                    f"{instances.name(form, number)}: the attention matrices asked for, up to this one of "
                    f"{len(sources[-1])} tokens, have more than {MOST} weights; ask for fewer, or for "
                    "shorter texts"
                )
    return Request(Sequences.of(sources), np.array(matrix, bool))


def _records(body: bytes, model: Model) -> Request:
    size = model.vocabularies.sizes[0]
    sources = [
        ids(record, KEYS[0], f"record {number} of the request", size)
        for number, record in enumerate(messages(BytesIO(body), source="the request"), 1)
    ]
    return Request(Sequences.of(sources), np.zeros(len(sources), bool))


def _text(instance: Any, form: ContentType, number: int) -> str:
    key, example = KEY[form.media], EXAMPLE[form.media]
    where = instances.name(form, number)
    if not isinstance(instance, dict) or key not in instance:
        held = (
            f"has {', '.join(map(shown, instance)) or 'nothing'}" if isinstance(instance, dict) else "is none"
        )
        raise UserError(f'{where} must be an object with "{key}", but it {held}; expected {example}')
    text = instance[key]
    if not isinstance(text, str):
        raise UserError(f'{where}: "{key}" is {shown(text)}; expected a text, as in {example}')
    return text


def _wants_matrix(instance: dict[str, Any], form: ContentType, number: int) -> bool:
    configuration = instance.get("configuration", {})
    wish = configuration.get("attention_matrix", False) if isinstance(configuration, dict) else configuration
    if isinstance(wish, str) and wish.lower() in ("true", "false"):
        wish = wish.lower() == "true"
    if not isinstance(wish, bool):
        raise UserError(
            f'{instances.name(form, number)}: "configuration" is {shown(configuration)}; expected '
            '{"attention_matrix": "true"}'
        )
    return wish


def encode(columns: Columns, media: str, answer: Answer) -> Written:
    """A text for each source; in RecordIO-protobuf its ids, as int32 `target`."""
    texts, numbers, matrices = (columns.get(name, ()) for name in ("target", "ids", "matrix"))
    if media == RECORDIO_PROTOBUF:
        return Written([record_of({"target": one}) for one in numbers], between=b"")
    rows = []
    for text, matrix in zip(texts, matrices, strict=True):
        document: dict[str, Any] = {"target": text}
        if matrix is not None:
            document["matrix"] = matrix
        rows.append(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))
    if media == JSON:
        return Written(rows, opening=b'{"predictions": [', between=b", ", closing=b"]}")
    return Written(rows, closing=b"" if answer.batch else b"\n")


def join(requests: Sequence[Request]) -> Request:
    """Several requests as one."""
    matrix = np.concatenate([request.matrix for request in requests])
    return Request(Sequences.joined([request.sources for request in requests]), matrix)


def sample(model: Model, media: str) -> bytes:
    """A request of one token."""
    if media == RECORDIO_PROTOBUF:
        return record_of({"source": np.array([UNKNOWN], np.int32)})
    instance = {KEY[media]: "<unk>"}
    return orjson.dumps({"instances": [instance]} if media == JSON else instance)

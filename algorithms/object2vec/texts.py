"""Plain texts as pairs of token sequences: a line each, sides parted by tabs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import orjson

from optml.algorithms.object2vec.records import KEYS
from optml.algorithms.sequences.texts import Pair, Texts, Vocabularies
from optml.errors import UserError, shown

EXPECTED = (
    "expected LABEL TAB TEXT TAB TEXT; without a label for pairs to be scored, and a text alone (TAB TEXT: "
    "of in1) for one to be embedded"
)


def parse(lines: Sequence[str]) -> Pair:
    """Of one line; a label is a number."""
    fields = lines[0].split("\t")
    if len(fields) > 3:
        raise UserError(f"there are {len(fields) - 1} tabs; {EXPECTED}")
    if len(fields) == 1:
        return Pair((fields[0], None))
    if len(fields) == 2:
        return Pair((fields[0] or None, fields[1]))
    try:
        label = orjson.loads(fields[0].strip())
    except orjson.JSONDecodeError:
        label = None
    if isinstance(label, bool) or not isinstance(label, int | float) or not math.isfinite(label):
        raise UserError(f"the label {shown(fields[0])} is no number; {EXPECTED}")
    return Pair((fields[1], fields[2]), label)


def record(pair: Pair, ids: Sequence[list[int] | None]) -> bytes:
    """A JSON line."""
    document: dict[str, Any] = {} if pair.label is None else {"label": pair.label}
    document |= {key: tokens for key, tokens in zip(KEYS, ids, strict=True) if tokens is not None}
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


def request(line: str, vocabularies: Vocabularies, model: Any) -> bytes:
    """The same of what is to be predicted."""
    if not vocabularies:
        raise UserError(
            "a model of Object2Vec knows ids, not tokens: --vocabulary names the file token -> id"
        )
    pair = parse([line])
    return record(pair, pair.ids(vocabularies))


def texts() -> Texts:
    return Texts(
        sources=("pairs of texts, a line each: LABEL TAB TEXT TAB TEXT",),
        vocabularies=("vocab.json",),
        reserved=("<pad>",),
        parse=parse,
        record=record,
        request=request,
    )

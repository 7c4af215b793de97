"""Plain texts as pairs of sentences: two files, a line of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from optml.algorithms.seq2seq.records import FILES, KEYS, RESERVED
from optml.algorithms.sequences.texts import Pair, Texts, Vocabularies
from optml.errors import UserError
from optml.formats.record_encoding import record_of


def parse(lines: Sequence[str]) -> Pair:
    """Of a line of each file."""
    return Pair((lines[0], lines[1]))


def record(pair: Pair, ids: Sequence[list[int] | None]) -> bytes:
    """A record of AWS's `create_vocab_proto.py`."""
    return record_of({key: np.array(tokens or (), np.int32) for key, tokens in zip(KEYS, ids, strict=True)})


def request(line: str, vocabularies: Vocabularies, model: Any) -> bytes:
    """A JSON line; a model has its own vocabularies."""
    if vocabularies:
        raise UserError(
            "a model of Sequence-to-Sequence has its vocabularies with it: leave --vocabulary out"
        )
    return orjson.dumps({"source": line}, option=orjson.OPT_APPEND_NEWLINE)


def texts() -> Texts:
    return Texts(
        sources=("sentences, a line each", "their translations, a line each"),
        vocabularies=FILES,
        reserved=RESERVED,
        parse=parse,
        record=record,
        request=request,
    )

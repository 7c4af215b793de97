"""Vectors of tokens in text, one a line (`token v1 ... vd`, as GloVe has them), for the rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import BinaryIO

import numpy as np

from optml.algorithms.sequences import vocabulary
from optml.algorithms.sources import Source
from optml.errors import UserError


def read(source: Source, vectors: str, tokens: str, width: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids (m,) int64 of tokens that have a vector, and their vectors (m, width) float32.

    source: the channel that holds both files, by their names there.   rows: of the table.
    Raises UserError naming a file that is missing, or the line that is wrong.
    """
    names: list[str] = []
    ids: dict[str, int] | None = None
    for name, stream in source.streams():  # in two passes: whichever comes first, the ids are needed first
        names.append(PurePath(name).name)
        if names[-1] == tokens:
            ids = vocabulary.read(stream.read(), name)
    for wanted in (tokens, vectors):
        if wanted not in names:
            raise UserError(
                f"channel '{source.name}' holds no file '{wanted}', but "
                f"{', '.join(sorted(names)) or 'nothing'}: put it there, or name one of these"
            )
    assert ids is not None
    for token, number in ids.items():
        if number >= rows:
            raise UserError(f"{tokens}: token '{token}' has the id {number}, not less than vocab_size={rows}")
    for name, stream in source.streams():
        if PurePath(name).name == vectors:
            return parse(stream, name, ids, width)
    raise AssertionError(vectors)


def parse(stream: BinaryIO, name: str, ids: Mapping[str, int], width: int) -> tuple[np.ndarray, np.ndarray]:
    """As `read`, of one file. A first line of two whole numbers, as word2vec writes, is passed over; of a
    token that comes twice the first vector counts, and other tokens cost no memory."""
    vectors: dict[int, np.ndarray] = {}
    for line, raw in enumerate(stream, 1):
        fields = raw.decode("utf-8", "replace").rstrip().split(" ")
        if line == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
            continue
        numbers = len(fields) - 1
        if numbers > width and not _is_number(fields[-width - 1]):  # some tokens hold blanks
            numbers = width
        if numbers != width:
            raise UserError(
                f"line {line} of {name} has {numbers} numbers behind its token; expected {width}, the "
                "token_embedding_dim"
            )
        number = ids.get(" ".join(fields[:-width]))
        if number is None or number in vectors:
            continue
        try:
            vector = np.array(fields[-width:], np.float32)
        except ValueError:
            vector = np.full(width, np.nan, np.float32)
        if not np.isfinite(vector).all():
            raise UserError(
                f"line {line} of {name}: expected a token and {width} finite numbers, parted by blanks"
            )
        vectors[number] = vector
    if not vectors:
        raise UserError(f"{name} has a vector for none of the {len(ids)} tokens of the vocabulary")
    return np.fromiter(vectors, np.int64, len(vectors)), np.stack(list(vectors.values()))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

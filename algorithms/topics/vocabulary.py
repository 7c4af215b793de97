"""The channel `auxiliary`: vocab.txt, a word a line; embeddings.txt, vectors of words in GloVe's layout."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import BinaryIO

import numpy as np

from optml.algorithms.sources import Source
from optml.errors import UserError

log = logging.getLogger(__name__)

VOCABULARY, EMBEDDINGS = "vocab.txt", "embeddings.txt"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """words: by number.   vectors (words, d) float32, the mean of all for a word that has none; or None."""

    words: tuple[str, ...]
    vectors: np.ndarray | None = None


def read(source: Source, size: int) -> Vocabulary:
    """Read the channel. Raises UserError naming the file, its line, and what was expected, for a vocabulary
    that is missing, not UTF-8, or of other than `size` words, and for vectors that are none."""
    words: tuple[str, ...] | None = None
    names = []
    # Vectors come first by their name, so vocab.txt is read in a pass of its own.
    for name, stream in source.streams():
        names.append(PurePath(name).name)
        if names[-1] == VOCABULARY:
            words = parse_words(stream.read(), name, size)
    if words is None:
        raise UserError(
            f"channel '{source.name}' holds no {VOCABULARY} (a word a line, {size} lines), but "
            f"{', '.join(names) or 'nothing'}: rename the file, or leave the channel out"
        )
    vectors = None
    if EMBEDDINGS in names:
        for name, stream in source.streams():
            if PurePath(name).name == EMBEDDINGS:
                vectors = parse_vectors(stream, name, {word: number for number, word in enumerate(words)})
    return Vocabulary(words, vectors)


def parse_words(data: bytes, name: str, size: int) -> tuple[str, ...]:
    """The words of a vocab.txt."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"line {line} of {name} is not text in UTF-8; save the file as UTF-8") from None
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    if len(lines) != size:
        raise UserError(
            f"{name} has {len(lines)} lines, but feature_dim is {size}: line i holds the word that has "
            "number i, and every number has one"
        )
    return tuple(line.removesuffix("\r") for line in lines)


def parse_vectors(stream: BinaryIO, name: str, numbers: Mapping[str, int]) -> np.ndarray:
    """The vectors of the words in `numbers` (word -> its number), of lines `word x1 x2 ...`; a first line of
    two integers, as word2vec writes, is passed over. Other words cost no memory."""
    vectors: np.ndarray | None = None
    known = np.zeros(len(numbers), bool)
    for line, raw in enumerate(stream, 1):
        word, *texts = raw.decode("utf-8", "replace").rstrip().split(" ")
        if line == 1 and len(texts) == 1 and word.isdigit() and texts[0].isdigit():
            continue
        number = numbers.get(word)
        if number is None:
            continue
        try:
            vector = np.array(texts, np.float32)
        except ValueError:
            vector = np.full(1, np.nan, np.float32)
        if not len(vector) or not np.isfinite(vector).all():
            raise UserError(f"line {line} of {name}: expected a word and finite numbers, parted by blanks")
        if vectors is None:
            vectors = np.zeros((len(numbers), len(vector)), np.float32)
        if len(vector) != vectors.shape[1]:
            raise UserError(
                f"line {line} of {name} has {len(vector)} numbers, the lines before it {vectors.shape[1]}"
            )
        vectors[number], known[number] = vector, True
    if vectors is None:
        raise UserError(f"{name} has a vector for none of the {len(numbers)} words of {VOCABULARY}")
    vectors[~known] = vectors[known].mean(axis=0)
    if not known.all():
        log.warning(
            "%d out of %d in vocabulary do not have embeddings! Default vector used for unknown embedding!",
            np.count_nonzero(~known), len(known),
        )  # fmt: skip
    return vectors

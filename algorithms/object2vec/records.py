"""Pairs of token sequences and their labels, read from JSON lines."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import orjson

from optml.algorithms.object2vec.hyperparameters import Hyperparameters
from optml.algorithms.sequences.ragged import Sequences, bounds_of
from optml.algorithms.sources import Source
from optml.errors import UserError, shown
from optml.formats.blocks import BLOCK_BYTES, lines
from optml.formats.documents import parse_each, uncollected

KEYS = ("in0", "in1")
EXAMPLE = '{"label": 1, "in0": [6, 17, 606], "in1": [16, 21]}'
LARGEST = float(np.finfo(np.float32).max)  # a label
MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Pairs:
    """n pairs.   sides: in0 and in1, not cut.   labels: (n,) float32, numbers of classes or values."""

    sides: tuple[Sequences, Sequences]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def read(source: Source, settings: Hyperparameters) -> Pairs:
    """The pairs of a channel. Raises UserError naming file and line of the first that is none."""
    if source.wrapper == "RecordIO":
        raise UserError(f"channel '{source.name}' holds RecordIO; expected JSON lines such as {EXAMPLE}")
    parts = []
    for name, stream in source.streams():
        first = 1
        for block in lines(stream, BLOCK_BYTES, source=name):
            if source.stopped():
                break
            block = block.removeprefix(MARK) if first == 1 else block
            texts = block.splitlines()
            with uncollected():
                parts.append(_parsed(texts, name, first, settings))
            first += len(texts)
    if not parts:
        empty = Sequences.of([])
        return Pairs((empty, empty), np.empty(0, np.float32))
    first_side, second_side = (Sequences.joined([part.sides[side] for part in parts]) for side in range(2))
    return Pairs((first_side, second_side), np.concatenate([part.labels for part in parts]))


def _parsed(texts: list[bytes], name: str, first: int, settings: Hyperparameters) -> Pairs:
    numbers = range(first, first + len(texts))
    if not all(texts) or any(map(bytes.isspace, texts)):
        records = [(number, text) for number, text in zip(numbers, texts, strict=True) if text.strip()]
        numbers, texts = [number for number, _ in records], [text for _, text in records]  # type: ignore[assignment]
    try:
        documents = list(map(orjson.loads, texts))
    except orjson.JSONDecodeError:
        documents = parse_each(texts, lambda place: f"line {numbers[place]} of {name}")
    try:
        sides = tuple(sequences([document[key] for document in documents]) for key in KEYS)
        values = [document["label"] for document in documents]
        if not set(map(type, values)) <= {int, float}:
            raise ValueError("not numbers alone")
        labels = np.array(values or np.empty(0), np.float64)
        _require(sides, labels, settings)
        return Pairs((sides[0], sides[1]), labels.astype(np.float32))
    except (TypeError, KeyError, ValueError, OverflowError):
        pass
    for number, document in zip(numbers, documents, strict=True):
        problem = complaint(document, settings)
        if problem:
            raise UserError(f"line {number} of {name}: {problem}")
    raise AssertionError("a record is wrong, and none is")


def sequences(lists: list[Any]) -> Sequences:
    """Of lists of whole numbers that int32 holds. Raises TypeError or ValueError for anything else."""
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    values = list(chain.from_iterable(lists))
    if not set(map(type, values)) <= {int}:  # NumPy takes booleans for numbers
        raise ValueError("not whole numbers alone")
    flat = np.array(values or np.empty(0, np.int64))
    if flat.dtype.kind != "i" or flat.ndim != 1 or (len(flat) and int(flat.max()) > np.iinfo(np.int32).max):
        raise ValueError("not whole numbers alone")
    return Sequences(flat.astype(np.int32), bounds_of(lengths))


def _require(sides: tuple[Sequences, ...], labels: np.ndarray, settings: Hyperparameters) -> None:
    """Raise ValueError where any record is wrong."""
    for side, encoder in zip(sides, settings.encoders, strict=True):
        ids = side.ids
        if not side.lengths.all() or (len(ids) and (ids.min() < 0 or ids.max() >= encoder.vocab_size)):
            raise ValueError("an id is wrong")
    if not (np.abs(labels) <= LARGEST).all():  # not true of NaN
        raise ValueError("a label is no number")
    if settings.classifier and len(labels):
        known = (labels >= 0) & (labels < settings.num_classes) & (labels == np.floor(labels))
        if not known.all():
            raise ValueError("a label is no class")


def complaint(document: Any, settings: Hyperparameters) -> str | None:
    """What is wrong with a record, in a clause; None: nothing."""
    if not isinstance(document, dict):
        return f"expected an object such as {EXAMPLE}, not {shown(document)}"
    for key, encoder in zip(KEYS, settings.encoders, strict=True):
        if key not in document:
            return f'there is no "{key}"; expected {EXAMPLE}'
        problem = of_tokens(document[key], key, encoder.vocab_size)
        if problem:
            return problem
        if not document[key]:
            return f'"{key}" is an empty list; give it a token, or leave the record out'
    return _of_label(document, settings)


def of_tokens(tokens: Any, key: str, size: int) -> str | None:
    """What is wrong with the value of in0 or in1."""
    if not isinstance(tokens, list):
        return f'"{key}" is {shown(tokens)}; expected a list of token ids such as [6, 17, 606]'
    for token in tokens:
        if isinstance(token, bool) or not isinstance(token, int):
            return f'"{key}" holds {shown(token)}; expected whole numbers, the ids of tokens'
        if token < 0:
            return f'"{key}" holds the negative id {token}; ids go from 0 on'
        if token >= size:
            return (
                f'Inconsistent vocab for {key} found. Vocab id "{token}" is not less than vocab_size={size}'
            )
    return None


def _of_label(document: dict[str, Any], settings: Hyperparameters) -> str | None:
    if "label" not in document:
        return f'there is no "label"; expected {EXAMPLE}'
    label = document["label"]
    number = not isinstance(label, bool) and isinstance(label, int | float) and -LARGEST <= label <= LARGEST
    if not settings.classifier:
        return None if number else f'"label" is {shown(label)}; expected a number that float32 holds'
    if not number or label != int(label) or not 0 <= label < settings.num_classes:
        return (
            f'"label" is {shown(label)}; expected the number of a class, 0 to {settings.num_classes - 1} '
            f"(num_classes={settings.num_classes}); numbers are learnt with output_layer=mean_squared_error"
        )
    return None

"""Requests as AWS's image takes them: pairs to be scored, or single inputs to be embedded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from optml.algorithms.object2vec.model import Model, Request
from optml.algorithms.object2vec.records import KEYS, of_tokens, sequences
from optml.algorithms.sequences import instances
from optml.algorithms.sequences.ragged import Sequences
from optml.errors import UserError, shown
from optml.formats.content_type import JSON, ContentType
from optml.formats.documents import Long

PARAMETER = "infer_max_seqlens"
LONGEST = 5000
EXAMPLE = '{"in0": [6, 17, 606], "in1": [16, 21, 13]}'


def decode(body: bytes, form: ContentType, model: Model) -> Request:
    """Read `{"instances": [...]}` or JSON lines of objects with in0 and in1, or with the same one of them.
    Raises UserError, naming the instance or the line."""
    lengths = longest(form, model)
    keys: tuple[str, ...] | None = None
    parts: list[list[Sequences]] = []
    for first, run in instances.read(body, form, EXAMPLE):
        for number, instance in enumerate(run, first):
            own = _keys(instance, form, number)
            if keys is None:
                keys = own
            if own != keys:
                raise UserError(
                    f"{instances.name(form, number)} has {' and '.join(own)}, those before it "
                    f"{' and '.join(keys)}: a request holds pairs, which are scored, or single inputs of one "
                    "kind, which are embedded; send two requests"
                )
        if keys is not None and run:
            parts.append([_tokens(run, first, key, form, model) for key in keys])
    sides: list[Sequences | None] = [None, None]
    for place, key in enumerate(keys or KEYS):
        side = KEYS.index(key)
        joined = Sequences.joined([part[place] for part in parts])
        sides[side] = joined.cut(lengths[side])
    return Request((sides[0], sides[1]))


def longest(form: ContentType, model: Model) -> tuple[int, int]:
    """How many tokens of in0 and of in1 are looked at: as in training, unless the request says otherwise."""
    text = form.parameters.get(PARAMETER)
    if text is None:
        first, second = model.hyperparameters.encoders
        return first.max_seq_len, second.max_seq_len
    numbers = [part.strip() for part in text.split(",")]
    good = [
        part.isascii() and part.isdigit() and len(part) <= 9 and 1 <= int(part) <= LONGEST for part in numbers
    ]
    if len(numbers) != 2 or not all(good):
        raise UserError(
            f"content type: {PARAMETER} is '{text}'; expected two whole numbers from 1 to {LONGEST}, of in0 "
            f"and of in1, as in {form.media};{PARAMETER}=100,50"
        )
    return int(numbers[0]), int(numbers[1])


def sample(model: Model, media: str) -> bytes:
    """A request of one pair."""
    pair = {"in0": [1], "in1": [1]}
    return orjson.dumps({"instances": [pair]} if media == JSON else pair)


def join(requests: Sequence[Request]) -> Request:
    """Requests of the same kind as one."""
    kinds = {tuple(side is None for side in request.sides) for request in requests}
    if len(kinds) > 1:
        raise UserError("requests of pairs and of single inputs do not go together")
    first, second = zip(*(request.sides for request in requests), strict=True)
    return Request((_joined(first), _joined(second)))


def _joined(parts: Sequence[Sequences | None]) -> Sequences | None:
    there = [part for part in parts if part is not None]
    return Sequences.joined(there) if there else None


def _keys(instance: Any, form: ContentType, number: int) -> tuple[str, ...]:
    own = tuple(key for key in KEYS if key in instance) if isinstance(instance, dict) else ()
    if not own:
        raise UserError(
            f"{instances.name(form, number)} is {shown(instance)}; expected in0, in1 or both: {EXAMPLE}"
        )
    return own


def _tokens(run: list[Any], first: int, key: str, form: ContentType, model: Model) -> Sequences:
    """The token ids of a run of instances; a list may be empty."""
    size = model.hyperparameters.encoders[KEYS.index(key)].vocab_size
    lists = [instance[key] for instance in run]
    lists = [tokens.head(LONGEST) if isinstance(tokens, Long) else tokens for tokens in lists]
    try:
        tokens_of_run = sequences(lists)
        if not len(tokens_of_run.ids) or (tokens_of_run.ids.min() >= 0 and tokens_of_run.ids.max() < size):
            return tokens_of_run
    except (TypeError, ValueError, OverflowError):
        pass
    for number, tokens in enumerate(lists, first):
        problem = of_tokens(tokens, key, size)
        if problem:
            raise UserError(f"{instances.name(form, number)}: {problem}")
    return Sequences.of(lists)

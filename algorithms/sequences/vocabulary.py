"""Vocabularies: JSON objects of token -> id, as AWS's notebooks keep them in files of their own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from optml.errors import UserError, shown

QUOTED = 40  # characters of a file that is no vocabulary, for a message


def count(lines: Iterable[str]) -> Counter[str]:
    """How often each token occurs: what blanks part."""
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(line.split())
    return counts


def build(counts: Mapping[str, int], reserved: Sequence[str], most: int, least: int = 1) -> dict[str, int]:
    """Token -> id: the reserved ones first, then the `most` most frequent of those that occur at least
    `least` times. Equally frequent ones come in reverse alphabetical order, as AWS's `create_vocab_proto.py`
    has it."""
    words = [(number, word) for word, number in counts.items() if number >= least and word not in reserved]
    words.sort(reverse=True)
    return {word: place for place, word in enumerate([*reserved, *(word for _, word in words[:most])])}


def write(vocabulary: Mapping[str, int]) -> bytes:
    return (json.dumps(vocabulary, indent=4, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")


def read(data: bytes, name: str) -> dict[str, int]:
    """Raises UserError, naming the file, for what is no object of token -> id, and for an id that two tokens
    have."""
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        head = data[:QUOTED].decode("utf-8", "replace")
        raise UserError(
            f'{name} is no JSON: it begins with {head!r}; expected a vocabulary such as {{"the": 1, "a": 2}}'
        ) from None
    if not isinstance(found, dict):
        raise UserError(f'{name} holds no object; expected a vocabulary such as {{"the": 1, "a": 2}}')
    tokens: dict[int, str] = {}
    for token, number in found.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise UserError(
                f"{name}: token {shown(token)} has the id {shown(number)}; expected a whole number from 0 on"
            )
        if number in tokens:
            raise UserError(
                f"{name}: tokens {shown(tokens[number])} and {shown(token)} both have the id {number}"
            )
        tokens[number] = token
    return found


def encode(line: str, vocabulary: Mapping[str, int], unknown: int) -> list[int]:
    """The ids of a line's tokens."""
    return [vocabulary.get(token, unknown) for token in line.split()]

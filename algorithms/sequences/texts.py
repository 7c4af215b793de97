"""How plain texts become what an algorithm of token sequences reads: `optml convert`, `optml predict`.

A record has two sides (a sentence and its translation, two sentences that are compared). Tokens are what
blanks part; each side has a vocabulary token -> id, or one serves both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from optml.algorithms.sequences import vocabulary

UNKNOWN = "<unk>"  # stands for tokens that a vocabulary does not hold; without it padding does

Vocabularies: TypeAlias = Sequence[Mapping[str, int]]  # of both sides, or of each


@dataclass(frozen=True, slots=True)
class Pair:
    """A record as text.   sides: None of one that is not there.   label: as the algorithm has it."""

    sides: tuple[str | None, str | None]
    label: Any = None

    @property
    def whole(self) -> bool:
        """Has every side that is there a token?"""
        return all(side is None or bool(side.split()) for side in self.sides)

    def ids(self, vocabularies: Vocabularies) -> list[list[int] | None]:
        """The ids of both sides' tokens."""
        return [
            None if text is None else _encoded(text, vocabularies[min(side, len(vocabularies) - 1)])
            for side, text in enumerate(self.sides)
        ]


@dataclass(frozen=True, slots=True)
class Texts:
    """What an algorithm says of its texts.

    sources:      what each file of texts holds, a record a line, for messages.
    vocabularies: the names of their files, beside the records, where none are named.
    reserved:     the tokens that a vocabulary begins with.
    parse:        a line of each source as a record. Raises UserError with a clause that says what is wrong.
    record:       a record of training data, of the text and the ids of both sides.
    request:      (a line of a file, vocabularies that were named, the model) -> a line of a request of JSON
                  lines. Raises UserError likewise, also where the model needs other vocabularies.
    """

    sources: tuple[str, ...]
    vocabularies: tuple[str, ...]
    reserved: tuple[str, ...]
    parse: Callable[[Sequence[str]], Pair]
    record: Callable[[Pair, list[list[int] | None]], bytes]
    request: Callable[[str, Vocabularies, Any], bytes]


def count(pairs: Iterable[Pair], tables: int) -> list[Counter[str]]:
    """How often each token occurs: of both sides together (1 table), or of each (2)."""
    counts: list[Counter[str]] = [Counter() for _ in range(tables)]
    for pair in pairs:
        for side, text in enumerate(pair.sides):
            counts[min(side, tables - 1)].update((text or "").split())
    return counts


def _encoded(text: str, ids: Mapping[str, int]) -> list[int]:
    return vocabulary.encode(text, ids, ids.get(UNKNOWN, 0))

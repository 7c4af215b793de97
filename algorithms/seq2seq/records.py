"""Records of training and their vocabularies: int32 ids in RecordIO-protobuf, tokens in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from optml.algorithms.base import Setting
from optml.algorithms.sequences import vocabulary
from optml.algorithms.sequences.ragged import Sequences
from optml.algorithms.sources import Source
from optml.errors import UserError, shown
from optml.formats.record_message import messages

CHANNEL = "vocab"
FILES = ("vocab.src.json", "vocab.trg.json")
RESERVED = ("<pad>", "<unk>", "<s>", "</s>")
PADDING, UNKNOWN, BEGIN, END = range(4)
KEYS = ("source", "target")
SPARSE = 10  # times as many ids as tokens, that a vocabulary may have
TOGETHER = 1 << 16  # records whose ids are lists of Python


@dataclass(frozen=True, slots=True)
class Pairs:
    """n pairs of token ids, without `<s>` and `</s>`."""

    sources: Sequences
    targets: Sequences

    def __len__(self) -> int:
        return len(self.sources)


@dataclass(frozen=True, slots=True)
class Vocabularies:
    """files: the two files as they came, by name.   ids: of each side, token -> id."""

    files: Mapping[str, bytes]
    ids: tuple[Mapping[str, int], Mapping[str, int]]

    @classmethod
    def of(cls, files: Mapping[str, bytes], where: str) -> Vocabularies:
        """Raises UserError naming a file that is missing or no vocabulary of this algorithm."""
        for name in FILES:
            if name not in files:
                held = ", ".join(sorted(files)) or "nothing"
                raise UserError(  # empty ones are left out
                    f"{where} holds no file '{name}', or an empty one, but {held}: expected "
                    f"{' and '.join(FILES)}, token -> id in JSON"
                )
        source, target = (_checked(vocabulary.read(files[name], name), name) for name in FILES)
        return cls({name: files[name] for name in FILES}, (source, target))

    @property
    def sizes(self) -> tuple[int, int]:
        """Rows of the tables of embeddings: one more than the largest id."""
        source, target = (max(table.values()) + 1 for table in self.ids)
        return source, target

    def words(self, side: int) -> list[str]:
        """The token of each id; `<unk>` where an id has none."""
        table = self.ids[side]
        words = [RESERVED[UNKNOWN]] * self.sizes[side]
        for token, number in table.items():
            words[number] = token
        return words


def _checked(table: dict[str, int], name: str) -> dict[str, int]:
    for number, token in enumerate(RESERVED):
        if table.get(token) != number:
            held = f"has the id {table[token]}" if token in table else "is missing"
            raise UserError(
                f"{name}: the token '{token}' {held}; a vocabulary begins with "
                f"{', '.join(f'{word} {place}' for place, word in enumerate(RESERVED))}"
            )
    token = max(table, key=lambda word: table[word])
    if table[token] >= SPARSE * len(table):  # its table of embeddings would have a row for each id below
        raise UserError(
            f"{name}: the token {shown(token)} has the id {table[token]}, but there are {len(table)} tokens; "
            f"their ids are 0 to {len(table) - 1}"
        )
    return table


def vocabularies(setting: Setting) -> Vocabularies:
    """Those of the job's channel `vocab`."""
    files = {PurePath(name).name: stream.read() for name, stream in setting.auxiliary[CHANNEL].streams()}
    return Vocabularies.of(files, f"channel '{CHANNEL}'")


def read(source: Source, sizes: tuple[int, int]) -> Pairs:
    """The pairs of a channel. sizes: of both vocabularies. Raises UserError naming the file and the record
    that is none; pairs with an empty side are no use, and left out."""
    parts: list[Pairs] = []
    for name, stream in source.streams():
        sides: tuple[list[list[int]], list[list[int]]] = ([], [])
        for number, record in enumerate(messages(stream, source=name), 1):
            if source.stopped():
                break
            where = f"record {number} of {name}"
            values = [ids(record, key, where, sizes[side]) for side, key in enumerate(KEYS)]
            if all(values):
                for side, value in zip(sides, values, strict=True):
                    side.append(value)
            if len(sides[0]) == TOGETHER:
                parts.append(Pairs(*map(Sequences.of, sides)))
                sides = ([], [])
        parts.append(Pairs(*map(Sequences.of, sides)))
    if not sum(map(len, parts)):
        if source.stopped():
            return Pairs(Sequences.of([]), Sequences.of([]))
        raise UserError(
            f"channel '{source.name}' holds no pair whose source and target both have a token; expected "
            "RecordIO-protobuf, as `optml convert --algorithm seq2seq` writes it"
        )
    return Pairs(
        *(Sequences.joined([getattr(part, side) for part in parts]) for side in ("sources", "targets"))
    )


def ids(record: Any, key: str, where: str, size: int, *, required: bool = True) -> list[int]:
    """The token ids of one side of a record. Raises UserError naming `where`.

    size: of the vocabulary: every id is less.   required: False: a key that is not there has no ids.
    """
    if key not in record.features:
        if not required:
            return []
        held = ", ".join(sorted(record.features)) or "none"
        raise UserError(f"{where} has no features '{key}' (it has {held}); expected 'source' and 'target'")
    value = record.features[key]
    kind = value.WhichOneof("value")
    if kind not in (None, "int32_tensor"):
        raise UserError(f"{where} has '{key}' as {kind}: write ids to int32_tensor, not {kind}")
    values: list[int] = value.int32_tensor.values[:]
    if values and (min(values) < 0 or max(values) >= size):
        wrong = next(number for number in values if not 0 <= number < size)
        raise UserError(
            f"{where}: '{key}' has the id {wrong}, but the vocabulary {FILES[KEYS.index(key)]} has ids 0 to "
            f"{size - 1}: records and vocabularies are not of one conversion"
        )
    return values

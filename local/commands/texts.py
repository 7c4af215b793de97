"""Plain texts as records of token ids (`optml convert`) and as requests (`optml predict`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from optml.errors import UserError

if TYPE_CHECKING:
    from optml.algorithms.base import Algorithm
    from optml.algorithms.sequences.texts import Pair, Texts

EMPTY = "there are no records to convert"


def of(algorithm: Algorithm, wish: str) -> Texts:
    """How the algorithm takes texts. Raises UserError, naming the wish, where it takes none."""
    if algorithm.texts is None:
        raise UserError(f"{wish}: {algorithm.title} takes no plain texts")
    return algorithm.texts()


def vocabularies(
    texts: Texts, sources: Sequence[Path], names: Sequence[Path], most: int, least: int
) -> list[dict[str, int]]:
    """Token -> id, of each file: read where it is there, else made of the sources and written.

    most: tokens of a new vocabulary beside the reserved ones.   least: how often each of them must occur.
    """
    from optml.algorithms.sequences import texts as counting
    from optml.algorithms.sequences import vocabulary

    missing = [name for name in names if not name.exists()]
    if missing and len(missing) < len(names):
        raise UserError(
            f"there is no vocabulary '{missing[0]}', but the other one is there: name two files that are, or "
            "two to be made"
        )
    if not missing:
        return [vocabulary.read(name.read_bytes(), str(name)) for name in names]
    counts = counting.count((pair for pair in read(texts, sources) if pair.whole), len(names))
    if not any(counts):
        raise UserError(EMPTY)
    tables = [vocabulary.build(table, texts.reserved, most, least) for table in counts]
    for name, table in zip(names, tables, strict=True):
        name.write_bytes(vocabulary.write(table))
    return tables


def read(texts: Texts, sources: Sequence[Path]) -> Iterator[Pair]:
    """The records, one of each line. Raises UserError naming the file and the line that is wrong."""
    with ExitStack() as stack:
        streams = [_lines(stack, source) for source in sources]
        for number, row in enumerate(zip_longest(*streams), 1):
            if None in row:
                short = sources[row.index(None)]
                raise UserError(
                    f"{short} has {number - 1} lines, the other file more: lines of the same number belong "
                    "together"
                )
            try:
                pair = texts.parse(cast(tuple[str, ...], row))
            except UserError as error:
                raise UserError(f"line {number} of {sources[0]}: {error}") from None
            yield pair


def write(
    texts: Texts, sources: Sequence[Path], tables: Sequence[dict[str, int]], file: IO[bytes]
) -> tuple[int, int]:
    """Write the records; how many there are, and how many were left out, as a side of them is empty."""
    records = empty = 0
    for pair in read(texts, sources):
        if pair.whole:
            file.write(texts.record(pair, pair.ids(tables)))
            records += 1
        else:
            empty += 1
    if not records:
        raise UserError(EMPTY)
    return records, empty


def request(texts: Texts, path: Path, names: Sequence[Path], model: Any) -> bytes:
    """The lines of a file as a request of JSON lines."""
    from optml.algorithms.sequences import vocabulary

    tables = []
    for name in names:
        if not name.is_file():
            raise UserError(f"there is no vocabulary '{name}'")
        tables.append(vocabulary.read(name.read_bytes(), str(name)))
    body = []
    with ExitStack() as stack:
        for number, line in enumerate(_lines(stack, path), 1):
            try:
                body.append(texts.request(line, tables, model))
            except UserError as error:
                raise UserError(f"line {number} of {path}: {error}") from None
    return b"".join(body)


def _lines(stack: ExitStack, path: Path) -> Iterator[str]:
    """The lines of a text in UTF-8, plain or gzip, without their ends."""
    from optml.formats.blocks import BLOCK_BYTES, lines
    from optml.formats.compression import opened

    if not path.is_file():
        raise UserError(f"there is no file '{path}'")
    stream = stack.enter_context(opened(path, source=str(path)))
    number = 0
    for block in lines(stream, BLOCK_BYTES, source=str(path)):
        for line in block.removesuffix(b"\n").split(b"\n"):
            number += 1
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r")
            except UnicodeDecodeError as error:
                raise UserError(f"line {number} of {path} is not UTF-8 (byte {error.start + 1})") from None

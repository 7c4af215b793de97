"""`optml convert`: tables from one format into another, block by block; plain texts into records of token
ids."""

from __future__ import annotations

import argparse
import gzip
import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, cast

from optml.errors import UserError

if TYPE_CHECKING:
    from optml.formats.records import Records

FORMS = {
    ".csv": "csv",
    ".npy": "npy",
    ".npz": "npz",
    ".parquet": "parquet",
    ".libsvm": "libsvm",
    ".svm": "libsvm",
    ".jsonl": "jsonlines",
    ".jsonlines": "jsonlines",
    ".pbr": "recordio-protobuf",
    ".rec": "recordio-protobuf",
    ".recordio": "recordio-protobuf",
    ".protobuf": "recordio-protobuf",
}

MOST = 50_000  # tokens of a vocabulary, as AWS's script for seq2seq has it

EPILOG = """\
Formats are told by the names' endings: .csv .npy .npz .parquet .libsvm .jsonl .pbr (RecordIO-protobuf, also
.rec .recordio .protobuf), text formats and .pbr also with .gz; --from and --to say otherwise.
Tables without names for their columns (CSV, .npy, Parquet) hold labels first, then features.

examples:
  optml convert data.csv data.pbr --label-size 1
  optml convert train.npz train.pbr
  optml convert data.libsvm data.parquet --feature-dim 126
  optml convert --algorithm object2vec pairs.tsv train.jsonl --vocabulary vocab.json

With --algorithm, IN are texts in UTF-8 whose tokens are parted by blanks: of object2vec pairs, a line each
(LABEL TAB TEXT TAB TEXT). A vocabulary that is there is used; else it is made of IN, the most frequent
tokens first.
"""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    names = sorted(set(FORMS.values()))
    parser.epilog = EPILOG
    parser.add_argument("source", metavar="IN", type=Path, nargs="+")
    parser.add_argument("target", metavar="OUT", type=Path)
    parser.add_argument(
        "--label-size", type=int, metavar="N", help="leading label columns of IN (default: 0)"
    )
    parser.add_argument(
        "--feature-dim", type=int, metavar="N", help="features of a record (default: as in the first)"
    )
    parser.add_argument("--from", dest="source_form", choices=names, help="format of IN")
    parser.add_argument("--to", dest="target_form", choices=names, help="format of OUT")
    texts = parser.add_argument_group("texts")
    texts.add_argument("--algorithm", metavar="NAME", help="that learns from OUT; IN holds plain text")
    texts.add_argument(
        "--vocabulary",
        type=Path,
        action="append",
        metavar="FILE",
        help="JSON, token -> id; twice: of each side of the pairs",
    )
    texts.add_argument(
        "--vocabulary-size", type=int, metavar="N", help=f"tokens of a new vocabulary (default: {MOST:,})"
    )
    texts.add_argument(
        "--min-count", type=int, metavar="N", help="how often such a token must occur (default: 1)"
    )


def run(args: argparse.Namespace) -> int:
    if not args.target.parent.is_dir():
        raise UserError(f"there is no folder '{args.target.parent}' for {args.target.name}")
    if args.algorithm:
        return _texts(args)
    for name in ("vocabulary", "vocabulary_size", "min_count"):
        if getattr(args, name) is not None:
            raise UserError(
                f"--{name.replace('_', '-')} is of texts: add --algorithm NAME, such as object2vec"
            )
    if len(args.source) > 1:
        raise UserError("several files are converted into one where they are texts: add --algorithm NAME")
    (source,) = args.source
    if args.label_size is not None and args.label_size < 0:
        raise UserError(f"--label-size {args.label_size}: expected a whole number from 0 on")
    if not source.is_file():
        raise UserError(f"there is no file '{source}'")
    source_form = args.source_form or form(source)
    target_form = args.target_form or form(args.target)
    if args.target.exists() and args.target.samefile(source):
        raise UserError(f"IN and OUT are the same file '{args.target}'")
    if args.target.suffix == ".gz" and target_form in ("npy", "npz", "parquet"):
        raise UserError(f"'{args.target}': {target_form} is not written as .gz")
    blocks = read(source, source_form, args.label_size, args.feature_dim)
    records, features, labels = write(blocks, args.target, target_form)
    print(f"{args.target}: {records:,} records of {features} features and {labels} labels", file=sys.stderr)
    return 0


def _texts(args: argparse.Namespace) -> int:
    from optml.algorithms import registry
    from optml.local.commands import texts as conversion

    algorithm = registry.get(args.algorithm)
    texts = conversion.of(algorithm, "--algorithm")
    if len(args.source) != len(texts.sources):
        raise UserError(
            f"{algorithm.title} takes {len(texts.sources)} file(s) of texts, IN is {len(args.source)}: "
            f"{'; '.join(texts.sources)}"
        )
    names = args.vocabulary or [args.target.with_name(name) for name in texts.vocabularies]
    if len(names) > 2:
        raise UserError(f"--vocabulary is given {len(names)} times; a pair has two sides")
    most = MOST if args.vocabulary_size is None else args.vocabulary_size
    least = 1 if args.min_count is None else args.min_count
    if most < 1 or least < 1:
        raise UserError("--vocabulary-size and --min-count are whole numbers from 1 on")
    there = all(name.exists() for name in names)
    tables = conversion.vocabularies(texts, args.source, names, most, least)
    with _whole(args.target) as file:
        records, empty = conversion.write(texts, args.source, tables, file)
    for name, table in zip(names, tables, strict=True):
        print(f"{name}: {'read' if there else 'made'}, {len(table):,} tokens", file=sys.stderr)
    left = f"; {empty:,} with an empty side left out" if empty else ""
    print(f"{args.target}: {records:,} records{left}", file=sys.stderr)
    return 0


def form(path: Path) -> str:
    """The format that a file's name ends in. Raises UserError listing the endings."""
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in FORMS:
        raise UserError(f"'{path}' does not tell its format; endings known: {' '.join(FORMS)}")
    return FORMS[suffix]


def read(
    path: Path, form: str, label_size: int | None = None, feature_dim: int | None = None
) -> Iterator[Records]:
    """Blocks of a table. Raises UserError naming the record that is wrong."""
    if form in ("npy", "npz"):
        from optml.local.commands import numpy_files

        yield from numpy_files.read(path, label_size or 0)
        return
    from optml.formats import tabular
    from optml.formats.compression import opened
    from optml.formats.content_type import ContentType
    from optml.formats.layout import Layout

    with opened(path, source=str(path)) as stream:
        layout = Layout(feature_dim, label_size)
        yield from tabular.read(stream, ContentType.parse(form), layout, source=str(path))


class Writer(Protocol):
    def write(self, block: Records) -> None: ...
    def finish(self) -> None: ...


def write(blocks: Iterator[Records], path: Path, form: str) -> tuple[int, int, int]:
    """Write blocks as one file, which appears when it is complete: its records, features, labels a record."""
    records = features = labels = 0
    kinds: dict[str, type[Writer]] = {"npy": _Npy, "npz": _Npz, "parquet": _Parquet}
    with _whole(path) as file:
        writer = kinds[form](file) if form in kinds else _Plain(file, form)  # type: ignore[call-arg]
        for block in blocks:
            width = 0 if block.labels is None else block.labels.shape[1]
            if records and (block.width, width) != (features, labels):
                raise UserError(
                    f"{block.where(0)} has {block.width} features and {width} labels, those before it "
                    f"{features} and {labels}; --feature-dim says how many there are"
                )
            records, features, labels = records + len(block), block.width, width
            writer.write(block)
        if not records:
            raise UserError("there are no records to convert")
        writer.finish()
    return records, features, labels


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, compressed if its name ends in .gz, which appears when it is complete."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with ExitStack() as stack:
            file: IO[bytes] = stack.enter_context(part.open("w+b"))
            if path.suffix == ".gz":
                file = cast(IO[bytes], stack.enter_context(gzip.open(file, "wb", compresslevel=6)))
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class _Plain:
    """Formats whose blocks simply follow each other."""

    def __init__(self, file: IO[bytes], form: str) -> None:
        from optml.formats.content_type import ContentType

        self._file = file
        self._content_type = ContentType.parse(form)

    def write(self, block: Records) -> None:
        from optml.formats import tabular

        self._file.write(tabular.write(block, self._content_type))

    def finish(self) -> None: ...


class _Npy:
    def __init__(self, file: IO[bytes]) -> None:
        from optml.local.commands.numpy_files import NpyWriter

        self._writer = NpyWriter(file)

    def write(self, block: Records) -> None:
        import numpy as np

        features = block.dense()
        self._writer.write(features if block.labels is None else np.hstack([block.labels, features]))

    def finish(self) -> None:
        self._writer.finish()


class _Npz:
    """Each array grows in a file of its own before it goes into the archive."""

    def __init__(self, file: IO[bytes]) -> None:
        from optml.local.commands.numpy_files import NpyWriter

        self._file = file
        self._arrays = {name: tempfile.TemporaryFile() for name in ("features", "labels")}  # noqa: SIM115
        types = {"features": "float32", "labels": "float64"}
        self._writers = {name: NpyWriter(array, types[name]) for name, array in self._arrays.items()}

    def write(self, block: Records) -> None:
        self._writers["features"].write(block.dense())
        if block.labels is not None:
            self._writers["labels"].write(block.labels)

    def finish(self) -> None:
        import shutil

        with zipfile.ZipFile(self._file, "w") as archive:
            for name, array in self._arrays.items():
                if array.seek(0, io.SEEK_END):
                    self._writers[name].finish()
                    array.seek(0)
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        shutil.copyfileobj(array, member)
                array.close()


class _Parquet:
    def __init__(self, file: IO[bytes]) -> None:
        from pyarrow.parquet import ParquetWriter

        self._file = file
        self._writer: ParquetWriter | None = None

    def write(self, block: Records) -> None:
        from pyarrow.parquet import ParquetWriter, read_table

        from optml.formats import tabular
        from optml.formats.content_type import PARQUET, ContentType

        table = read_table(io.BytesIO(tabular.write(block, ContentType(PARQUET))))
        if self._writer is None:
            self._writer = ParquetWriter(self._file, table.schema)
        self._writer.write_table(table)

    def finish(self) -> None:
        if self._writer is not None:
            self._writer.close()

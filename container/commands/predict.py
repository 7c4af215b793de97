"""`optml predict`: predictions for one file, by a model folder (without a server) or a running endpoint."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from algorithms.errors import UserError
from container.commands.convert import form, read
from container.formats.content_type import RECORDIO_PROTOBUF

if TYPE_CHECKING:
    from algorithms.records import Records
    from container.formats.layout import Layout

NUMPY = (".npy", ".npz")

EPILOG = """\
examples:
  optml predict out/ --input data.csv
  optml predict out/ --input data.npy --accept csv --output predictions.csv
  optml predict http://localhost:8080 --input data.csv
"""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "model", metavar="MODEL|URL", help="a model folder, a model.tar.gz, or an endpoint's URL"
    )
    parser.add_argument("--input", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--content-type", metavar="TYPE", help="of the file; without: by its name, else its first bytes"
    )
    parser.add_argument("--accept", metavar="TYPE", help="jsonlines, csv, json, recordio-protobuf ...")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")


def run(args: argparse.Namespace) -> int:
    if not args.input.is_file():
        raise UserError(f"there is no file '{args.input}'")
    remote = args.model.startswith(("http://", "https://"))
    answer = (_ask if remote else _predict)(args.model, args.input, args.content_type, args.accept)
    if args.output:
        args.output.write_bytes(answer)
        return 0
    sys.stdout.buffer.write(answer)
    if sys.stdout.isatty() and not answer.endswith(b"\n"):
        print()
    return 0


def _predict(model: str, path: Path, content_type: str | None, accept: str | None) -> bytes:
    """In this process: the records come block by block, the predictions are gathered."""
    import numpy as np

    from container.formats.checks import check_finite
    from container.formats.content_type import JSON_LINES, ContentType
    from container.formats.layout import Layout
    from serving import codecs, models, negotiation
    from serving.errors import RequestError

    with _folder(Path(model)) as folder:
        served = models.load(folder)
    algorithm = served.algorithm
    wanted = str(ContentType.parse(accept)) if accept else JSON_LINES
    try:
        media, options = negotiation.of_answer(wanted, negotiation.writable(algorithm))
    except RequestError as refusal:
        raise UserError(str(refusal)) from None
    found = []
    layout = Layout(served.model.width, algorithm.label_size)
    for records in _records(path, content_type, layout):
        check_finite(records)
        found.append(served.model.predict(records, options))
    if not found:
        raise UserError(f"'{path}' holds no records")
    columns = {name: np.concatenate([each[name] for each in found]) for name in found[0]}
    answer = codecs.encode(columns, media, algorithm.response)
    return answer if media == RECORDIO_PROTOBUF or answer.endswith(b"\n") else answer + b"\n"


def _records(path: Path, content_type: str | None, layout: Layout) -> Iterator[Records]:
    from container.formats import tabular
    from container.formats.compression import decompressed
    from container.formats.content_type import ContentType, sniff

    if content_type is None and path.suffix in NUMPY:
        for block in read(path, form(path), layout.label_size):
            layout.check(block.width, block.where(0))
            yield block
        return
    with path.open("rb") as file:
        kind = ContentType.parse(content_type) if content_type else sniff(file.read(8192))
        file.seek(0)
        yield from tabular.read(decompressed(file, source=str(path)), kind, layout, source=str(path))


@contextmanager
def _folder(model: Path) -> Iterator[Path]:
    """The folder of an unpacked model, whatever it comes as."""
    from serving.models import unpacked

    if not model.is_file():
        with unpacked(model) as folder:
            yield folder
        return
    with tempfile.TemporaryDirectory(prefix="optml-predict-") as temporary:
        Path(temporary, "model.tar.gz").symlink_to(model.resolve())
        with ExitStack() as stack:
            try:
                folder = stack.enter_context(unpacked(Path(temporary)))
            except UserError as error:  # which calls the archive by the name it was given here
                raise UserError(str(error).replace("model.tar.gz", str(model), 1)) from error
            yield folder


def _ask(url: str, path: Path, content_type: str | None, accept: str | None) -> bytes:
    """By an endpoint, in one request."""
    from container.formats.compression import MAGIC
    from container.formats.content_type import ContentType, sniff
    from serving.client import Client

    if content_type is None and path.suffix in NUMPY:
        from container.formats.record_encoding import encode

        body = b"".join(encode(block) for block in read(path, form(path)))
        kind = ContentType(RECORDIO_PROTOBUF)
    else:
        body = path.read_bytes()
        kind = ContentType.parse(content_type) if content_type else sniff(body[:8192])
    headers = {"Content-Type": str(kind)}
    if body[:2] == MAGIC:
        headers["Content-Encoding"] = "gzip"
    if accept:
        headers["Accept"] = str(ContentType.parse(accept))
    with Client(url.rstrip("/").removesuffix("/invocations"), timeout=60.0, retries=0) as client:
        answer = client.post("/invocations", body, headers)
    if not answer.ok:
        raise UserError(f"{url} answers {answer.status}: {answer.body.decode(errors='replace').strip()}")
    return answer.body

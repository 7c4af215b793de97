"""`optml predict`: predictions for one file, by a model folder (without a server) or a running endpoint."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from algorithms.errors import UserError
from container.commands.convert import form, read
from container.formats.content_type import RECORDIO_PROTOBUF

if TYPE_CHECKING:
    import numpy as np

    from algorithms.base import Columns
    from algorithms.records import Records
    from container.formats.layout import Layout
    from serving.models import Served

NUMPY = (".npy", ".npz")

EPILOG = """\
examples:
  optml predict out/ --input data.csv
  optml predict out/ --input data.npy --accept csv --output predictions.csv
  optml predict out/ --input series.jsonl --plot forecasts.png
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
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the records as the model sees them")


def run(args: argparse.Namespace) -> int:
    if not args.input.is_file():
        raise UserError(f"there is no file '{args.input}'")
    remote = args.model.startswith(("http://", "https://"))
    if remote:
        if args.plot:
            raise UserError("--plot needs the model's folder, not an endpoint")
        answer = _ask(args.model, args.input, args.content_type, args.accept)
    else:
        answer = _predict(args.model, args.input, args.content_type, args.accept, args.plot)
    if args.output:
        args.output.write_bytes(answer)
        return 0
    sys.stdout.buffer.write(answer)
    if sys.stdout.isatty() and not answer.endswith(b"\n"):
        print()
    return 0


def _predict(
    model: str, path: Path, content_type: str | None, accept: str | None, plot: Path | None
) -> bytes:
    """In this process."""
    from algorithms.base import Answer
    from container.commands import picture
    from container.formats.content_type import JSON_LINES, ContentType
    from serving import codecs, models, negotiation
    from serving.errors import RequestError

    with _folder(Path(model)) as folder:
        served = models.load(folder)
    algorithm = served.algorithm
    if plot:
        picture.require(algorithm, plot, "--plot")
    wanted = str(ContentType.parse(accept)) if accept else JSON_LINES
    try:
        media, options = negotiation.of_answer(wanted, negotiation.writable(algorithm))
    except RequestError as refusal:
        raise UserError(str(refusal)) from None
    if algorithm.decode is not None:
        batches, columns = _whole(served, path, content_type, options)
    else:
        batches, columns = _by_block(served, path, content_type, options, kept=plot is not None)
    answer = None
    if algorithm.encode is not None:
        answer = algorithm.encode(columns, media, Answer())
    if answer is None:
        answer = codecs.encode(columns, media, algorithm.response)
    if plot:
        assert algorithm.picture is not None
        said = algorithm.picture(served.model, batches, plot)
        print(f"picture: {plot} ({said})", file=sys.stderr)
    return answer if media == RECORDIO_PROTOBUF or answer.endswith(b"\n") else answer + b"\n"


def _whole(
    served: Served, path: Path, content_type: str | None, options: Mapping[str, str]
) -> tuple[Any, Columns]:
    """What the algorithm makes of the file, and its predictions."""
    from container.formats.compression import decompressed
    from container.formats.content_type import ContentType, sniff

    decode = served.algorithm.decode
    assert decode is not None
    with path.open("rb") as file:
        body = decompressed(file, source=str(path)).read()
    kind = ContentType.parse(content_type) if content_type else sniff(body[:8192])
    if kind.media not in served.algorithm.content_types:
        raise UserError(
            f"'{path}' is read as {kind.media}; {served.algorithm.title} takes "
            f"{', '.join(served.algorithm.content_types)}: name one by --content-type"
        )
    batch = decode(body, kind.media, served.model)
    if not len(batch):
        raise UserError(f"'{path}' holds no records")
    return batch, served.model.predict(batch, options)


def _by_block(
    served: Served, path: Path, content_type: str | None, options: Mapping[str, str], *, kept: bool
) -> tuple[np.ndarray, Columns]:
    """The rows of a table, block by block, if they are to be kept for a picture, and all predictions."""
    import numpy as np

    from container.commands.picture import MOST
    from container.formats.checks import check_finite
    from container.formats.layout import Layout

    found: list[Columns] = []
    shown: list[np.ndarray] = []
    layout = Layout(served.model.width, served.algorithm.label_size or 0)
    for records in _records(path, content_type, layout):
        check_finite(records)
        found.append(served.model.predict(records, options))
        if kept and sum(map(len, shown)) < MOST:
            shown.append(records.dense())
    if not found:
        raise UserError(f"'{path}' holds no records")
    columns = {name: np.concatenate([each[name] for each in found]) for name in found[0]}
    return np.concatenate(shown)[:MOST] if shown else np.empty(0), columns


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

"""`optml predict`: predictions for one file, or for the pictures of a folder, by a model folder (without a
server) or a running endpoint.

A file is one request: what answers it is what answers a server's, so the bytes are the same.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path

from optml.errors import UserError
from optml.formats.content_type import JSON_LINES, RECORDIO_PROTOBUF, TEXT, ContentType, sniff
from optml.formats.records import concatenate
from optml.local.commands.convert import form, read

NUMPY = (".npy", ".npz")

EPILOG = """\
examples:
  optml predict out/ --input data.csv
  optml predict out/ --input data.npy --accept csv --output predictions.csv
  optml predict out/ --input series.jsonl --plot forecasts.png
  optml predict http://localhost:8080 --input data.csv
  optml predict out/ --input pictures/ --plot sheet.png
  optml predict out/ --input sentences.txt --vocabulary vocab.json

A file is sent as one request and kept in memory; of a folder each file is, and its answer is a
line behind its name. For many or large files there is optml transform.
"""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "model", metavar="MODEL|URL", help="a model folder, a model.tar.gz, or an endpoint's URL"
    )
    parser.add_argument("--input", type=Path, required=True, metavar="FILE|DIR")
    parser.add_argument(
        "--content-type", metavar="TYPE", help="of the file; without: by its name, else its first bytes"
    )
    parser.add_argument(
        "--accept",
        metavar="TYPE",
        help="of the answer: jsonlines (default), csv, json, recordio-protobuf ...",
    )
    parser.add_argument(
        "--vocabulary",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="JSON, token -> id: the file holds plain texts, a line each; twice: of each side of pairs",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the records as the model sees them")


DEFAULT = f"{JSON_LINES}, */*;q=0.1"  # the latter where an algorithm answers in the request's form alone


def run(args: argparse.Namespace) -> int:
    files = _files(args.input)
    accept = str(ContentType.parse(args.accept)) if args.accept else DEFAULT
    if args.model.startswith(("http://", "https://")):
        for name in ("plot", "vocabulary"):
            if getattr(args, name):
                raise UserError(f"--{name} needs the model's folder, not an endpoint")
        answers = [_ask(args.model, *_request(path, args.content_type), accept) for path in files]
    else:
        answers = _predict(args, files, accept)
    if args.input.is_dir():
        names = [path.relative_to(args.input).as_posix().encode() for path in files]
        answer = b"".join(b"%b\t%b\n" % pair for pair in zip(names, map(bytes.rstrip, answers), strict=True))
    else:
        (answer,) = answers
    if args.output:
        args.output.write_bytes(answer)
        return 0
    sys.stdout.buffer.write(answer)
    if sys.stdout.isatty() and not answer.endswith(b"\n"):
        print()
    return 0


def _files(path: Path) -> list[Path]:
    """The file, or those of a folder in the order of their names."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"there is no file '{path}'")
    files = sorted(one for one in path.rglob("*") if one.is_file() and not one.name.startswith("."))
    if not files:
        raise UserError(f"the folder '{path}' holds no files")
    return files


def _request(path: Path, content_type: str | None) -> tuple[bytes, ContentType]:
    """The file as the body of one request, gzip left as it is; arrays of NumPy as RecordIO-protobuf."""
    if content_type is None and path.suffix in NUMPY:
        from optml.formats.record_encoding import encode

        return b"".join(encode(block) for block in read(path, form(path))), ContentType(RECORDIO_PROTOBUF)
    body = path.read_bytes()
    return body, ContentType.parse(content_type) if content_type else sniff(body)


def _predict(args: argparse.Namespace, files: Sequence[Path], accept: str) -> list[bytes]:
    """The answers of a server of this model, within this process."""
    from optml.formats.compression import decompressed
    from optml.local.commands import picture, texts
    from optml.serving import models
    from optml.serving.batching import Gate
    from optml.serving.errors import RequestError
    from optml.serving.predictor import Predictor
    from optml.serving.settings import Settings

    plot: Path | None = args.plot
    with _folder(Path(args.model)) as folder:
        served = models.load(folder)
    if plot:
        picture.require(served.algorithm, plot, "--plot")
    predictor = Predictor(served, Gate(1), Settings.of_environment())
    plain = args.content_type == TEXT and served.algorithm.texts is not None
    answers, batches = [], []
    for path in files:
        if args.vocabulary or plain:
            how = texts.of(served.algorithm, "--vocabulary")
            body, form = texts.request(how, path, args.vocabulary, served.model), ContentType(JSON_LINES)
        else:
            body, form = _request(path, args.content_type)
            body = decompressed(BytesIO(body), source=str(path)).read()
        try:
            answers.append(predictor.answer(body, str(form), accept, math.inf)[0])
        except RequestError as refusal:
            hint = "; name one by --content-type" if refusal.code == "UnsupportedContentType" else ""
            raise UserError(f"{path}: {refusal.message}{hint}") from None
        if plot:
            batches.append(predictor.decode(body, form))
    if plot:
        assert served.algorithm.inference.picture is not None
        join = served.algorithm.inference.join or concatenate
        batch = picture.shown(served.algorithm, batches[0] if len(batches) == 1 else join(batches))
        said = served.algorithm.inference.picture(served.model, batch, plot)
        print(f"picture: {plot} ({said})", file=sys.stderr)
    return answers


@contextmanager
def _folder(model: Path) -> Iterator[Path]:
    """The folder of an unpacked model, whatever it comes as."""
    from optml.serving.models import unpacked

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


def _ask(url: str, body: bytes, content_type: ContentType, accept: str) -> bytes:
    """By an endpoint, in one request."""
    from optml.formats.compression import MAGIC
    from optml.local.client import Client

    headers = {"Content-Type": str(content_type), "Accept": accept}
    if body[:2] == MAGIC:
        headers["Content-Encoding"] = "gzip"
    with Client(url.rstrip("/").removesuffix("/invocations"), timeout=60.0, retries=0) as client:
        answer = client.post("/invocations", body, headers)
    if not answer.ok:
        raise UserError(f"{url} answers {answer.status}: {answer.body.decode(errors='replace').strip()}")
    return answer.body

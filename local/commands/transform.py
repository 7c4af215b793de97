"""`optml transform`: a batch transform job on a folder, through a real server."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from optml.errors import UserError

if TYPE_CHECKING:
    from optml.formats.content_type import ContentType
    from optml.local.transform.job import TransformSettings
    from optml.local.transform.payloads import SplitType

EPILOG = """\
Each file of the input becomes FILE.out in the same place of the output, its records in order. If a request
fails, its file gets no output, the others go on, and the exit code is 1. What is not said is as a transform
job would do best: records are split and assembled as the content type has them, answers come in the format
of the input. With OPTML_BAD_RECORD=null in the environment a record that cannot be answered costs no file: in
the place of its answer stands what is wrong with it.

examples:
  optml transform out/ --input data/ --output predictions/
  optml transform out/ --input data/ --output predictions/ --content-type text/csv \\
      --input-filter '$[1:]' --join-source Input --output-filter '$[0,-1]'
"""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.epilog = EPILOG
    add = parser.add_argument
    add("model", metavar="MODEL", type=Path, help="a model folder, or a model.tar.gz")
    add("--input", type=Path, required=True, metavar="DIR", help="a folder, or one file; gzip is removed")
    add("--output", type=Path, required=True, metavar="DIR")
    add("--content-type", metavar="TYPE", help="default: what the first file looks like")
    add("--accept", metavar="TYPE", help="default: the content type")
    add("--split-type", choices=("None", "Line", "RecordIO"), help="what a record is")
    add(
        "--strategy", choices=("MultiRecord", "SingleRecord"), help="records a request (default: MultiRecord)"
    )
    add("--assemble-with", choices=("None", "Line"), help="Line: a line end after each answer")
    add(
        "--max-payload-mb", type=int, metavar="N", help="of a request (default: 6; 0: no limit, sent chunked)"
    )
    add("--max-concurrent", type=int, metavar="N", help="requests at a time (default: as the server says)")
    add("--input-filter", default="$", metavar="JSONPATH", help="what of a record is sent")
    add("--output-filter", default="$", metavar="JSONPATH", help="what of an answer is kept")
    add(
        "--join-source", choices=("None", "Input"), default="None", help="Input: answers behind their records"
    )
    add("--docker", metavar="IMAGE", help="serve in a container of this image")
    add("-v", "--verbose", action="store_true", help="show the server's log")


def run(args: argparse.Namespace) -> int:
    from optml.local.endpoint import Endpoint
    from optml.local.transform.job import objects, transform

    logger = logging.getLogger("optml.local")
    logger.setLevel(logging.INFO)
    logger.handlers = [logging.StreamHandler(sys.stderr)]
    names = objects(args.input)
    settings = _settings(args, (args.input if args.input.is_file() else args.input / names[0]))
    log = sys.stderr.buffer if args.verbose else None
    environment = settings.environment()
    if bad_record := os.environ.get("OPTML_BAD_RECORD"):  # a container gets no other of our variables
        environment["OPTML_BAD_RECORD"] = bad_record
    with Endpoint(args.model, docker=args.docker, environment=environment, log=log) as endpoint:
        report = transform(args.input, args.output, endpoint.url, settings)
    for name, reason in report.failed.items():
        print(f"{name}: {reason}\n", file=sys.stderr)
    done, failed = len(report.done), len(report.failed)
    print(f"{done} of {done + failed} files transformed to {args.output}", file=sys.stderr)
    if failed:
        print(f"optml: {failed} failed: {', '.join(report.failed)}", file=sys.stderr)
    return 1 if failed else 0


def accept_for(content_type: ContentType) -> ContentType:
    """What answers come in, where nobody says: the format of the input, CSV for those that none comes in."""
    from optml.formats.content_type import CSV, IMAGE, LIBSVM, PARQUET, ContentType

    if content_type.media.startswith("image/") or content_type.media == IMAGE:
        return ContentType("*/*")
    return ContentType(CSV if content_type.media in (LIBSVM, PARQUET) else content_type.media)


def _settings(args: argparse.Namespace, first: Path) -> TransformSettings:
    from optml.formats.content_type import CSV, JSON_LINES, LIBSVM, RECORDIO_PROTOBUF, ContentType, sniff_file
    from optml.local.transform.job import TransformSettings

    content_type = ContentType.parse(args.content_type) if args.content_type else sniff_file(first)
    accept = ContentType.parse(args.accept) if args.accept else accept_for(content_type)
    lines = (CSV, JSON_LINES, LIBSVM)
    split: SplitType = "Line" if content_type.media in lines else "None"
    if content_type.media == RECORDIO_PROTOBUF:
        split = "RecordIO"
    assemble: Literal["None", "Line"] = args.assemble_with or ("Line" if accept.media in lines else "None")
    if args.max_concurrent is not None and args.max_concurrent < 1:
        raise UserError(f"--max-concurrent {args.max_concurrent}: expected a whole number from 1 on")
    return TransformSettings(
        content_type=str(content_type),
        accept=str(accept),
        split_type=args.split_type or split,
        assemble_with=assemble,
        batch_strategy=args.strategy,
        max_payload_mb=args.max_payload_mb,
        max_concurrent_transforms=args.max_concurrent,
        input_filter=args.input_filter,
        output_filter=args.output_filter,
        join_source=args.join_source,
    )

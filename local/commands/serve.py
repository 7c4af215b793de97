"""`optml serve`: a model behind the HTTP interface of a SageMaker endpoint."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, help="a model folder, or a model.tar.gz")
    parser.add_argument("--port", type=int, default=8080, help="default: 8080; 0: any free one")
    parser.add_argument("--docker", metavar="IMAGE", help="serve in a container of this image")
    parser.add_argument("--gpus", metavar="GPUS", help="for docker run, such as 'all'")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM; the exit code is the server's."""
    from optml.local.endpoint import Endpoint

    options = ["--gpus", args.gpus] if args.gpus else []
    endpoint = Endpoint(
        args.model, docker=args.docker, port=args.port, log=sys.stderr.buffer, docker_options=options
    )
    # Before it is ready as well: a server that loads for minutes can be ended.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *unused: endpoint.terminate())
    with endpoint:
        print(f"serving {args.model} at {endpoint.url}/invocations; Ctrl-C ends it", flush=True)
        return endpoint.wait()

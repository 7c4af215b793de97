"""`optml up`: the control plane, in the foreground."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from optml.errors import PlatformError, UserError

EPILOG = """\
SageMaker's API on this machine: AWS's SDKs and command line, unchanged, train, deploy and predict here. In
another terminal, `optml exec -- CMD` runs a program with the environment it needs, `optml env` prints it.
Ctrl-C ends the server and its endpoints; training jobs run on, and the next `optml up` takes them up again.
Everything lies in OPTML_HOME (default: ~/.optml).
"""
_NEEDED = ("botocore", "starlette", "uvicorn", "httptools", "jinja2", "yaml", "cbor2")


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.epilog = EPILOG
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="default: 127.0.0.1; any other needs --verify")
    add("--port", type=int, default=45660, help="default: 45660; 0: any free one")
    add("--slots", type=int, metavar="N", help="jobs at once (default: one per two processors)")
    add(
        "--engine",
        choices=("auto", "process", "docker"),
        default="auto",
        help="what runs jobs and models: containers where their image is here, else processes (auto)",
    )
    add("--bucket", action="append", default=[], metavar="NAME=DIR", help="show a folder as a bucket of S3")
    add("--no-limits", action="store_true", help="tuning jobs may go beyond the limits of AWS's accounts")
    add("--verify", metavar="KEY:SECRET", help="answer only what is signed with this key")


def run(args: argparse.Namespace) -> int:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise PlatformError(f"the control plane needs {', '.join(missing)}: pip install 'optml[control]'")
    from optml.local.control.context import Options
    from optml.local.control.environment import exports
    from optml.local.control.home import Home
    from optml.local.control.server import serve

    if args.slots is not None and args.slots < 1:
        raise UserError(f"--slots {args.slots}: expected a whole number from 1 on")
    home = Home.of_environment()
    options = Options(
        args.host,
        args.port,
        args.slots,
        args.engine,
        _verify(args.verify) if args.verify else None,
        dict(_bucket(text) for text in args.bucket),
        limits=not args.no_limits,
    )

    def ready(url: str) -> None:
        print(f"optml answers at {url}, and shows itself at {url}/console; in another terminal:")
        print("\n  optml exec -- python your_program.py\n\nor, for what you start by hand:\n")
        for name, value in exports(home, url, {}).items():
            print(f"  export {name}={value}")
        print("\nCtrl-C ends it; training jobs run on.", flush=True)

    serve(home, options, ready)
    return 0


def _bucket(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not equals or not name:
        raise UserError(f"--bucket {text}: expected NAME=DIR")
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise UserError(f"--bucket {text}: there is no folder '{folder}'")
    return name, path


def _verify(text: str) -> tuple[str, str]:
    key, colon, secret = text.partition(":")
    if not colon or not key or not secret:
        raise UserError("--verify: expected KEY:SECRET")
    return key, secret

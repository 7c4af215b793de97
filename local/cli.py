"""The program `optml`, for people: everything that the containers do, from a command line, without Docker.

Each command is a module of `local.commands` with `add_arguments(parser, words)` and `run(args) -> code`;
only the one that is asked for is imported, so that help comes at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from optml.errors import PlatformError, UserError

COMMANDS = {
    "train": "train an algorithm on your files",
    "tune": "train with many hyperparameters and find the best",
    "serve": "serve a model over HTTP, as a SageMaker endpoint does",
    "predict": "predict for a file, with a model folder or a running endpoint",
    "transform": "predict for every file of a folder, as a batch transform job does",
    "convert": "convert tables: CSV, NumPy, Parquet, libsvm, JSON lines, RecordIO-protobuf",
    "describe": "show an algorithm's hyperparameters, channels, formats and metrics",
    "list": "list the algorithms",
    "weights": "fetch and convert pretrained weights for the algorithms of images",
    "up": "run SageMaker's API on this machine, for AWS's SDKs and command line",
    "env": "print the environment of programs that talk to it",
    "exec": "run a program with that environment",
    "retag": "name an image as AWS's own, so that the SageMaker SDK's local mode runs it",
}

# As in the training contract: the user's fault, and the machine's.
_USER, _PLATFORM, _INTERRUPTED = 2, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Errors are one message on stderr, never a traceback."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        args, unknown = _parser(words).parse_known_args(words)
        if unknown:
            args.parser.error(_unknown(unknown[0], args.parser))
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except UserError as error:
        return _say(error, _USER)
    except PlatformError as error:
        return _say(error, _PLATFORM)
    except BrokenPipeError:  # `optml ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _say(f"{error.strerror}: {error.filename}" if error.filename else error, _PLATFORM)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="optml",
        description="The built-in algorithms of Amazon SageMaker, on any machine.",
        epilog="'optml COMMAND --help' tells more. An example:  "
        "optml train kmeans --train data.csv -p k=10 --model-dir out/",
    )
    parser.add_argument("--version", action=_Version)
    chosen = words[0] if words and words[0] in COMMANDS else None
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == chosen:
            command.allow_abbrev = False
            command.formatter_class = argparse.RawDescriptionHelpFormatter
            module = import_module(f"optml.local.commands.{name}")
            module.add_arguments(command, words[1:])
            command.set_defaults(run=module.run, parser=command, words=list(words))
    return parser


def _unknown(word: str, parser: argparse.ArgumentParser) -> str:
    """What is said of an argument that the command does not have."""
    from difflib import get_close_matches

    near = get_close_matches(word.partition("=")[0], parser._option_string_actions, n=1)
    return f"unrecognized argument {word}" + (f"; did you mean {near[0]}?" if near else "")


class _Version(argparse.Action):
    """Looks the version up only when asked."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version")

    def __call__(self, parser: argparse.ArgumentParser, *unused: object) -> None:
        from importlib.metadata import version

        print(f"optml {version('optml')}")
        parser.exit()


def _say(error: object, code: int) -> int:
    first, *rest = str(error).splitlines() or [type(error).__name__]
    print(f"optml: {first}", *rest, sep="\n       ", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())

"""`optml exec -- CMD`: run a program with the environment that talks to the control plane."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from optml.errors import UserError


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.epilog = "example:  optml exec -- python notebook.py"
    parser.add_argument(
        "program", nargs=argparse.REMAINDER, metavar="-- CMD", help="the program and its words"
    )


def run(args: argparse.Namespace) -> int:
    from optml.local.control.environment import REMOVED, address, exports
    from optml.local.control.home import Home

    program = args.program[1:] if args.program[:1] == ["--"] else args.program
    if not program:
        raise UserError("no program to run: optml exec -- CMD")
    home = Home.of_environment()
    variables = {**os.environ, **exports(home, address(home), os.environ)}
    for name in REMOVED:
        variables.pop(name, None)
    try:
        os.execvpe(program[0], program, variables)  # noqa: S606
    except FileNotFoundError:
        raise UserError(f"there is no program '{program[0]}'") from None

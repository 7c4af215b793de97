"""`optml env`: the environment of programs that talk to the control plane, for a shell to take over."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.epilog = 'example:  eval "$(optml env)"'


def run(args: argparse.Namespace) -> int:
    from optml.local.control.environment import REMOVED, address, exports
    from optml.local.control.home import Home

    home = Home.of_environment()
    for name, value in exports(home, address(home), os.environ).items():
        print(f"export {name}={shlex.quote(value)}")
    print(f"unset {' '.join(REMOVED)}")
    return 0

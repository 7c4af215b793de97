"""`optml describe`: what an algorithm publishes of itself."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH = 120  # characters, in a file or pipe


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("algorithm", metavar="SLUG", help="the algorithm; 'optml list' names them")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="all of it as JSON")
    form.add_argument(
        "--metric-definitions", action="store_true", help="what a custom image needs for tuning and charts"
    )
    form.add_argument(
        "--create-algorithm", action="store_true", help="the request of SageMaker's CreateAlgorithm call"
    )
    parser.add_argument(
        "--image",
        metavar="URI",
        help="the image of --create-algorithm (default: a name to replace)",
    )


def run(args: argparse.Namespace) -> int:
    from optml.algorithms.registry import get
    from optml.local import describe

    algorithm = get(args.algorithm)
    if args.metric_definitions:
        _print_json(describe.metric_definitions(algorithm))
    elif args.create_algorithm:
        image = args.image or f"ACCOUNT.dkr.ecr.REGION.amazonaws.com/optml/{algorithm.slug}:cpu"
        _print_json(describe.create_algorithm(algorithm, image))
    elif args.json:
        _print_json(describe.describe(algorithm))
    else:
        _print(describe.describe(algorithm))
    return 0


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False))


def _print(about: Mapping[str, Any]) -> None:
    from rich.console import Console

    terminal = Console(highlight=False)
    console = terminal if terminal.is_terminal else Console(highlight=False, width=_WIDTH)
    say = console.print
    say(f"{about['title']} ({about['slug']}): {about['task']}", markup=False)
    hyperparameters = _table("hyperparameter", "type", "default", "allowed", "meaning")
    for spec in about["hyperparameters"]:
        default = "required" if spec["required"] else _text(spec["default"])
        hyperparameters.add_row(spec["name"], spec["type"], default, _allowed(spec), spec["meaning"])
    channels = _table("channel", "", "content types", "modes", "layout")
    for spec in about["channels"]:
        needed = "required" if spec["required"] else "optional"
        types, modes = "\n".join(spec["content_types"]), "\n".join(spec["input_modes"])
        channels.add_row(spec["name"], needed, types, modes, spec["layout"])
    metrics = _table("metric", "objective", "when")
    for spec in about["metrics"]:
        metrics.add_row(spec["name"], spec["objective"] or "", spec["when"])
    for table in (hyperparameters, channels, metrics):
        say(table)
    inference = about["inference"]
    say(f"requests: {', '.join(inference['content_types'])}", markup=False)
    say(f"answers:  {', '.join(inference['accept'])}", markup=False)


def _table(*columns: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_edge=False, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(Text(column), overflow="fold", no_wrap=number == 0)
    return table


def _text(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _allowed(spec: Mapping[str, Any]) -> str:
    if spec["choices"]:
        return ", ".join(map(str, spec["choices"]))
    low = "" if spec["min"] is None else f"{'>' if spec['exclusive_min'] else '>='} {spec['min']}"
    high = "" if spec["max"] is None else f"<= {spec['max']}"
    return ", ".join(filter(None, (low, high)))

"""The data and hyperparameters of a job, as they stand on the command line."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from optml.errors import UserError

if TYPE_CHECKING:
    from optml.algorithms.base import Algorithm
    from optml.local.tree import Input


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Options for hyperparameters, and one for each channel of the algorithm that the command line names."""
    parser.add_argument(
        "-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="a hyperparameter"
    )
    parser.add_argument(
        "--content-type",
        action="append",
        default=[],
        metavar="[CHANNEL=]TYPE",
        help="such as 'text/csv;label_size=1'; without: told from the first bytes, or the algorithm's own",
    )
    parser.add_argument("--pipe", action="store_true", help="hand the data over in Pipe mode")
    group = parser.add_argument_group("channels")
    for name, meaning in _channels(words).items():
        group.add_argument(
            f"--{name}",
            dest=f"channel:{name}",
            nargs="+",
            action="extend",
            type=Path,
            metavar="PATH",
            help=meaning.replace("%", "%%"),
        )


@contextmanager
def opened(
    args: argparse.Namespace, algorithm: Algorithm
) -> Iterator[tuple[dict[str, str], dict[str, Input]]]:
    """Within, the hyperparameters and the channels by name; NumPy's files are tables there. The number of
    features is counted where the algorithm wants it. Raises UserError."""
    from optml.local.commands.inferred import feature_dim
    from optml.local.commands.numpy_files import as_recordio
    from optml.local.tree import Input

    hyperparameters = _pairs(args.parameter)
    sources: dict[str, list[Path]] = {
        name.removeprefix("channel:"): paths
        for name, paths in vars(args).items()
        if name.startswith("channel:") and paths
    }
    if not sources:
        raise UserError("there is no data: name it with --train PATH")
    content_types = _content_types(args.content_type, sources)
    with tempfile.TemporaryDirectory(prefix="optml-convert-") as converted:
        for name in sources:
            _check(name, sources[name])
            if name != "model":
                sources[name] = as_recordio(sources[name], Path(converted, name))
        if "feature_dim" in algorithm.hyperparameters.model_fields and "feature_dim" not in hyperparameters:
            width = feature_dim(algorithm, sources, content_types)
            if width:
                hyperparameters["feature_dim"], where = str(width[0]), width[1]
                print(f"feature_dim={width[0]}, counted in {where}", file=sys.stderr)
        yield (
            hyperparameters,
            {
                name: Input(
                    sources[name], content_types[name], "Pipe" if args.pipe and name != "model" else "File"
                )
                for name in sources
            },
        )


def _channels(words: Sequence[str]) -> dict[str, str]:
    """The channels of the algorithm that the command line names; of any, where it names none yet."""
    from optml.algorithms.registry import canonical, get

    # The slug comes first, but for options before it, whose values may be called like an algorithm.
    slug = next((slug for word in words if (slug := canonical(word))), None)
    if slug is None and not (words and not words[0].startswith("-")):
        return {"train": "the training data"}
    algorithm = get(slug or words[0])  # which says what that is not
    meanings = {spec.name: spec.meaning for spec in algorithm.training.channels}
    if algorithm.compute.incremental:
        meanings["model"] = "an earlier model (folder or model.tar.gz) to go on from"
    return meanings


def _pairs(parameters: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in parameters:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UserError(f"-p {text}: a hyperparameter is NAME=VALUE, as in -p k=10")
        if name in pairs:
            raise UserError(f"-p {name} is given twice: {pairs[name]} and {value}")
        pairs[name] = value
    return pairs


def _content_types(texts: Sequence[str], channels: Mapping[str, object]) -> dict[str, str | None]:
    """Channel -> content type: `TYPE` is that of all data channels, `CHANNEL=TYPE` of one."""
    content_types: dict[str, str | None] = dict.fromkeys(channels)
    common = None
    for text in texts:
        name, equals, rest = text.partition("=")
        if equals and name in channels:
            content_types[name] = rest
        elif equals and "/" not in name and ";" not in name:
            raise UserError(f"--content-type {text}: there is no channel '{name}' on the command line")
        else:
            common = text
    return {
        name: content_type or (common if name != "model" else None)
        for name, content_type in content_types.items()
    }


def _check(channel: str, sources: Sequence[Path]) -> None:
    from optml.local.feeder import files

    for source in sources:
        if not source.exists():
            raise UserError(f"channel '{channel}': there is no file or folder '{source}'")
    if not any(path.is_file() and path.stat().st_size for source in sources for path in files(source)):
        names = ", ".join(f"'{source}'" for source in sources)
        raise UserError(f"channel '{channel}' is empty: there are no data in {names}")

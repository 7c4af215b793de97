"""What a trained model says of its data, drawn: `optml train --picture`, `optml predict --plot`, reports."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms.base import Algorithm
from optml.container.channels import Channel
from optml.container.paths import Paths
from optml.container.sources import Source
from optml.errors import UserError
from optml.formats import tabular
from optml.formats.content_type import CSV, ContentType
from optml.formats.layout import Layout
from optml.formats.records import Records, concatenate
from optml.local import tree
from optml.local.tree import Input

MOST = 100_000  # rows that a picture shows
_NUMBERS = 1 << 26  # that they hold, dense
_ROLES = ("test", "validation", "train")  # of channels: the first that was given is drawn


def require(algorithm: Algorithm, path: Path, option: str = "--picture") -> None:
    """Raise UserError where no picture could be drawn in the end."""
    if algorithm.inference.picture is None:
        raise UserError(f"{option}: {algorithm.title} draws none")
    if path.suffix != ".png":
        raise UserError(f"{option} {path}: the name of a picture ends in .png")
    require_place(path, option)


def require_place(path: Path, option: str) -> None:
    """Raise UserError where matplotlib or the folder is missing."""
    if not path.absolute().parent.is_dir():
        raise UserError(f"{option} {path}: there is no folder {path.parent}")
    if find_spec("matplotlib") is None:
        raise UserError(f"{option} needs matplotlib, of the extra 'plot': pip install 'optml[plot]'")


def draw(
    algorithm: Algorithm,
    model: Path,
    inputs: Mapping[str, Input],
    path: Path,
    hyperparameters: Mapping[str, str],
) -> str:
    """Draw records of the job's data with the model in its folder: those of a test channel, else of a
    validation channel, else of train. Returns what to say of the picture.

    Raises UserError where the data do not say enough for one.
    """
    assert algorithm.inference.picture is not None
    trained = algorithm.inference.load(model, "cpu")
    name = next(
        spec.name
        for role in _ROLES
        for spec in algorithm.training.channels
        if spec.role == role and spec.name in inputs
    )
    with tempfile.TemporaryDirectory(prefix="optml-picture-") as folder:
        paths = Paths(Path(folder))
        tree.link(paths, tree.placed(name, inputs[name].sources))
        weighted = hyperparameters.get(algorithm.training.roles.weighted or "") == "1"
        batch = _batch(algorithm, trained, _channel(algorithm, inputs[name], name, paths), weighted)
        return f"{algorithm.inference.picture(trained, batch, path)}, of channel '{name}'"


def shown(algorithm: Algorithm, batch: Any) -> Any:
    """As much of a batch as a picture shows, as the algorithm takes it."""
    if not isinstance(batch, Records):
        return batch
    if not algorithm.training.sparse:
        batch = batch[: max(1, _NUMBERS // max(batch.width, 1))]
    batch = batch[:MOST]
    return batch if algorithm.training.sparse else Records(batch.dense(), batch.labels)


def _channel(algorithm: Algorithm, channel_input: Input, name: str, paths: Paths) -> Channel:
    spec = algorithm.training.channel(name)
    assert spec is not None
    content_type = ContentType.parse(channel_input.content_type) if channel_input.content_type else None
    return Channel(name, spec, paths.data / name, content_type=content_type)


def _batch(algorithm: Algorithm, model: Any, channel: Channel, weighted: bool) -> Any:
    if algorithm.inference.examples is not None:
        return algorithm.inference.examples(Source(channel, lambda: False), model)
    blocks: list[Records] = []
    rows = 0
    most = MOST if algorithm.training.sparse else min(MOST, _NUMBERS // max(model.width, 1) + 1)
    for source, stream in channel.streams():
        assert channel.content_type is not None
        weights = 1 if weighted and channel.content_type.media == CSV else 0  # columns before the features
        layout = Layout(model.width + weights, channel.spec.label_size)
        for block in tabular.read(stream, channel.content_type, layout, source=source):
            if weights:
                block = replace(block, features=np.ascontiguousarray(block.features[:, weights:]))
            blocks.append(block[: most - rows])
            rows += len(blocks[-1])
            if rows >= most:
                return shown(algorithm, concatenate(blocks))
    return shown(algorithm, concatenate(blocks))

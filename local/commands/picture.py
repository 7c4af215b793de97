"""What a trained model says of its training data, drawn: `optml train --picture FILE`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from optml.algorithms.base import Algorithm
from optml.errors import UserError
from optml.formats import tabular
from optml.formats.compression import decompressed
from optml.formats.content_type import ContentType, sniff
from optml.formats.layout import Layout
from optml.formats.records import Records, concatenate
from optml.local.feeder import files

MOST = 100_000  # rows that a picture shows
_HEAD = 8192  # bytes from which a format is told


def require(algorithm: Algorithm, path: Path, option: str = "--picture") -> None:
    """Raise UserError where no picture could be drawn in the end."""
    if algorithm.inference.picture is None:
        raise UserError(f"{option}: {algorithm.title} draws none")
    if path.suffix != ".png":
        raise UserError(f"{option} {path}: the name of a picture ends in .png")
    if not path.absolute().parent.is_dir():
        raise UserError(f"{option} {path}: there is no folder {path.parent}")
    if find_spec("matplotlib") is None:
        raise UserError(f"{option} needs matplotlib, of the extra 'plot': pip install 'optml[plot]'")


def draw(
    algorithm: Algorithm,
    model: Path,
    sources: Sequence[Path],
    content_type: str | None,
    path: Path,
) -> str:
    """Draw the first training rows with the model in its folder; returns what to say of the picture."""
    assert algorithm.inference.picture is not None
    trained = algorithm.inference.load(model, "cpu")
    rows = _rows(algorithm, sources, content_type, trained.width)
    return algorithm.inference.picture(trained, rows.dense(), path)


def _rows(algorithm: Algorithm, sources: Sequence[Path], given: str | None, width: int | None) -> Records:
    (spec,) = (spec for spec in algorithm.training.channels if spec.role == "train")
    blocks: list[Records] = []
    for path in (file for source in sources for file in files(source)):
        with path.open("rb") as file:
            content_type = ContentType.parse(given) if given else sniff(file.read(_HEAD))
            file.seek(0)
            stream = decompressed(file, source=path.name)
            layout = Layout(width, spec.label_size)
            for block in tabular.read(stream, content_type, layout, source=path.name):
                blocks.append(block[: MOST - sum(map(len, blocks))])
                if sum(map(len, blocks)) >= MOST:
                    return concatenate(blocks)
    return concatenate(blocks)

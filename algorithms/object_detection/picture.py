"""A contact sheet: pictures with the boxes that the model sees in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import charts
from optml.algorithms.object_detection.data import Batch, padded
from optml.algorithms.object_detection.model import Model
from optml.algorithms.object_detection.requests import Pictures, decode, join
from optml.algorithms.sources import Source

MOST = 12  # pictures on a sheet
COLUMNS = 4
SHOWN = 0.5  # the least score of a box that is drawn; of none so sure, the best one is


def draw(model: Model, batch: Pictures | Batch, path: Path) -> str:
    """Draw pictures with the boxes of a score of .5 and more (or the best one), and thinly the right ones
    where they are known, as a PNG. Returns what to say of it."""
    pixels = batch.pixels[:MOST]
    answers = [_sure(rows) for rows in model.detections(pixels)]
    columns = min(COLUMNS, len(pixels))
    rows = -(-len(pixels) // columns)
    title = f"Object Detection: {len(pixels)} pictures, {model.facts.design}"
    size = (max(3.2 * columns, 6), 3.4 * rows + 0.6)
    with charts.sheet(path, title, rows=rows, columns=columns, size=size) as axes:
        for place, axis in enumerate(axes.flat):
            axis.set_axis_off()
            if place >= len(pixels):
                continue
            height, width = _size(batch, place)
            picture = pixels[place].clip(0, 255).astype(np.uint8)
            axis.imshow(picture, extent=(0, width, height, 0))
            if isinstance(batch, Batch):
                for _, *corners, _ in batch.truths[place][batch.truths[place, :, 0] >= 0].tolist():
                    _frame(axis, corners, (height, width), "white", 0.8)
            for number, score, *corners in answers[place].tolist():
                colour = charts.CYCLE[int(number) % len(charts.CYCLE)]
                _frame(axis, corners, (height, width), colour, 1.6)
                label = f"{model.facts.label(int(number))} {score:.0%}"
                axis.text(
                    corners[0] * width, corners[1] * height, label,
                    fontsize=6, color="white", va="bottom", bbox={"color": colour, "pad": 0.6},
                )  # fmt: skip
    return f"{len(pixels)} pictures with {sum(map(len, answers))} boxes"


def _sure(rows: np.ndarray) -> np.ndarray:
    return rows[: max(1, int((rows[:, 1] >= SHOWN).sum()))]


def _size(batch: Pictures | Batch, place: int) -> tuple[int, int]:
    if isinstance(batch, Pictures):
        height, width = batch.sizes[place].tolist()
        return height, width
    return batch.pixels.shape[1], batch.pixels.shape[2]


def _frame(axis: Any, corners: list[float], size: tuple[int, int], colour: str, width: float) -> None:
    left, top, right, bottom = np.array(corners) * (size[1], size[0], size[1], size[0])
    axis.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color=colour, lw=width)


def examples(source: Source, model: Model) -> Batch | Pictures:
    """The first pictures of a channel, as the model sees them, with their boxes where the channel has them:
    those of JSON files are in another one."""
    from optml.algorithms.vision import channel
    from optml.algorithms.vision.boxes import boxes
    from optml.formats.content_type import IMAGE, ContentType, sniff

    files = source.files() or ()
    alone = [path for _, path in files[:MOST] if sniff(path.read_bytes()[:64]).media.startswith("image/")]
    if alone:
        return join([decode(path.read_bytes(), ContentType(IMAGE), model) for path in alone])
    index = channel.read(source)
    count = min(MOST, len(index))
    pictures = join([decode(index.encoded(place), ContentType(IMAGE), model) for place in range(count)])
    labels = boxes(index, model.facts.design.classes)
    return Batch(pictures.pixels, padded([labels[place] for place in range(count)]))

"""A contact sheet: pictures, and beside each the same with the classes that the model tells laid over it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optml.algorithms import charts
from optml.algorithms.semantic_segmentation.facts import Facts
from optml.algorithms.semantic_segmentation.model import Model
from optml.algorithms.semantic_segmentation.requests import Pictures, decode, join
from optml.algorithms.sources import Source

MOST = 12  # pictures on a sheet
PAIRS = 3  # of a picture and its mask, side by side
SHOWN = 12  # classes in the legend, those of most pixels first
SHARE = 0.6  # of a class's colour in a pixel


def draw(model: Model, batch: Pictures, path: Path) -> str:
    """Draw pictures and their masks as a PNG. Returns what to say of it."""
    from matplotlib.patches import Patch

    count = min(len(batch), MOST)
    pairs = min(PAIRS, count)
    rows = -(-count // pairs)
    title = f"Semantic Segmentation: {count} pictures, {model.facts}"
    counts = np.zeros(256, np.int64)
    colours = _colours(model.facts)
    size = (max(5.2 * pairs, 6), 2.1 * rows + 1.4)
    with charts.sheet(path, title, rows=rows, columns=2 * pairs, size=size) as axes:
        for axis in axes.flat:
            axis.set_axis_off()
        for place in range(count):
            pixels = batch.pixels[place]
            classes = model.scored(pixels, pixels.shape[:2]).classes()
            counts += np.bincount(classes.ravel(), minlength=256)
            left, right = axes.flat[2 * place : 2 * place + 2]
            left.imshow(pixels)
            right.imshow(((1 - SHARE) * pixels + SHARE * colours[classes]).astype(np.uint8))
        often = [number for number in np.argsort(-counts, kind="stable")[:SHOWN].tolist() if counts[number]]
        names = charts.shortened([model.facts.label(number) for number in often])
        shares = counts / max(counts.sum(), 1)
        patches = [
            Patch(color=colours[number] / 255, label=f"{name} {shares[number]:.0%}")
            for number, name in zip(often, names, strict=True)
        ]
        axes.flat[0].figure.legend(handles=patches, loc="outside lower center", ncols=6, fontsize=8)
    return f"{count} pictures, {len(often)} classes in them" if counts.any() else "no pictures"


def _colours(facts: Facts) -> np.ndarray:
    """(256, 3) float64: those of the palette of training, else colours that can be told apart."""
    if len(facts.palette) >= 3 * facts.classes and any(facts.palette[: 3 * facts.classes]):
        colours = np.zeros((256, 3))
        there = np.frombuffer(facts.palette, np.uint8).reshape(-1, 3)[:256]
        colours[: len(there)] = there
        return colours
    base = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in charts.CYCLE])
    numbers = np.arange(256)
    lighter = (numbers // len(base) % 4)[:, None] / 4  # of each round the colours are lighter
    array: np.ndarray = base[numbers % len(base)] * (1 - lighter) + 255 * lighter
    return array


def examples(source: Source, model: Model) -> Pictures:
    """The first pictures of a channel, as the model sees them."""
    from optml.algorithms.vision import channel
    from optml.formats.content_type import IMAGE, ContentType, sniff

    files = source.files() or ()
    alone = [path for _, path in files[:MOST] if sniff(path.read_bytes()[:64]).media.startswith("image/")]
    if alone:
        return join([decode(path.read_bytes(), ContentType(IMAGE), model) for path in alone])
    index = channel.read(source)
    count = min(MOST, len(index))
    return join([decode(index.encoded(place), ContentType(IMAGE), model) for place in range(count)])

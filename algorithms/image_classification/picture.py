"""A contact sheet: pictures with what the model takes them for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optml.algorithms import charts
from optml.algorithms.image_classification.data import Batch
from optml.algorithms.image_classification.model import Model
from optml.algorithms.image_classification.requests import Pictures, decode, join
from optml.algorithms.sources import Source

MOST = 30  # pictures on a sheet
COLUMNS = 6
LONGEST = 22  # letters of a name


def draw(model: Model, batch: Pictures | Batch, path: Path) -> str:
    """Draw pictures, each with its most probable label and, where it is known, the right one, as a PNG.
    Returns what to say of it."""
    labels = batch.labels[:MOST] if isinstance(batch, Batch) else None
    pixels = batch.pixels[:MOST]
    probabilities = model.probabilities(pixels)
    columns = min(COLUMNS, len(pixels))
    rows = -(-len(pixels) // columns)
    title = f"Image Classification: {len(pixels)} pictures, {model.facts.architecture}"
    right = 0
    with charts.sheet(
        path, title, rows=rows, columns=columns, size=(max(2.1 * columns, 6), 2.6 * rows + 0.6)
    ) as axes:
        for place, axis in enumerate(axes.flat):
            axis.set_axis_off()
            if place >= len(pixels):
                continue
            picture = pixels[place].clip(0, 255).astype(np.uint8)
            axis.imshow(picture if picture.shape[2] == 3 else picture[..., 0], cmap="gray", vmin=0, vmax=255)
            text, good = _caption(model, probabilities[place], None if labels is None else labels[place])
            right += bool(good)
            color = charts.MUTED if good is None else charts.BLUE if good else charts.RED
            axis.set_title(text, fontsize=8, color=color)
    title = f"{len(pixels)} pictures"
    return title if labels is None else f"{title}, {right} of them told right"


def _caption(model: Model, probabilities: np.ndarray, label: np.ndarray | None) -> tuple[str, bool | None]:
    """What stands above a picture, and whether the model is right; None: nobody knows."""
    if model.facts.multi_label:
        answer = np.flatnonzero(probabilities >= 0.5)
        text = _shown(", ".join(model.facts.label(int(number)) for number in answer) or "nothing")
        if label is None:
            return text, None
        wanted = np.flatnonzero(label)
        good = bool(np.array_equal(answer, wanted))
        own = _shown(", ".join(model.facts.label(int(number)) for number in wanted) or "nothing")
        return text if good else f"{text}\nis {own}", good
    best = int(probabilities.argmax())
    text = f"{_shown(model.facts.label(best))} {probabilities[best]:.0%}"
    if label is None:
        return text, None
    good = best == int(label)
    return text if good else f"{text}\nis {_shown(model.facts.label(int(label)))}", good


def _shown(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def examples(source: Source, model: Model) -> Batch | Pictures:
    """The first pictures of a channel, as the model sees them, with their labels where the channel has them:
    those of a `.lst` are in another one."""
    from optml.algorithms.vision import channel, labels
    from optml.formats.content_type import IMAGE, ContentType, sniff

    files = source.files() or ()
    alone = [path for _, path in files[:MOST] if sniff(path.read_bytes()[:64]).media.startswith("image/")]
    if alone:
        return join([decode(path.read_bytes(), ContentType(IMAGE), model) for path in alone])
    index = channel.read(source)
    count = min(MOST, len(index))
    pictures = join([decode(index.encoded(place), ContentType(IMAGE), model) for place in range(count)])
    if model.facts.multi_label:
        truth = labels.multi_hot(index, model.facts.classes).astype(np.float32)
    else:
        truth = labels.classes(index, model.facts.classes)
    return Batch(pictures.pixels, truth[:count])

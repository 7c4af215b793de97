"""A picture of what a model looks at while it says a target, for people."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optml.algorithms import charts
from optml.algorithms.seq2seq.model import Model, Request
from optml.algorithms.seq2seq.records import read
from optml.algorithms.sources import Source

MOST = 4  # sentences of a picture
COLUMNS = 2
LONGEST = 40  # tokens of a side that have room


def examples(source: Source, model: Model) -> Request:
    """The first sources of a channel."""
    pairs = read(source, model.vocabularies.sizes)
    rows = np.arange(min(len(pairs), MOST))
    return Request(pairs.sources.take(rows).cut(LONGEST), np.ones(len(rows), bool))


def draw(model: Model, batch: Request, path: Path) -> str:
    """Draw the attention of some sentences as a PNG: a row for each token that is said, a column for each
    that is looked at. Returns what to say of it."""
    rows = np.arange(min(len(batch), MOST))
    request = Request(batch.sources.take(rows).cut(LONGEST), np.ones(len(rows), bool))
    found = model.translations(request)
    names = model.vocabularies.words(0)
    columns = min(COLUMNS, max(len(found), 1))
    lines = -(-max(len(found), 1) // columns)
    title = "Sequence-to-Sequence: attention"
    with charts.sheet(path, title, rows=lines, columns=columns, size=(6.5 * columns, 5.5 * lines)) as axes:
        flat = [axis for row in axes for axis in row]
        for axis, one, bounds in zip(flat, found, request.sources.bounds, strict=False):
            sources = [names[number] for number in request.sources.ids[bounds : bounds + _width(one.weights)]]
            targets = [model.words[number] for number in one.ids]
            if one.weights is None or not one.weights.size:
                axis.set_axis_off()
                continue
            axis.imshow(one.weights, cmap="Greys", vmin=0, vmax=1, aspect="auto")
            axis.set_xticks(range(len(sources)), sources, rotation=60, ha="right", fontsize=8)
            axis.set_yticks(range(len(targets)), targets, fontsize=8)
            axis.set_title(" ".join(targets)[:60], fontsize=9)
        for axis in flat[len(found) :]:
            axis.set_axis_off()
    return f"the attention of {len(found)} translations"


def _width(weights: np.ndarray | None) -> int:
    return 0 if weights is None else weights.shape[1]

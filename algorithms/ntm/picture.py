"""A picture of topics and their words, for people."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optml.algorithms.ntm.model import Model
from optml.algorithms.topics.picture import sheet
from optml.formats.records import Records


def draw(model: Model, batch: Records, path: Path) -> str:
    """Draw the words of the topics that documents hold most of, as a PNG. Returns what to say of it.

    A word's bar: how much more often than the mean word of its topic it occurs, exp(weight) over the mean.
    """
    shares = model.predict(batch, {})["topic_weights"].mean(axis=0)
    projection = model.parameters.projection[0].astype(np.float64)
    heights = np.exp(projection - projection.mean(axis=0))
    title = "Neural Topic Model"
    return sheet(path, title, shares, heights, len(batch), model.vocabulary, "times as often as other words")

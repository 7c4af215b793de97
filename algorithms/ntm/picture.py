"""A picture of topics and their words, for people."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from optml.algorithms import charts
from optml.algorithms.ntm.model import Model
from optml.algorithms.topics.topics import top
from optml.formats.records import Records

TOPICS, WORDS = 12, 8  # most in the picture
COLUMNS = 4


def draw(model: Model, batch: Records, path: Path) -> str:
    """Draw the words of the topics that documents hold most of, as a PNG. Returns what to say of it.

    A word's bar: how much more often than the mean word of its topic it occurs, exp(weight) over the mean.
    """
    weights = model.predict(batch, {})["topic_weights"].mean(axis=0)
    projection = model.parameters.projection[0]
    order = np.argsort(-weights, kind="stable")[:TOPICS]
    words = top(projection[:, order], WORDS)
    columns = min(COLUMNS, math.ceil(math.sqrt(len(order))))
    rows = -(-len(order) // columns)
    kind = "" if len(order) == len(weights) else f", the {len(order)} most frequent ones"
    title = f"Neural Topic Model: {len(weights):,} topics of {len(batch):,} documents{kind}"
    names = model.vocabulary
    with charts.sheet(path, title, rows=rows, columns=columns, size=(13, 1 + 2.4 * rows)) as axes:
        for number, axis in enumerate(axes.flat):
            if number >= len(order):
                axis.set_visible(False)
                continue
            column = projection[:, order[number]].astype(np.float64)
            heights = np.exp(column[words[number]] - column.mean())
            texts = [names[word] if names else f"word {word}" for word in words[number].tolist()]
            title = f"Topic {order[number]}: {weights[order[number]]:.1%} of the text"
            charts.bars(axis, texts, heights, title, "times as often as other words")
    return f"{len(order)} of {len(weights)} topics"

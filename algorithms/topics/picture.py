"""Topics and their words as a sheet of bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from optml.algorithms import charts
from optml.algorithms.topics.topics import top

TOPICS, WORDS = 12, 8  # most in the picture
COLUMNS = 4


def sheet(
    path: Path,
    model: str,
    shares: np.ndarray,
    heights: np.ndarray,
    documents: int,
    vocabulary: Sequence[str] | None,
    label: str,
) -> str:
    """Draw the largest words of the topics with the largest shares (K,) of so many documents, as a PNG; a
    bar is as high as its entry of heights (words, K), which `label` names. Returns what to say of it."""
    order = np.argsort(-shares, kind="stable")[:TOPICS]
    words = top(heights[:, order], WORDS)
    columns = min(COLUMNS, math.ceil(math.sqrt(len(order))))
    rows = -(-len(order) // columns)
    kind = "" if len(order) == len(shares) else f", the {len(order)} most frequent ones"
    title = f"{model}: {len(shares):,} topics of {documents:,} documents{kind}"
    with charts.sheet(path, title, rows=rows, columns=columns, size=(13, 1 + 2.4 * rows)) as axes:
        for number, axis in enumerate(axes.flat):
            if number >= len(order):
                axis.set_visible(False)
                continue
            texts = [vocabulary[word] if vocabulary else f"word {word}" for word in words[number].tolist()]
            title = f"Topic {order[number]}: {shares[order[number]]:.1%} of the text"
            charts.bars(axis, texts, heights[words[number], order[number]], title, label)
    return f"{len(order)} of {len(shares)} topics"

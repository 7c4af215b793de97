"""A picture of how well scores tell usual addresses from others, for people."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optml.algorithms import charts
from optml.algorithms.ip_insights import pairs
from optml.algorithms.ip_insights.model import Model
from optml.algorithms.ip_insights.pairs import Pairs
from optml.algorithms.sources import Source
from optml.errors import UserError

SCORED = 50_000  # pairs at most
SEED = 0  # of the random addresses


def examples(source: Source, model: Model) -> Pairs:
    """The first pairs of a channel."""
    block = next(pairs.read(source.streams()), None)
    if block is None:
        raise UserError(f"channel '{source.name}' holds no pairs")
    return block


def draw(model: Model, batch: Pairs, path: Path) -> str:
    """Draw the scores of pairs beside those of the same entities with random addresses, as a PNG: how many of
    both lie where, and how many lie below a threshold. Returns what to say of it."""
    batch = Pairs(batch.hashes[:SCORED], batch.addresses[:SCORED])
    drawn = np.random.default_rng(SEED).integers(0, 1 << 32, len(batch), dtype=np.uint32)
    usual = model.predict(batch, {})["dot_product"].astype(np.float64)
    random = model.predict(Pairs(batch.hashes, drawn), {})["dot_product"].astype(np.float64)
    area = _area(usual, random)
    title = f"IP Insights: {len(batch):,} pairs of an entity and its address"
    with charts.sheet(path, title, columns=2, size=(12, 4.6)) as axes:
        left, right = axes[0]
        edges = np.histogram_bin_edges(np.concatenate([usual, random]), bins=60)
        kinds = (
            (random, charts.CYCLE[1], "--", "random addresses"),
            (usual, charts.BLUE, "-", "these pairs"),
        )
        for scores, color, style, label in kinds:
            left.hist(scores, bins=edges, color=color, alpha=0.6, label=label)
            ordered = np.sort(scores)
            right.step(ordered, np.arange(1, len(ordered) + 1) / len(ordered), where="post", color=color,
                       linestyle=style, label=label)  # fmt: skip
        left.set_ylabel("pairs")
        left.set_title("Scores")
        right.set_ylabel("share of them below")
        right.set_title(f"What a threshold would report: area under the ROC curve {area:.4g}")
        for axis, corner in ((left, "upper left"), (right, "lower right")):
            axis.set_xlabel("score (dot product): low is unusual")
            axis.legend(frameon=False, loc=corner)
    return f"{len(batch):,} pairs, area under the ROC curve {area:.4g} against random addresses"


def _area(usual: np.ndarray, random: np.ndarray) -> float:
    """The probability that a usual pair scores above a random one; of equal scores, half."""
    ordered = np.sort(random)
    below = np.searchsorted(ordered, usual, "left") + np.searchsorted(ordered, usual, "right")
    return float(below.mean() / 2 / len(random))

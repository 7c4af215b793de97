"""A picture of a factorization machine's answers and factors, for people."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optml.algorithms import charts
from optml.algorithms.factorization_machines.model import Model
from optml.formats.records import Records

FEATURES = 12  # that the plot of pairs shows


def draw(model: Model, batch: Records, path: Path) -> str:
    """Draw answers against labels (confusion and calibration, or residuals) where the records have labels,
    else the answers; and how the features of the longest factors act in pairs; as a PNG. Returns what to say
    of it."""
    answers = model.predict(batch, {})
    score = answers["score"].astype(np.float64)
    truth = charts.labels_of(batch)
    k = model.factors.shape[1]
    title = f"Factorization Machines: a {model.predictor_type} of {model.width:,} features, {k} factors each"
    with charts.sheet(path, title, rows=2, columns=2, size=(12, 8.5)) as axes:
        if truth is None:
            sentence = f"answers to {len(batch):,} records"
            charts.histogram(axes[0, 0], score, "Scores", "score")
            axes[0, 1].set_visible(False)
        elif model.predictor_type == "regressor":
            sentence = charts.regression(axes[0], truth, score)
        else:
            sentence = charts.binary(axes[0], truth, answers["predicted_label"], score)
        ids = np.arange(len(model.factors)) if model.ids is None else model.ids
        lengths = np.linalg.norm(model.factors, axis=1)
        longest = np.argsort(-lengths, kind="stable")[:FEATURES]
        names = [f"feature {ids[place]}" for place in longest]
        charts.bars(axes[1, 0], names, lengths[longest], "The longest factors", "length of the factors")
        pairs = model.factors[longest] @ model.factors[longest].T
        np.fill_diagonal(pairs, 0)  # a feature is in no pair with itself
        charts.heat(axes[1, 1], pairs, "What these add to a score in pairs", "product of the factors")
        places = np.arange(len(longest))
        axes[1, 1].set_xticks(places, [str(ids[place]) for place in longest], rotation=90)
        axes[1, 1].set_yticks(places, [str(ids[place]) for place in longest])
        axes[1, 1].set_xlabel("feature")
        axes[1, 1].set_ylabel("feature")
    return sentence

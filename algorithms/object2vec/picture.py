"""A picture of the embeddings of inputs, as a map, and of how well pairs are scored, for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import charts
from optml.algorithms.object2vec.model import Model, Request
from optml.algorithms.object2vec.records import read
from optml.algorithms.sources import Source
from optml.errors import UserError

MOST = 2000  # inputs that a map shows
NAMED = 40  # of them that have a name beside them


@dataclass(frozen=True, slots=True)
class Labelled:
    """Pairs, and their labels (n,)."""

    request: Request
    labels: np.ndarray


def examples(source: Source, model: Model) -> Labelled:
    """The first pairs of a channel."""
    pairs = read(source, model.hyperparameters)
    if not len(pairs):
        raise UserError(f"channel '{source.name}' holds no pairs")
    rows = np.arange(min(len(pairs), MOST))
    longest = [encoder.max_seq_len for encoder in model.hyperparameters.encoders]
    first, second = (side.take(rows).cut(most) for side, most in zip(pairs.sides, longest, strict=True))
    return Labelled(Request((first, second)), pairs.labels[rows])


def draw(model: Model, batch: Request | Labelled, path: Path) -> str:
    """Draw a map of the inputs' embeddings, and the scores of pairs against their labels where there are
    such, as a PNG. Returns what to say of it."""
    labels = batch.labels if isinstance(batch, Labelled) else None
    request = batch.request if isinstance(batch, Labelled) else batch
    embedded: dict[int, np.ndarray] = {
        side: model.embeddings(side, sequences.take(np.arange(min(len(sequences), MOST))))
        for side, sequences in enumerate(request.sides)
        if sequences is not None
    }
    title = f"Object2Vec: {len(request):,} {'pairs' if len(embedded) == 2 else 'inputs'}"
    columns = 1 if labels is None else 3
    with charts.sheet(path, title, columns=columns, size=(6.5 if columns == 1 else 15, 5)) as axes:
        text = _map(axes[0][0], embedded)
        if labels is None:
            return text
        scores = model.predict(request, {})["scores"]
        if model.hyperparameters.classifier:
            answers = scores.argmax(axis=1)
            sure = scores[np.arange(len(answers)), answers]
            about = charts.confusion(axes[0][1], labels.astype(np.int64), answers)
            charts.calibration(axes[0][2], sure, answers == labels, "probability of the answer")
        else:
            about = charts.regression(axes[0][1:], labels.astype(np.float64), scores[:, 0].astype(np.float64))
    return f"{text}; {about}"


def _map(axis: Any, embedded: Mapping[int, np.ndarray]) -> str:
    """The embeddings by their two widest directions; few are numbered, as they came."""
    every = np.concatenate(list(embedded.values())).astype(np.float64)
    centred = every - every.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    flat = np.zeros((len(every), 2))
    count = min(2, len(directions))
    flat[:, :count] = centred @ directions[:count].T
    share = float((sizes[:2] ** 2).sum() / max((sizes**2).sum(), 1e-30))
    start = 0
    for side, values in embedded.items():
        part = flat[start : start + len(values)]
        start += len(values)
        axis.plot(
            part[:, 0], part[:, 1], ".", color=charts.CYCLE[side], markersize=6, alpha=0.6, label=f"in{side}"
        )
        if len(every) <= NAMED:
            for number, (x, y) in enumerate(part.tolist(), 1):
                axis.annotate(str(number), (x, y), xytext=(3, 3), textcoords="offset points", fontsize=8)
    axis.set_title(f"Map of embeddings: {100 * share:.0f} % of their variance")
    axis.set_xlabel("first principal direction")
    axis.set_ylabel("second")
    axis.legend(frameon=False)
    return f"a map of {len(every):,} embeddings"

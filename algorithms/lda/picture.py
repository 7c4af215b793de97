"""A picture of topics and their words, for people."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optml.algorithms.lda.model import Model
from optml.algorithms.topics.picture import sheet
from optml.formats.records import Records


def draw(model: Model, batch: Records, path: Path) -> str:
    """Draw the words of the topics that documents hold most of, as a PNG. Returns what to say of it.

    A word's bar: its chance in the topic.
    """
    shares = model.predict(batch, {})["topic_mixture"].mean(axis=0)
    title = "Latent Dirichlet Allocation"
    beta = model.beta.T.astype(np.float64)
    return sheet(path, title, shares, beta, len(batch), model.vocabulary, "share of the topic's words")

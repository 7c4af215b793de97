"""A picture of the neighbours of words, or of how well texts are classified, for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from optml.algorithms import charts
from optml.algorithms.blazingtext.classifier import Classifier, Texts
from optml.algorithms.blazingtext.text import Text
from optml.algorithms.blazingtext.vectors import ROWS, Lookup, WordVectors
from optml.algorithms.blazingtext.vocabulary import END, LABEL
from optml.algorithms.sources import Source

WORDS, NEAR, COLUMNS = 9, 7, 3  # words in a picture, neighbours of each, words in a row
SHORT = 4  # letters below which a frequent word is taken for one that says little
LINES = 5000  # of text, at most
SKIPPED = 50  # of the most frequent words that are not short: they say little, too
FREQUENT = 2000  # words among which those to draw are looked for


@dataclass(frozen=True, slots=True)
class Labelled:
    """Lines of text and the first label of each."""

    texts: Texts
    labels: Sequence[str]


def examples(source: Source, model: Classifier | WordVectors) -> Lookup | Labelled:
    """Of a classifier the first labelled lines of a channel; of word vectors some frequent words that are not
    short, by and by rarer ones."""
    if isinstance(model, WordVectors):
        entries = model.vocabulary.entries
        frequent = [entries[number] for number in range(min(model.vocabulary.words, FREQUENT))]
        frequent = [word for word in frequent if word != END]
        long = [word for word in frequent if len(word.decode("utf-8", "replace")) >= SHORT]
        words = long or frequent
        first = SKIPPED if len(words) > 4 * SKIPPED else 0
        places = np.geomspace(first + 1, len(words), min(WORDS, len(words) - first)) - 1
        return Lookup([words[place] for place in np.unique(places.astype(int)).tolist()])
    lines, labels = [], []
    every = (line.split() for block in Text(source, whole=True).blocks() for line in block.split(b"\n"))
    for tokens in islice(every, LINES):
        own = [token for token in tokens if token.startswith(LABEL)]
        if own:
            lines.append(b" ".join(token for token in tokens if not token.startswith(LABEL)))
            labels.append(own[0].decode("utf-8", "replace"))
    return Labelled(Texts(lines, [1] * len(lines)), labels)


def draw(model: Classifier | WordVectors, batch: Lookup | Texts | Labelled, path: Path) -> str:
    """Draw the nearest words of words, or the labels of texts (confusion and calibration where they are
    known), as a PNG. Returns what to say of it."""
    if isinstance(model, WordVectors):
        assert isinstance(batch, Lookup)
        return _neighbours(model, batch, path)
    labels = batch.labels if isinstance(batch, Labelled) else None
    texts = batch.texts if isinstance(batch, Labelled) else batch
    assert isinstance(texts, Texts)
    return _labels(model, texts, labels, path)


def _neighbours(model: WordVectors, batch: Lookup, path: Path) -> str:
    words = list(dict.fromkeys(batch.words))[:WORDS]
    columns = min(COLUMNS, max(len(words), 1))
    rows = max(1, -(-len(words) // columns))
    places, cosines = _nearest(model, words)
    title = f"BlazingText: the nearest of {model.vocabulary.words:,} words, {model.settings.dim} dimensions"
    with charts.sheet(path, title, rows=rows, columns=columns, size=(13, 1 + 2.3 * rows)) as axes:
        for number, axis in enumerate(axes.flat):
            if number >= len(words):
                axis.set_visible(False)
                continue
            near = [
                (model.vocabulary.entries[place].decode("utf-8", "replace"), cosine)
                for place, cosine in zip(places[number].tolist(), cosines[number].tolist(), strict=True)
                if cosine != 0 and model.vocabulary.entries[place] not in (words[number], END)
            ][:NEAR]
            names, values = [name for name, _ in near], np.array([cosine for _, cosine in near])
            known = (
                "" if model.known(words[number]) else " (not seen in training)" if near else " (no vector)"
            )
            text = charts.shortened([words[number].decode("utf-8", "replace")])[0]
            charts.bars(axis, names, values, f"{text}{known}", "cosine")
            axis.set_xlim(min(0, 1.1 * float(values.min(initial=0))), 1)
    return f"the nearest words of {len(words)}"


def _nearest(model: WordVectors, words: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and cosines (q, m) of the words nearest to these, themselves among them, nearest first."""
    asked = _units(np.asarray(model.predict(Lookup(words), {})["vector"]))
    count = model.vocabulary.words
    cosines = np.empty((len(words), count), np.float32)
    for start in range(0, count, ROWS):
        stop = min(start + ROWS, count)
        cosines[:, start:stop] = asked @ _units(model.matrix(start, stop)).T
    places = np.argsort(-cosines, axis=1, kind="stable")[:, : NEAR + 2]
    return places, np.take_along_axis(cosines, places, axis=1)


def _units(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1))


def _labels(model: Classifier, texts: Texts, labels: Sequence[str] | None, path: Path) -> str:
    probabilities, known = model.probabilities(texts.lines)
    answers = probabilities.argmax(axis=1)
    sure = probabilities[np.arange(len(answers)), answers]
    names = [model.vocabulary.label(number) for number in range(model.vocabulary.labels)]
    plain = [name.removeprefix(LABEL.decode()) for name in names]
    title = f"BlazingText: {len(texts):,} texts, {len(names):,} labels"
    with charts.sheet(path, title, columns=2, size=(12, 5)) as axes:
        left, right = axes[0]
        if labels:
            numbers = {name: number for number, name in enumerate(names)}
            truth = np.array([numbers.get(label, len(names)) for label in labels])
            said = charts.confusion(left, truth, answers, [*plain, "(unknown)"])
            charts.calibration(right, sure, truth == answers, "probability of the answer")
        else:
            counts = np.bincount(answers[known], minlength=len(names))
            order = np.argsort(-counts, kind="stable")[: charts.CLASSES]
            charts.bars(left, [plain[place] for place in order], counts[order], "Answers", "texts")
            charts.histogram(right, sure[known], "How sure the answers are", "probability of the answer")
            said = f"answers to {len(texts):,} texts"
    return said

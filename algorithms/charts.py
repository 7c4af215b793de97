"""What the pictures of models share: a sheet to draw on, colours that everybody can tell apart, and the plots
of answers against labels.

matplotlib is imported when something is drawn. Text is drawn as it is: a dollar sign begins no formula.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

BLUE, RED, MUTED, PALE = "#2f5d8a", "#c8352b", "#555555", "#dddddd"
# Okabe and Ito, "Color Universal Design", 2008: told apart with any colour vision.
CYCLE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8A7F00", "#333333")
POINTS = 4000  # most points of a scatter plot
CLASSES = 20  # most rows of a confusion matrix
LONGEST = 24  # letters of a name beside a bar
TICKS = 15  # of a side of a matrix
BINS = 10  # of a calibration plot

_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "figure.titlesize": 12.5,
    "font.size": 9.5,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}


@contextmanager
def sheet(
    path: Path,
    title: str,
    *,
    rows: int = 1,
    columns: int = 1,
    size: tuple[float, float] = (12, 5),
    dpi: int = 100,
    **layout: Any,
) -> Iterator[Any]:
    """Within, axes (rows, columns) to draw on; at the end they are written to `path` as a PNG.

    size: inches.   layout: as `matplotlib.figure.Figure.subplots` takes it.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # by itself: no window, and no state that threads share
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # words of every script come by
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.06))
        axes = figure.subplots(rows, columns, squeeze=False, **layout)
        figure.suptitle(title, x=0.01, ha="left")
        yield axes
        figure.savefig(path, dpi=dpi, pil_kwargs={"optimize": True})


def sample(count: int, most: int = POINTS) -> np.ndarray:
    """Places of at most `most` of so many rows, ascending, the same in every run."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def points(axis: Any, x: np.ndarray, y: np.ndarray, **options: Any) -> None:
    axis.plot(x, y, ".", color=BLUE, markersize=6, alpha=0.5, markeredgewidth=0, **options)


def shortened(names: Sequence[object]) -> list[str]:
    texts = (" ".join(str(name).split()) for name in names)
    return [text if len(text) <= LONGEST else text[: LONGEST - 1] + "…" for text in texts]


def bars(axis: Any, names: Sequence[object], values: np.ndarray, title: str, label: str) -> None:
    """Horizontal bars, the first on top; a negative one is red."""
    places = np.arange(len(values))
    axis.barh(places, values, color=np.where(np.asarray(values) < 0, RED, BLUE), height=0.7)
    axis.set_yticks(places, shortened(names))
    axis.set_ylim(len(values) - 0.4, -0.6)
    axis.axvline(0, color=MUTED, linewidth=0.8)
    axis.grid(visible=True, axis="x")
    axis.grid(visible=False, axis="y")
    axis.set_xlabel(label)
    axis.set_title(title)


def largest(axis: Any, values: np.ndarray, title: str, label: str, names: Sequence[str] = ()) -> None:
    """Bars of the features (d,) whose values are largest, whatever their sign."""
    places = np.argsort(-np.abs(values), kind="stable")[:15]
    names = [names[place] if names else f"feature {place}" for place in places]
    bars(axis, names, values[places], title, label)


def heat(axis: Any, matrix: np.ndarray, title: str, label: str) -> None:
    """A matrix of signed values: orange below 0, purple above."""
    most = float(np.abs(matrix).max(initial=0)) or 1.0
    image = axis.imshow(matrix, aspect="auto", cmap="PuOr", vmin=-most, vmax=most, interpolation="nearest")
    axis.grid(visible=False)
    for count, mark in zip(matrix.shape, (axis.set_yticks, axis.set_xticks), strict=True):
        mark(np.arange(0, count, -(-count // TICKS)))
    axis.figure.colorbar(image, ax=axis, label=label)
    axis.set_title(title)


def curves(axis: Any, series: Mapping[str, Sequence[float]], title: str) -> None:
    """Values in their order, one line for each name."""
    for number, (name, values) in enumerate(series.items()):
        color, style = CYCLE[number % len(CYCLE)], ("-", "--", "-.", ":")[number % 4]
        marker = "o" if len(values) <= 50 else None
        axis.plot(
            np.arange(1, len(values) + 1), values, style, color=color, marker=marker, markersize=3, label=name
        )
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_xlabel("value number")
    axis.set_title(title)
    axis.legend(frameon=False)


def histogram(axis: Any, values: np.ndarray, title: str, label: str) -> None:
    axis.hist(values, bins=40, color=BLUE)
    axis.set_xlabel(label)
    axis.set_ylabel("records")
    axis.set_title(title)


def frequencies(axis: Any, answers: np.ndarray, title: str) -> None:
    """How often each class is the answer."""
    classes, counts = np.unique(answers, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:CLASSES]
    bars(axis, [f"{classes[place]:g}" for place in order], counts[order], title, "records")


def separation(axis: Any, scores: np.ndarray, positive: np.ndarray, label: str) -> None:
    """The scores of the records of label 0 and of label 1 (positive: (n,) bool)."""
    edges = np.histogram_bin_edges(scores, bins=40)
    for number, (rows, color) in enumerate(((~positive, MUTED), (positive, CYCLE[1]))):
        axis.hist(scores[rows], bins=edges, color=color, alpha=0.65, label=f"label {number}")
    axis.set_xlabel(label)
    axis.set_ylabel("records")
    axis.legend(frameon=False)
    axis.set_title("Scores by label")


def regression(axes: Sequence[Any], truth: np.ndarray, answers: np.ndarray) -> str:
    """Two plots, answers (n,) against labels (n,) and their residuals; returns what to say of them."""
    against, below = axes
    residuals = truth - answers
    rmse = float(np.sqrt(np.mean(np.square(residuals))))
    shown = sample(len(truth))
    ends = [min(truth.min(), answers.min()), max(truth.max(), answers.max())]
    against.plot(ends, ends, color=MUTED, linewidth=1, linestyle="--", label="answer = label")
    points(against, truth[shown], answers[shown], label="record")
    against.set_xlabel("label")
    against.set_ylabel("answer")
    against.legend(frameon=False, loc="upper left")
    against.set_title(f"Answers against labels: RMSE {rmse:.4g}")
    histogram(below, residuals, f"Residuals: mean {residuals.mean():.3g}", "label - answer")
    below.axvline(0, color=RED, linewidth=1)
    return f"RMSE {rmse:.4g} over {len(truth):,} records"


def confusion(axis: Any, truth: np.ndarray, answers: np.ndarray, names: Sequence[str] | None = None) -> str:
    """Counts by label (down) and answer (across), a row's colour by its shares; returns what to say of it.

    truth, answers: (n,) numbers of classes.   names: of the classes; None: their numbers.
    """
    accuracy = float(np.mean(truth == answers))
    classes, counts = np.unique(np.concatenate([truth, answers]), return_counts=True)
    shown = np.sort(classes[np.argsort(-counts, kind="stable")[:CLASSES]])
    size = len(shown)
    rows = np.searchsorted(shown, truth).clip(max=size - 1)
    columns = np.searchsorted(shown, answers).clip(max=size - 1)
    inside = (shown[rows] == truth) & (shown[columns] == answers)
    matrix = np.zeros((size, size), np.int64)
    np.add.at(matrix, (rows[inside], columns[inside]), 1)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    if size <= 12:
        for (row, column), count in np.ndenumerate(matrix):
            color = "white" if shares[row, column] > 0.5 else "#222222"
            axis.text(column, row, f"{count:,}", ha="center", va="center", color=color, fontsize=9)
    texts = shortened([names[int(label)] if names else f"{label:g}" for label in shown])
    long = max(map(len, texts)) > 4
    axis.set_xticks(np.arange(size), texts, rotation=90 if long else 0)
    axis.set_yticks(np.arange(size), texts)
    axis.grid(visible=False)
    axis.set_xlabel("answer")
    axis.set_ylabel("label")
    most = "" if len(classes) <= CLASSES else f" (the {CLASSES} most frequent of {len(classes)} classes)"
    axis.set_title(f"Confusion: accuracy {accuracy:.4g}{most}")
    return f"accuracy {accuracy:.4g} over {len(truth):,} records"


def calibration(axis: Any, probabilities: np.ndarray, happened: np.ndarray, what: str) -> None:
    """Probabilities (n,) against how often it came so (happened: (n,) bool), in bins of as many records.

    The error in the title: the mean distance of the bins from the diagonal, weighted by their records
    (Naeini, Cooper, Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015).
    """
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    expected = np.array([probabilities[part].mean() for part in parts])
    observed = np.array([happened[part].mean() for part in parts])
    error = float(np.average(np.abs(expected - observed), weights=[len(part) for part in parts]))
    axis.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--", label="calibrated")
    axis.plot(expected, observed, "o-", color=BLUE, markersize=5, label="a tenth of the records")
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(-0.02, 1.02)
    axis.set_xlabel(what)
    axis.set_ylabel("share that it was so")
    axis.legend(frameon=False, loc="lower right")
    axis.set_title(f"Calibration: error {error:.3g}")


def binary(axes: Sequence[Any], truth: np.ndarray, answers: np.ndarray, score: np.ndarray) -> str:
    """Two plots of a binary classifier, confusion and calibration; the latter by what scores tell where they
    are no probabilities. Returns what to say of them."""
    if score.min() >= 0 and score.max() <= 1:
        calibration(axes[1], score, truth == 1, "probability of label 1")
    else:
        separation(axes[1], score, truth == 1, "score")
    return confusion(axes[0], truth, answers)


def labels_of(batch: Any) -> np.ndarray | None:
    """The first label of each record, (n,) float64; None where there are none, or some are missing."""
    labels = batch.labels
    if labels is None or not labels.size or not np.isfinite(labels[:, 0]).all():
        return None
    return np.asarray(labels[:, 0], np.float64)

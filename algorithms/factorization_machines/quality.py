"""The metrics of both predictor types, made from what batches add up to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from optml.algorithms.kernels.factorized import HITS, LOSS, POSITIVES, ROWS, SECOND
from optml.algorithms.metrics import Metric, MetricSpec


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric by the word in its name and by that in its log line, as AWS prints it."""

    name: str
    word: str
    kind: Literal["loss", "score"]
    predictor_type: str

    @property
    def objective(self) -> Literal["Minimize", "Maximize"]:
        return "Minimize" if self.kind == "loss" else "Maximize"


ACCURACY, CROSS_ENTROPY = "binary_classification_accuracy", "binary_classification_cross_entropy"

MEASURES = (
    Measure("rmse", "rmse", "loss", "regressor"),
    Measure("mse", "mse", "loss", "regressor"),
    Measure("absolute_loss", "absolute_loss", "loss", "regressor"),
    Measure(ACCURACY, ACCURACY, "score", "binary_classifier"),
    Measure(CROSS_ENTROPY, CROSS_ENTROPY, "loss", "binary_classifier"),
    Measure("binary_f_beta", "binary_f_{token}", "score", "binary_classifier"),
)
STOPPING_METRICS = {"regressor": "rmse", "binary_classifier": CROSS_ENTROPY}  # of early stopping
BETA = "1.000"  # of F: AWS prints it as a part of the word


def specs() -> Iterator[MetricSpec]:
    """Of the test channel, of epochs, of batches and of the validation channel."""
    for channel, place, suffix, when in (
        ("test", ",", "", "test channel"),
        ("train", ", epoch={epoch},", ":epoch", "each epoch: mean over its batches, each before its update"),
        ("train", ", epoch={epoch}, batch={batch}", "", "some batches: mean since the epoch began"),
        ("validation", ", epoch={epoch},", "", "each epoch, validation channel"),
    ):
        for measure in MEASURES:
            yield MetricSpec(
                f"{channel}:{measure.name}{suffix}",
                f"#quality_metric: host={{host}}{place} {channel} {measure.word} <{measure.kind}>={{value}}",
                measure.objective,
                f"{when}; {measure.predictor_type}",
            )


def metrics(
    channel: str, tallies: np.ndarray, predictor_type: str, suffix: str = "", batch: int | None = None
) -> list[Metric]:
    """The metrics of rows that add up to `tallies` (9,)."""
    rows = max(float(tallies[ROWS]), 1.0)
    loss, second = float(tallies[LOSS]) / rows, float(tallies[SECOND]) / rows
    if predictor_type == "regressor":
        values = (math.sqrt(loss) if loss >= 0 else math.nan, loss, second)
    else:
        values = (second, loss, 2 * float(tallies[HITS]) / max(float(tallies[POSITIVES]), 1.0))
    of_type = [measure for measure in MEASURES if measure.predictor_type == predictor_type]
    return [
        Metric(f"{channel}:{measure.name}{suffix}", value, batch=batch, token=BETA)
        for measure, value in zip(of_type, values, strict=True)
    ]

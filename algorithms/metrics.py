"""Measured values, and the lines that the log has of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

# How most of AWS's images print a value of the final model beside the metric's own line, and how some do.
SCORE = "#{channel}_score ({host}) : ('{word}', {value})"

SCORE_IN_BRACKETS = "#{channel}_score ({host}, {word}): {value}"


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric as tuning jobs and charts know it.

    `line` is the log line as AWS prints it, with {value}, {host} and, where it has them, {epoch}, {batch} and
    {token} to fill in; the published regular expression is made from it, so the two cannot disagree.
    `score` is a second line for values of a final model (`Metric.score`), with {channel}, {host}, {word} (the
    one before " <loss>" in `line`), {value} and {token}; "": there is none. A metric without a `line` has
    this one alone.
    """

    name: str  # "test:msd"
    line: str  # "#quality_metric: host={host}, test msd <loss>={value}"
    objective: Literal["Minimize", "Maximize"] | None = None
    when: str = ""
    regex: str = ""  # the published one, where the line alone does not tell it
    score: str = SCORE


# What the container itself prints of every job, and the formats in which tables come and go.
PROGRESS = MetricSpec(
    "train:progress", "#progress_metric: host={host}, completed {value} % of epochs", None, "each epoch"
)

THROUGHPUT = MetricSpec(
    "train:throughput",
    "#throughput_metric: host={host}, train throughput={value} records/second",
    None,
    "each epoch",
)


@dataclass(frozen=True, slots=True)
class Metric:
    """A measured value of the metric that `MetricSpec.name` describes.

    token: what AWS makes part of the metric's word in the line: the "1.000" of `binary_f_1.000`.
    model: of the models trained side by side, the one measured: each gets a `#metrics` line, the first alone
           the metric's own line too.
    score: a value of the final model, which has the line `MetricSpec.score` too.
    beside: values of other names, which only a `#metrics` line has, with this one.
    """

    name: str
    value: float
    epoch: int | None = None
    batch: int | None = None
    token: str = ""
    model: int | None = None
    score: bool = False
    beside: Mapping[str, float] = field(default_factory=dict)

"""The test channel: what is scored, and what of it cannot be."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from optml.algorithms.forecasting_deepar.data import data
from optml.errors import UserError
from tests.algorithms.forecasting_deepar.sample import START, channel, setting, waves

torch = pytest.importorskip("torch")

from optml.algorithms.forecasting_deepar.learner import Learner  # noqa: E402
from tests.algorithms.forecasting_deepar.training import train  # noqa: E402


def test_the_test_channel_is_scored(caplog: pytest.LogCaptureFixture) -> None:
    records = [record | {"cat": [number % 2]} for number, record in enumerate(waves())]
    learner, _ = train(records, test_quantiles=(0.5, 0.9))
    learner.finish()
    with caplog.at_level(logging.INFO, "optml"):
        batches = data(channel(*records, name="test"), learner.setting).epoch(0)
        metrics = list(learner.evaluate("test", batches))
    assert [metric.name.removeprefix("test:") + metric.token for metric in metrics] == [
        "RMSE", "mean_absolute_QuantileLoss", "mean_wQuantileLoss", "wQuantileLoss0.5", "wQuantileLoss0.9",
    ]  # fmt: skip
    values = [metric.value for metric in metrics]
    assert values[2] == pytest.approx(np.mean(values[3:]))
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def categories(count: int = 12, length: int = 120, first: int = 0) -> list[dict[str, Any]]:
    return [record | {"cat": [first + number % 2]} for number, record in enumerate(waves(count, length))]


def begun(tests: list[dict[str, Any]], resume: bool = False) -> tuple[Learner, Any]:
    """A learner that has seen one batch, or goes on from a checkpoint, and its test channel."""
    made = setting()
    test = data(channel(*tests, name="test"), made)
    made = replace(made, train=data(channel(*categories()), made))
    draw = next(made.train.epoch(0))
    learner = Learner(replace(made, tests={} if resume else {"test": test}))
    list(learner.update(draw))
    if resume:
        state = learner.state_dict()
        learner = Learner(replace(made, tests={"test": test}))
        learner.load_state_dict(state)
    return learner, test


@pytest.mark.parametrize("resume", [False, True])
def test_test_series_that_cannot_be_scored_are_told_before_training_and_left_out(
    caplog: pytest.LogCaptureFixture, resume: bool
) -> None:
    strange = categories(2, first=5)
    blank = [{"start": START, "target": [1.0] * 20 + [None] * 4, "cat": [1]}]
    short = [{"start": START, "target": [1.0, 2.0, 3.0], "cat": [1]}]
    _, test = begun([*categories(3), *strange, *blank, *short], resume)
    assert [len(part) for part in test.epoch(0)] == [3]
    assert [line for line in caplog.messages if "not scored" in line] == [
        "1 of 7 test series are shorter than prediction_length=4 (the first is series 6, cat [1]): "
        "not scored",
        "2 of 7 test series have categories that channel 'train' does not (the first is series 3, cat [5]): "
        "not scored",
        "1 of 7 test series have no value among the last 4 (the first is series 5, cat [1]): not scored",
    ]


@pytest.mark.parametrize(
    ("tests", "problem"),
    [
        (waves(), "its series have no cat, those of channel 'train' 1"),
        (
            [record | {"cat": [0, 1]} for record in waves()],
            "its series have 2 cat, those of channel 'train' 1",
        ),
        (
            [record | {"dynamic_feat": [[1.0] * 120]} for record in categories()],
            "its series have 1 dynamic_feat, those of channel 'train' none",
        ),
        (categories(4, first=2), "4 of 4 test series have categories that channel 'train' does not"),
        (categories(4, 3), "4 of 4 test series are shorter than prediction_length=4"),
    ],
)
def test_a_test_channel_that_cannot_be_scored_ends_the_job_before_training(
    tests: list[dict[str, Any]], problem: str
) -> None:
    with pytest.raises(UserError, match="channel 'test' cannot be scored") as error:
        begun(tests)
    assert problem in str(error.value)


def test_a_test_channel_of_series_shorter_than_a_context_brings_no_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun(categories(4, 7))
    assert not caplog.messages

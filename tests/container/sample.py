"""An algorithm for tests of the container: all that an algorithm declares, and no mathematics."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from optml.algorithms.answers import Response
from optml.algorithms.base import Algorithm, ChannelSpec, Hyperparameters, Inference, Training
from optml.algorithms.metrics import MetricSpec

RECORDIO = "application/x-recordio-protobuf"


class SampleHyperparameters(Hyperparameters):
    k: int = Field(ge=1)
    rate: float = Field(0.5, gt=0, le=1)


def unused(*_: object) -> Any:
    raise AssertionError


SAMPLE = Algorithm(
    slug="sample",
    title="Sample",
    task="nothing",
    hyperparameters=SampleHyperparameters,
    training=Training(
        channels=(
            ChannelSpec("train", "train", required=True, default_content_type=RECORDIO, label_size=0),
            ChannelSpec("validation", "validation"),
            ChannelSpec("test", "test"),
        ),
        metrics=(
            MetricSpec("test:msd", "test msd={value}", "Minimize"),
            MetricSpec("train:msd", "train msd={value}", "Minimize"),
        ),
        learner=unused,
    ),
    inference=Inference(
        content_types=("text/csv",),
        accepts=("application/json",),
        response=Response(),
        load=unused,
        recognises=unused,
    ),
)

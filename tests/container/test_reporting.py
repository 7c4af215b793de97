"""The log of a job: what is said where, and by whom."""

from __future__ import annotations

import io
import logging
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import optml
from optml.algorithms import registry
from optml.algorithms.metrics import Metric
from optml.container import reporting

ROOT = Path(optml.__file__).parents[2]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root, ours = logging.getLogger(), logging.getLogger("optml")
    handlers, levels, raising = root.handlers[:], (root.level, ours.level), logging.raiseExceptions
    stream = io.StringIO()
    reporting.start_logging(stream)
    yield stream
    logging.captureWarnings(False)
    logging.raiseExceptions = raising
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@pytest.mark.parametrize(
    "layer", ["algorithms.kmeans.learner", "container.channels", "formats.csv", "memory"]
)
def test_what_our_modules_say_for_information_reaches_the_log(log: io.StringIO, layer: str) -> None:
    logging.getLogger(f"optml.{layer}").info("read %d rows", 3)
    logging.getLogger("some.library").info("chatter")
    assert "INFO" in log.getvalue()
    assert log.getvalue().endswith("] read 3 rows\n")
    reporting.set_level("warning")
    logging.getLogger(f"optml.{layer}").info("more")
    assert "more" not in log.getvalue()


def test_a_module_gets_its_logger_by_its_own_name_alone() -> None:
    """A name that is written out goes on to name what a move has renamed, and its lines are lost."""
    folders = ("algorithms", "container", "formats", "local", "serving")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert files
    lines = [line for path in files for line in path.read_text().splitlines() if "log = logging.get" in line]
    assert lines
    assert set(lines) == {"log = logging.getLogger(__name__)"}


@pytest.mark.parametrize(
    ("slug", "metrics", "lines"),
    [
        (
            "kmeans",
            [Metric("test:msd", 0.5)],
            ["#test_score (algo-1) : ('msd', 0.5)", "#quality_metric: host=algo-1, test msd <loss>=0.5"],
        ),
        (
            "ntm",
            [Metric("test:total_loss", 6.5, epoch=3)],
            [
                "#test_score (algo-1, total_loss): 6.5",
                "#quality_metric: host=algo-1, epoch=3, test total_loss <loss>=6.5",
            ],
        ),
        (
            "ntm",
            [Metric("validation:total_loss", 6.5, epoch=3)],
            ["#quality_metric: host=algo-1, epoch=3, validation total_loss <loss>=6.5"],
        ),
        (
            "forecasting-deepar",
            [
                Metric("test:RMSE", 0.5),
                Metric("test:mean_absolute_QuantileLoss", 8),
                Metric("test:mean_wQuantileLoss", 0.25),
                Metric("test:wQuantileLoss", 0.125, token="0.9"),
            ],
            [
                "#test_score (algo-1, RMSE): 0.5",
                "#test_score (algo-1, mean_absolute_QuantileLoss): 8.0",
                "#test_score (algo-1, mean_wQuantileLoss): 0.25",
                "#test_score (algo-1, wQuantileLoss[0.9]): 0.125",
                "#quality_metric: host=algo-1, test RMSE <loss>=0.5",
                "#quality_metric: host=algo-1, test mean_wQuantileLoss <loss>=0.25",
            ],
        ),
    ],
)
@pytest.mark.parametrize("leader", [True, False])
def test_a_final_value_is_printed_once_in_each_form_that_aws_has_for_it(
    log: io.StringIO, slug: str, metrics: list[Metric], lines: list[str], leader: bool
) -> None:
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, reporting.Handler)
    report = reporting.Report(
        registry.get(slug), handler, host="algo-1", leader=leader, epochs=1, began=time.time()
    )
    report.metrics(replace(metric, score=True) for metric in metrics)
    printed = [re.sub(r"^\[.*?\] ", "", line) for line in log.getvalue().splitlines()]
    assert printed == (lines if leader else [])

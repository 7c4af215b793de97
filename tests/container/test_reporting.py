"""The log of a job: what is said where, and by whom."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import optml
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

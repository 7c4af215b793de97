"""The loop in process, stopped at moments that a signal would have to hit by luck."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optml.algorithms.base import Setting
from optml.container import reporting
from optml.container.checkpoint import Checkpoints
from optml.container.group import Alone
from optml.container.loop import Loop, Plan
from optml.container.readahead import Ahead
from optml.container.reporting import Handler, Report
from optml.container.stop import Stop
from optml.errors import UserError
from optml.formats.column_order import ColumnOrder
from tests.contract.toy import ALGORITHM, ToyHyperparameters, ToyLearner, ToyModel


class Batches:
    """Three batches an epoch; `hook(epoch, batch)` is called before each, and at the end."""

    def __init__(self, hook: Callable[[int, int], object] = lambda epoch, batch: None) -> None:
        self.hook = hook

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        for index in range(3):
            self.hook(number, index)
            yield np.array([number + index, 1.0])
        self.hook(number, 3)


class Run:
    """One process' worth of a job."""

    def __init__(self, folder: Path, *, train: Any = None, validation: Any = None, **values: Any) -> None:
        self.stop = Stop()
        self.text = io.StringIO()
        self.published: list[ToyModel] = []
        handler = Handler(self.text)
        self.report = Report(ALGORITHM, handler, host="algo-1", leader=True, epochs=3, began=time.time())
        self.learner = ToyLearner(Setting(ToyHyperparameters(**values), Alone()))
        self.validation = validation or Batches()
        self.checkpoints = Checkpoints(folder, folder, name="toy-0", fingerprint="same")
        self.train = train or Batches()
        self.cluster: Any = Alone()
        self.columns = ColumnOrder()

    def go(self) -> Run:
        plan = Plan(self.train, {"validation": self.validation}, {}, epochs=3, checkpoint_every=0)
        Loop(
            self.learner,
            plan,
            cluster=self.cluster,
            report=self.report,
            checkpoints=self.checkpoints,
            stop=self.stop,
            publish=self.published.append,  # type: ignore[arg-type]
            columns=self.columns,
        ).run()
        return self


@pytest.fixture
def undisturbed(tmp_path: Path) -> Run:
    (tmp_path / "undisturbed").mkdir()
    return Run(tmp_path / "undisturbed").go()


def same(first: Run, run: Run, other: Run) -> None:
    assert run.published[-1].state == other.published[-1].state
    assert run.learner.state_dict()["counts"].tolist() == other.learner.state_dict()["counts"].tolist()
    assert first.report.last | run.report.last == other.report.last
    assert run.report.records == other.report.records


@pytest.mark.parametrize("moment", [(0, 0), (0, 2), (0, 3), (1, 0), (2, 3)])
def test_stopped_while_reading_and_resumed_is_undisturbed(
    tmp_path: Path, undisturbed: Run, moment: tuple[int, int]
) -> None:
    first = Run(tmp_path)
    first.train = Batches(lambda *now: first.stop.request() if now == moment else None)
    first.go()
    same(first, Run(tmp_path).go(), undisturbed)


@pytest.mark.parametrize("values", [{}, {"round": 2}, {"round": 4, "patience": 9}])
@pytest.mark.parametrize("moment", [(0, 1), (1, 0), (2, 3)])
def test_stopped_while_evaluating_and_resumed_is_undisturbed(
    tmp_path: Path, values: dict[str, int], moment: tuple[int, int]
) -> None:
    (tmp_path / "undisturbed").mkdir()
    undisturbed = Run(tmp_path / "undisturbed", **values).go()
    first = Run(tmp_path, **values)
    first.validation = Batches(lambda *now: first.stop.request() if now == moment else None)
    first.go()
    same(first, Run(tmp_path, **values).go(), undisturbed)


def test_stopped_before_the_first_batch_there_is_no_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run = Run(tmp_path)
    run.stop.request()
    run.go()
    assert run.published == []
    assert "There is no model yet" in caplog.text


def test_a_resumed_epoch_does_not_make_its_first_batches_again(tmp_path: Path, undisturbed: Run) -> None:
    class Rest(Batches):
        def epoch_from(self, number: int, first: int) -> Iterator[np.ndarray]:
            asked.append((number, first))
            return islice(self.epoch(number), first, None)

    asked: list[tuple[int, int]] = []
    first = Run(tmp_path)
    first.train = Rest(lambda *now: first.stop.request() if now == (1, 2) else None)
    first.go()
    second = Run(tmp_path, train=Ahead(Rest(), 2, lambda: False)).go()
    assert asked == [(0, 0), (1, 0), (1, 2), (2, 0)]
    same(first, second, undisturbed)


class Gaps(Batches):
    """As `Batches`, with a batch of nothing before the last one."""

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        for index, batch in enumerate(super().epoch(number)):
            if index == 2:
                yield np.empty(0)
            yield batch


def test_batches_of_nothing_reach_no_learner(tmp_path: Path, undisturbed: Run) -> None:
    run = Run(tmp_path, train=Gaps(), validation=Gaps())
    run.learner.lockstep = False  # or it would be told that others have a batch
    run.go()
    assert run.published[-1].state == undisturbed.published[-1].state
    assert run.report.records == undisturbed.report.records


def test_a_finished_job_that_is_started_again_gives_its_model_again(tmp_path: Path) -> None:
    first = Run(tmp_path).go()
    calls: list[int] = []
    second = Run(tmp_path, train=Batches(lambda *now: calls.append(1))).go()
    assert second.published[-1].state == first.published[-1].state
    assert calls == []


def test_a_long_epoch_gives_a_sign_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reporting, "EVERY_S", 0.0)
    caplog.set_level("INFO")
    Run(tmp_path).go()
    assert "Epoch 1 of 3: 4 records so far" in caplog.text
    assert "\r" not in caplog.text


def test_told_to_stop_a_channel_is_not_scored_to_its_end(tmp_path: Path) -> None:
    run, scored = Run(tmp_path), []

    def hook(*now: int) -> None:
        scored.append(now)
        if now == (0, 1):
            run.stop.request()

    run.validation = Batches(hook)
    run.go()
    assert scored == [(0, 0), (0, 1)]
    assert len(run.published) == 1


class Nothing:
    """A channel that may be empty: a sharded one of which no host got a file."""

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        yield from ()


def test_a_channel_without_rows_has_no_score(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = Run(tmp_path, validation=Nothing(), patience=1).go()  # a score of nothing would end it early
    assert "validation:loss" not in run.report.last
    assert "Channel 'validation' is empty on every host: nothing is scored on it" in caplog.text
    assert "Early stopping" not in caplog.text
    assert run.report.batches == 9


def test_an_objective_that_was_not_measured_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(tmp_path).go()
    run.report.require_objective("validation:loss")
    assert "was not measured" not in caplog.text
    run.report.require_objective("test:loss")
    assert "'test:loss' was not measured; this job measured: train:final, validation:loss" in caplog.text


class Pair(Alone):
    """Two hosts, of which the other one does as this one does; its files name their columns so."""

    size = 2

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names

    def all_sum(self, *arrays: np.ndarray) -> None:
        for array in arrays:
            array *= 2

    def gather(self, array: np.ndarray) -> list[np.ndarray]:
        if array.dtype != np.uint8:
            return [array, array]
        return [array, np.frombuffer(json.dumps(self.names).encode(), np.uint8)]


def columns_of(run: Run, names: tuple[str, ...]) -> Run:
    """Its files name their columns so, which is known once they are read."""
    run.train = Batches(lambda *now: run.columns.order(names, "train/part-0.csv"))
    return run


def test_hosts_whose_files_order_their_columns_otherwise_learn_nothing(tmp_path: Path) -> None:
    run = columns_of(Run(tmp_path), ("y", "a", "b"))
    run.cluster = Pair(("y", "b", "a"))
    with pytest.raises(UserError, match="column 2 is 'a' in the files of one host and 'b' in those of an"):
        run.go()
    assert run.report.batches == 0


def test_a_host_without_files_takes_the_order_of_the_others(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.cluster = Pair(("y", "b", "a"))
    run.go()
    assert run.columns.names == ("y", "b", "a")


def test_a_finished_job_that_is_started_again_knows_the_order_of_its_columns(tmp_path: Path) -> None:
    """Only the test channel is read then, whose columns may stand in another order."""
    columns_of(Run(tmp_path), ("y", "a", "b")).go()
    again = Run(tmp_path).go()
    assert again.columns.order(("y", "b", "a"), "test/part-0.csv") == [0, 2, 1]
    with pytest.raises(UserError, match="no column 'b', which the job before it was stopped has"):
        again.columns.order(("y", "a", "c"), "test/part-0.csv")

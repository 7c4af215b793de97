"""Tuning jobs on this machine: trials, slots, early ends, kills and what is kept in the folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from optml.errors import UserError
from optml.local import tuning_job
from optml.local.training_job import Line
from optml.local.tree import Input
from optml.local.tuning.trials import Trial
from optml.local.tuning_job import TuningJob
from tests.local.tuning.requests import IMAGE, TOY, categorical, continuous, integer, tuning_request

Curve = Callable[[Mapping[str, str]], list[str]]


class FakeJob:
    """In the place of a training job: prints what `lines` says of its hyperparameters, and fails where that
    is nothing."""

    lines: Curve
    gate: threading.Event | None = None  # passed before each line
    endless: Callable[[Mapping[str, str]], bool] | None = None  # which run until they are told to end
    running = 0
    most = 0

    def __init__(
        self, algorithm: str, hyperparameters: Mapping[str, str], inputs: Any, **options: Any
    ) -> None:
        self.hyperparameters = hyperparameters
        self.options = options
        self.ended = threading.Event()
        self.printed = type(self).lines(hyperparameters)
        self.failure = "" if self.printed else "ClientError: nothing was printed"

    def __enter__(self) -> FakeJob:
        FakeJob.running += 1
        FakeJob.most = max(FakeJob.most, FakeJob.running)
        self.options["model"].mkdir()
        for name in ("input", "output"):
            (self.options["root"] / "algo-1" / name).mkdir(parents=True)
        return self

    def __exit__(self, *error: object) -> None:
        FakeJob.running -= 1

    def log(self) -> Iterator[Line]:
        for text in self.printed:
            if self.gate:
                self.gate.wait()
            if self.ended.is_set():
                return
            yield Line("algo-1", text)
        if self.endless and self.endless(self.hyperparameters):
            self.ended.wait()

    def wait(self) -> int:
        return 0 if self.printed else 1

    def terminate(self) -> bool:
        self.ended.set()
        return True

    def stop(self) -> None:
        self.terminate()

    kill = stop


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeJob]:
    monkeypatch.setattr(tuning_job, "TrainingJob", FakeJob)
    monkeypatch.setattr(FakeJob, "lines", staticmethod(square), raising=False)
    monkeypatch.setattr(FakeJob, "gate", None)
    monkeypatch.setattr(FakeJob, "endless", None)
    FakeJob.running = FakeJob.most = 0
    return FakeJob


def square(hyperparameters: Mapping[str, str]) -> list[str]:
    return [f"validation-rmse:{(float(hyperparameters['eta']) - 0.3) ** 2}"]


def job(folder: Path, **options: Any) -> TuningJob:
    fields = {"continuous": [continuous("eta", 0, 1)], "jobs": 6} | options
    events = {name: fields.pop(name) for name in ("on_start", "on_end", "parents") if name in fields}
    return TuningJob(folder, tuning_request(**fields), {"train": Input([])}, TOY, **events)


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]


def described(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "tuning-job.json").read_text())
    return content


def test_a_job_leaves_its_trials_their_folders_and_the_best(tmp_path: Path) -> None:
    done = job(tmp_path / "out")
    assert done.run()
    assert done.completion is not None
    assert done.completion.reason == "MaxNumberOfTrainingJobs"
    assert [trial.status for trial in done.trials.values()] == ["Completed"] * 6
    lines = records(tmp_path / "out")
    assert len(lines) == 12  # a start and an end of each
    content = described(tmp_path / "out")
    assert content["HyperParameterTuningJobStatus"] == "Completed"
    assert content["TrainingJobStatusCounters"]["Completed"] == 6
    assert content["ObjectiveStatusCounters"] == {"Succeeded": 6, "Pending": 0, "Failed": 0}
    best = content["BestTrainingJob"]
    assert best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == min(
        trial.values[-1] for trial in done.trials.values()
    )
    assert best["TrainingJobName"].startswith(f"toy-1-{best['Number']:03d}-")
    link = tmp_path / "out" / "best"
    assert link.resolve().name == best["TrainingJobName"]
    assert {path.name for path in link.iterdir()} == {"input", "output", "model", "log"}
    assert "validation-rmse:" in (link / "log").read_text()


def test_no_more_run_at_once_than_may(tmp_path: Path, fake: type[FakeJob]) -> None:
    assert job(tmp_path, parallel=3, jobs=9).run()
    assert fake.most <= 3


def test_more_jobs_go_on_where_the_first_ones_ended(tmp_path: Path) -> None:
    assert job(tmp_path, jobs=3).run()
    more = job(tmp_path, jobs=6)
    assert more.run()
    assert sorted(more.trials) == [1, 2, 3, 4, 5, 6]
    assert len(records(tmp_path)) == 12
    at_once = job(tmp_path / "other", jobs=6)
    assert at_once.run()
    assert [trial.parameters for trial in at_once.trials.values()] == [
        trial.parameters for trial in more.trials.values()
    ]


def test_another_job_in_the_folder_is_refused_by_what_differs(tmp_path: Path) -> None:
    assert job(tmp_path).run()
    with pytest.raises(UserError, match=r"holds another tuning job: RandomSeed was 1 and is 2"):
        job(tmp_path, seed=2).run()
    with pytest.raises(UserError, match=r'"MaxValue": "1".* and is .*"MaxValue": "0\.5"'):
        job(tmp_path, continuous=[continuous("eta", 0, 0.5)]).run()


def test_a_folder_in_use_is_refused(tmp_path: Path, fake: type[FakeJob]) -> None:
    def refuse(trial: Trial) -> None:
        with pytest.raises(UserError, match="another tuning job runs in"):
            job(tmp_path).run()

    assert job(tmp_path, jobs=1, on_start=refuse).run()


def test_a_line_that_a_kill_cut_off_is_none(tmp_path: Path) -> None:
    assert job(tmp_path, jobs=3).run()
    path = tmp_path / "trials.jsonl"
    *whole, last = path.read_text().splitlines(keepends=True)
    path.write_text("".join(whole) + last[: len(last) // 2])
    again = job(tmp_path, jobs=3)
    assert again.run()  # the third trial, whose end is not known, once more
    assert [trial.status for trial in again.trials.values()] == ["Completed"] * 3
    assert len(records(tmp_path)) == 7


def test_an_interrupted_trial_starts_anew(tmp_path: Path, fake: type[FakeJob]) -> None:
    fake.gate = threading.Event()
    first = job(tmp_path, parallel=2, on_start=lambda trial: trial.number == 2 and interrupt())

    def interrupt() -> None:
        first.interrupt()
        assert fake.gate is not None
        fake.gate.set()

    assert not first.run()
    assert described(tmp_path)["HyperParameterTuningJobStatus"] == "InProgress"
    parameters = {record["Number"]: record["TunedHyperParameters"] for record in records(tmp_path)}
    again = job(tmp_path, parallel=2)
    assert again.run()
    for number, point in parameters.items():
        assert again.trials[number].parameters == point
    assert len(again.trials) == 6


def test_trials_worse_than_the_median_are_stopped_and_count(tmp_path: Path, fake: type[FakeJob]) -> None:
    seen: list[float] = []

    def worse(hyperparameters: Mapping[str, str]) -> bool:
        eta = float(hyperparameters["eta"])
        seen.append(eta)
        return len(seen) > 3 and eta > median(seen[:-1])

    fake.lines = staticmethod(lambda given: [f"validation-rmse:{given['eta']}"] * 2)
    fake.endless = staticmethod(worse)  # the rule alone ends them
    done = job(tmp_path, jobs=12, parallel=1, TrainingJobEarlyStoppingType="Auto")
    assert done.run()
    stopped = [trial for trial in done.trials.values() if trial.status == "Stopped"]
    assert len(stopped) == sum(eta > median(seen[:n]) for n, eta in enumerate(seen) if n >= 3) > 0
    assert all(trial.value is not None for trial in stopped)


def test_failures_alone_fail_the_job_with_the_first_ones_words(tmp_path: Path, fake: type[FakeJob]) -> None:
    fake.lines = staticmethod(lambda hyperparameters: [])
    with pytest.raises(
        UserError, match=r"All training jobs failed\..*The first: ClientError: nothing was printed"
    ):
        job(tmp_path, jobs=30, parallel=1).run()
    content = described(tmp_path)
    assert content["HyperParameterTuningJobStatus"] == "Failed"
    assert content["TrainingJobStatusCounters"]["NonRetryableError"] == 5


def test_a_target_ends_the_job_and_what_runs(tmp_path: Path) -> None:
    criteria = {"TargetObjectiveMetricValue": 0.2}
    done = job(tmp_path, jobs=50, TuningJobCompletionCriteria=criteria)
    assert done.run()
    assert done.completion is not None
    assert done.completion.reason == "TargetObjectiveMetricValue"
    assert len(done.trials) < 50


def test_a_grid_runs_each_combination_once(tmp_path: Path) -> None:
    spans = {
        "continuous": [],
        "categorical": [categorical("kind", "fast", "good"), categorical("eta", "0.1", "0.2", "0.5")],
    }
    done = job(tmp_path, strategy="Grid", jobs=None, parallel=4, **spans)
    assert done.run()
    assert len({tuple(trial.parameters.items()) for trial in done.trials.values()}) == 6


KILLED = """
import sys
from pathlib import Path
from optml.local import tuning_job
from tests.local import test_tuning_job as tests

fifo = sys.argv[2]
def lines(hyperparameters):
    with open(fifo, "w") as file:  # until somebody reads
        file.write("x")
    return tests.square(hyperparameters)

tuning_job.TrainingJob = tests.FakeJob
tests.FakeJob.lines = staticmethod(lines)
tests.job(Path(sys.argv[1]), parallel=2, jobs=8).run()
"""


def test_kill_9_loses_no_trial_and_repeats_none(tmp_path: Path) -> None:
    folder, fifo = tmp_path / "out", tmp_path / "fifo"
    os.mkfifo(fifo)
    words = [sys.executable, "-c", KILLED, str(folder), str(fifo)]
    with subprocess.Popen(words, cwd=Path(__file__).parents[2], start_new_session=True) as process:
        for _ in range(4):  # trials that are let go on
            fifo.read_text()
        process.send_signal(signal.SIGKILL)
    ended = {
        record["TrainingJobName"]: record
        for record in records(folder)
        if record["TrainingJobStatus"] == "Completed"
    }
    assert ended
    again = job(folder, parallel=2, jobs=8)
    assert again.run()
    assert sorted(again.trials) == list(range(1, 9))
    starts = [r["TrainingJobName"] for r in records(folder) if r["TrainingJobStatus"] == "InProgress"]
    assert all(starts.count(name) == 1 for name in ended)
    undisturbed = job(tmp_path / "other", parallel=2, jobs=8)
    assert undisturbed.run()
    assert [trial.parameters for trial in again.trials.values()] == [
        trial.parameters for trial in undisturbed.trials.values()
    ]


def test_integers_and_static_hyperparameters_reach_the_job(tmp_path: Path, fake: type[FakeJob]) -> None:
    seen: list[Mapping[str, str]] = []

    def lines(hyperparameters: Mapping[str, str]) -> list[str]:
        seen.append(hyperparameters)
        return square(hyperparameters)

    fake.lines = staticmethod(lines)
    assert job(tmp_path, jobs=1, integer=[integer("depth", 1, 9)], static={"note": "x"}).run()
    (hyperparameters,) = seen
    assert set(hyperparameters) == {"eta", "depth", "note", "_tuning_objective_metric"}
    assert hyperparameters["depth"].isdecimal()
    assert described(tmp_path)["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"] == IMAGE


def test_a_warm_start_takes_over_what_parents_found(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    assert job(old, jobs=8).run()
    top = {
        "WarmStartConfig": {
            "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "toy-1"}],
            "WarmStartType": "IdenticalDataAndAlgorithm",
        }
    }
    child = job(new, jobs=1, strategy="Bayesian", top=top, parents=[old])
    assert child.run()
    (trial,) = child.trials.values()
    # The first point is the model's, near the best of eight; one of its own would be of the Sobol sequence.
    values = sorted(record["ObjectiveValues"][-1] for record in records(old) if record["ObjectiveValues"])
    assert trial.values[-1] <= values[1]
    with pytest.raises(UserError, match=r"There is no hyperparameter tuning job \[toy-1\] to be a parent"):
        job(new, jobs=1, strategy="Bayesian", top=top)
    with pytest.raises(UserError, match="is no folder of a tuning job"):
        job(new, jobs=1, strategy="Bayesian", top=top, parents=[tmp_path])

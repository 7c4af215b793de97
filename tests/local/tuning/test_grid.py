"""Grid search."""

from __future__ import annotations

import pytest

from optml.errors import UserError
from optml.local.tuning.proposals import propose
from optml.local.tuning.trials import Trial, pending
from tests.local.tuning.requests import categorical, continuous, tuning

SPANS = [
    categorical("kind", "fast", "good"),
    categorical("depth", "1", "2", "3"),
    categorical("eta", "0", "1"),
]


def test_every_combination_comes_once_also_in_parallel_and_after_failures() -> None:
    job = tuning(categorical=SPANS, strategy="Grid", jobs=None)
    assert job.max_jobs == 12
    trials: list[Trial] = []
    while proposals := propose(job, trials, 5):
        trials += [pending(proposal) for proposal in proposals]
        trials[-1] = Trial(trials[-1].number, trials[-1].parameters, "Failed")
    assert [trial.number for trial in trials] == list(range(1, 13))
    assert len({tuple(trial.parameters.items()) for trial in trials}) == 12


def test_another_number_of_jobs_than_combinations_is_refused() -> None:
    with pytest.raises(UserError, match="12 combinations and MaxNumberOfTrainingJobs is 10"):
        tuning(categorical=SPANS, strategy="Grid", jobs=10)
    assert tuning(categorical=SPANS, strategy="Grid", jobs=12).max_jobs == 12


def test_a_range_of_numbers_is_refused() -> None:
    with pytest.raises(UserError, match=r"categorical hyperparameters only: list the values of \[eta\]"):
        tuning(continuous=[continuous("eta", 0, 1)], strategy="Grid", jobs=None)

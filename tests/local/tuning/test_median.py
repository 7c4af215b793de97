"""The median rule, on curves whose stops were worked out by hand."""

from __future__ import annotations

from optml.local.tuning.stopping import stops
from optml.local.tuning.trials import Trial
from tests.local.tuning.requests import continuous, tuning

JOB = tuning(continuous=[continuous("eta", 0, 1)], TrainingJobEarlyStoppingType="AUTO")

# Curve, and the step at which it is stopped, None: it runs to its end. The median at each step is of the
# averages of all earlier curves up to there, of stopped ones over what they have.
CURVES: list[tuple[list[float], int | None]] = [
    ([9, 8, 7, 6], None),  # fewer than three have ended: the first three run
    ([5, 4, 3, 2], None),
    ([7, 7, 7, 7], None),
    # Averages after 2 steps: 8.5, 4.5, 7: median 7. 8 > 7.
    ([1, 8, 1, 1], 2),
    # After 2: 8.5, 4.5, 7, 4.5: 5.75. After 3: 8, 4, 7, 4.5: 5.75. After 4: 7.5, 3.5, 7, 4.5: 5.75.
    ([9, 5, 5, 5.75], None),  # as good as the median is good enough, and step 1 is not judged
    # After 2: 8.5, 4.5, 7, 4.5, 7: 7. After 3: 8, 4, 7, 4.5, 6.33: 6.33.
    ([9, 7, 6.4, 1], 3),
    # After 2: 8.5, 4.5, 7, 4.5, 7, 8: 7. 3: 8, 4, 7, 4.5, 6.33, 7.47: 6.67.
    # 4: 7.5, 3.5, 7, 4.5, 6.19, 7.47: 6.59.
    ([6, 6, 6, 6.6], 4),
    # After 2: 8.5, 4.5, 7, 4.5, 7, 8, 6: 7.
    ([1, 7.1], 2),
    # After 2: 8.5, 4.5, 7, 4.5, 7, 8, 6, 4.05: 6.5. After 3: 8, 4, 7, 4.5, 6.33, 7.47, 6, 4.05: 6.17.
    ([8, 6.5, 6.1], None),
    # After 2: 8.5, 4.5, 7, 4.5, 7, 8, 6, 4.05, 7.25: 7.
    ([8, 7.2, 0, 0], 2),
]


def test_ten_curves_stop_where_they_should() -> None:
    trials: list[Trial] = []
    stopped: list[int | None] = []
    for number, (curve, _) in enumerate(CURVES, 1):
        end = None
        for step in range(1, len(curve) + 1):
            trial = Trial(number, {}, values=tuple(curve[:step]))
            if stops(JOB, [*trials, trial], trial, judged=step - 1):
                end = step
                break
        stopped.append(end)
        status = "Completed" if end is None else "Stopped"
        trials.append(Trial(number, {}, status, tuple(curve[:end])))
    assert stopped == [step for _, step in CURVES]


def test_values_that_come_together_are_judged_one_by_one() -> None:
    earlier = [Trial(number, {}, "Completed", (1.0, 1.0, 1.0)) for number in (1, 2, 3)]
    trial = Trial(4, {}, values=(9.0, 9.0, 0.0))
    assert stops(JOB, [*earlier, trial], trial)
    assert not stops(JOB, [*earlier, trial], trial, judged=2)  # of which the second was judged before


def test_higher_is_better_where_the_objective_is_maximized() -> None:
    job = tuning(
        continuous=[continuous("eta", 0, 1)],
        metric="validation:auc",
        direction="Maximize",
        TrainingJobEarlyStoppingType="Auto",
    )
    earlier = [Trial(number, {}, "Completed", (0.5, 0.5)) for number in (1, 2, 3)]
    good, bad = (Trial(4, {}, values=(0.5, value)) for value in (0.6, 0.4))
    assert not stops(job, [*earlier, good], good)
    assert stops(job, [*earlier, bad], bad)


def test_failed_trials_and_switched_off_rules_stop_nothing() -> None:
    off = tuning(continuous=[continuous("eta", 0, 1)])
    earlier = [Trial(number, {}, "Completed", (0.1, 0.1)) for number in (1, 2, 3)]
    failed = [Trial(number, {}, "Failed", (0.1, 0.1)) for number in (1, 2, 3)]
    trial = Trial(4, {}, values=(9.0, 9.0))
    assert not stops(off, [*earlier, trial], trial)
    assert not stops(JOB, [*failed, trial], trial)

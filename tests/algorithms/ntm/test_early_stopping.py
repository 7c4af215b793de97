"""The rule of early stopping, replayed from AWS's log."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from optml.algorithms.ntm.early_stopping import EarlyStopping

LOSSES = [6.698914, 6.705796, 6.695301, 6.687980, 6.689698, 6.691860, 6.691731, 6.687697, 6.684440]


def test_bad_epochs_are_counted_as_in_the_log() -> None:
    rule = EarlyStopping(5, 0.001)
    for loss in (6.75, 6.74, 6.73, 6.72, 6.695809):
        assert rule.update(loss) == "best"
    counts = []
    for loss in LOSSES:
        rule.update(loss)
        counts.append(rule.bad)
    assert counts == [1, 2, 3, 0, 1, 2, 3, 4, 0]
    assert (rule.best, rule.best_epoch) == (6.684440, 14)


def test_one_bad_epoch_more_than_patience_ends_training(caplog: pytest.LogCaptureFixture) -> None:
    rule = EarlyStopping(2, 0.1)
    with caplog.at_level(logging.INFO, "optml"):
        assert [rule.update(loss) for loss in (5.0, 4.0, 4.0, 4.0, 4.5)] == [
            "best", "best", "stale", "stale", "stop",
        ]  # fmt: skip
    assert "Bad epoch: loss has not improved (enough). Bad count:3" in caplog.text
    assert "Bad epochs exceeded patience. Stopping training early!" in caplog.text


def test_a_last_epoch_that_is_the_best_by_less_than_the_tolerance_is_kept() -> None:
    rule = EarlyStopping(1, 0.1)
    assert [rule.update(loss) for loss in (5.0, 4.99, 4.98)] == ["best", "best", "last"]


def test_patience_beyond_the_epochs_never_stops() -> None:
    rule = EarlyStopping(100, 0.1)
    assert {rule.update(loss) for loss in np.linspace(1, 2, 100)} == {"best", "stale"}


def test_a_resumed_rule_goes_on_as_if_undisturbed() -> None:
    whole, first = EarlyStopping(2, 0.001), EarlyStopping(2, 0.001)
    for loss in LOSSES[:4]:
        first.update(loss)
    second = EarlyStopping(2, 0.001)
    second.load_state_dict(first.state_dict())
    assert [whole.update(loss) for loss in LOSSES][4:] == [second.update(loss) for loss in LOSSES[4:]]

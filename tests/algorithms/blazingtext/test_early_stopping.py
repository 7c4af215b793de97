"""Early stopping of classification, as the log tells of it."""

from __future__ import annotations

import pytest

from optml.algorithms.blazingtext.early_stopping import EarlyStopping


def test_every_epoch_says_whether_it_is_the_best_or_for_how_long_none_was(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "optml")
    rule = EarlyStopping(2)
    first = [rule.update(accuracy) for accuracy in (0.5, 0.7, 0.7)]
    resumed = EarlyStopping(2)
    resumed.load_state_dict(rule.state_dict())
    assert [*first, resumed.update(0.6)] == ["best", "best", "stale", "stop"]
    assert caplog.messages == [
        "Validation accuracy improved! Storing best weights...",
        "Validation accuracy improved! Storing best weights...",
        "Validation accuracy has not improved for last 1 epochs.",
        "Validation accuracy has not improved for last 2 epochs.",
    ]

from __future__ import annotations

import logging

import pytest

from optml.algorithms.object2vec.early_stopping import EarlyStopping

LOSSES = [0.20847056439872516, 0.19760655043488842, 0.20252395598059994, 0.1813, 0.1969, 0.1930, 0.1977]


def test_the_losses_of_aws_s_log_end_where_it_ended(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rule = EarlyStopping(2, 0.01)
    verdicts = [rule.update(loss) for loss in LOSSES]
    assert verdicts == ["best", "best", "stale", "best", "stale", "stale", "stop"]
    assert (rule.early, rule.best_epoch - 1, rule.best) == (True, 3, 0.1813)
    assert [record.getMessage() for record in caplog.records][:5] == [
        "patience losses: [0.20847056439872516, 0.19760655043488842]",
        "min patience losses: 0.19760655043488842",
        "current loss: 0.20252395598059994",
        "absolute loss difference: 0.004917405545711517",
        "Bad epoch: loss has not improved (enough). Bad count:1",
    ]
    counts = [record.getMessage()[-1] for record in caplog.records if "Bad count" in record.getMessage()]
    assert counts == ["1", "1", "2", "3"]
    assert [record.getMessage() for record in caplog.records][-2:] == [
        "Bad epochs exceeded patience. Stopping training early!",
        "Early stopping criterion met! Stopping training at epoch: 6",
    ]


def test_resumed_it_goes_on_as_if_undisturbed() -> None:
    whole, first, second = (EarlyStopping(2, 0.01, quiet=True) for _ in range(3))
    verdicts = [whole.update(loss) for loss in LOSSES]
    for loss in LOSSES[:4]:
        first.update(loss)
    second.load_state_dict(first.state_dict())
    assert [second.update(loss) for loss in LOSSES[4:]] == verdicts[4:]

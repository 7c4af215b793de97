"""Early stopping of DeepAR: what it says, and when the learning rate is to fall."""

from __future__ import annotations

import pytest

from optml.algorithms.forecasting_deepar.early_stopping import EarlyStopping


@pytest.mark.parametrize(("patience", "halved"), [(10, [10, 20, 33, 43]), (80, [20, 43])])
def test_the_learning_rate_is_halved_by_every_quarter_of_the_patience(
    patience: int, halved: list[int]
) -> None:
    rule = EarlyStopping(patience)
    found = []
    for number in range(51):
        before = rule.halvings
        rule.update(-1.0 if number == 23 else 1.0)
        found += [number] * (rule.halvings - before)
    assert found == halved


def test_every_epoch_says_whether_its_loss_is_the_best(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "optml")
    rule = EarlyStopping(2)
    assert [rule.update(loss) for loss in (3.0, 2.0, 2.0, 2.5)] == ["best", "best", "stale", "stop"]
    assert caplog.messages == ["best epoch loss so far"] * 2 + ["loss did not improve"] * 2


def test_a_resumed_rule_goes_on_as_if_undisturbed() -> None:
    whole, first, second = EarlyStopping(20), EarlyStopping(20), EarlyStopping(20)
    for _ in range(15):
        whole.update(1.0)
        first.update(1.0)
    second.load_state_dict(first.state_dict())
    assert [(whole.update(1.0), whole.halvings) for _ in range(6)] == [
        (second.update(1.0), second.halvings) for _ in range(6)
    ]
    assert second.halvings == 2

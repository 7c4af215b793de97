"""Values of metrics in log lines."""

from __future__ import annotations

from optml.local.tuning.objective import Patterns
from optml.local.tuning.tables import Table, table


def test_the_first_group_is_the_number() -> None:
    patterns = Patterns({"loss": "Loss = (.*?);", "score": r"score=(\S+)"})
    assert list(patterns.values("Loss = 0.25; score=1e-3")) == [("loss", 0.25), ("score", 0.001)]
    assert list(patterns.values("nothing")) == []


def test_what_is_no_finite_number_is_left_out() -> None:
    patterns = Patterns({"loss": "loss=(.*)", "broken": "(", "bare": "loss"})
    for text in ("loss=nan", "loss=inf", "loss=", "loss=soon"):
        assert list(patterns.values(text)) == []


def test_a_tab_matches_as_itself_and_as_the_log_service_shows_it() -> None:
    line = "[3]\ttrain-rmse:2.5\tvalidation-rmse:2.75"
    assert list(Patterns({"a": r"#011validation-rmse:(\S+)"}).values(line)) == [("a", 2.75)]
    assert list(Patterns({"a": r"\tvalidation-rmse:(\S+)"}).values(line)) == [("a", 2.75)]


def test_an_algorithm_of_ours_brings_its_own_metrics_and_ranges() -> None:
    kmeans = table("kmeans")
    patterns = Patterns({name: metric.regex for name, metric in kmeans.metrics.items()})
    line = "#quality_metric: host=algo-1, test msd <loss>=0.125"
    assert dict(patterns.values(line)) == {"test:msd": 0.125}
    assert kmeans.metrics["test:msd"].direction == "Minimize"
    assert kmeans.fields["mini_batch_size"].span == (3000, 15000)
    assert kmeans.fields["init_method"].choices == ("kmeans++", "random")
    assert not kmeans.fields["k"].tunable
    assert Table.from_json(kmeans.to_json()) == kmeans

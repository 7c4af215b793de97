from __future__ import annotations

import pytest

from optml.algorithms.ip_insights.hyperparameters import Hyperparameters
from optml.container.hyperparameters import parse
from optml.errors import UserError


def parsed(**given: str) -> Hyperparameters:
    return parse(given, Hyperparameters, ())[0]


def test_defaults_are_those_of_the_guide_and_of_aws_s_default_file() -> None:
    found = parsed()
    assert (found.num_entity_vectors, found.vector_dim, found.mini_batch_size) == (100_000, 128, 10_000)
    assert (found.learning_rate, found.weight_decay, found.epochs) == (0.001, 1e-5, 10)
    assert found.ip_prefix_tables


def test_keys_of_aws_s_engine_are_ignored_and_ours_is_not() -> None:
    found = parsed(
        _kvstore="auto_gpu", _num_kv_servers="auto", _tuning_objective_metric="", _ip_prefix_tables="false"
    )
    assert not found.ip_prefix_tables


@pytest.mark.parametrize(("random", "shuffled"), [("0", "0"), ("400", "101")])
def test_negatives_are_between_1_and_500(random: str, shuffled: str) -> None:
    with pytest.raises(UserError, match="expected 1 to 500"):
        parsed(random_negative_sampling_rate=random, shuffled_negative_sampling_rate=shuffled)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vector_dim", "3"),
        ("num_entity_vectors", "250000001"),
        ("learning_rate", "11"),
        ("mini_batch_size", "0"),
    ],
)
def test_values_out_of_range_are_named(name: str, value: str) -> None:
    with pytest.raises(UserError, match=f"hyperparameter {name}='{value}' is not"):
        parsed(**{name: value})

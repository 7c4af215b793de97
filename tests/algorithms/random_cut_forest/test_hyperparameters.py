from __future__ import annotations

import pytest

from optml.algorithms.random_cut_forest.hyperparameters import Hyperparameters
from optml.container.hyperparameters import parse
from optml.errors import UserError


@pytest.mark.parametrize(
    "text", ['["accuracy"]', "accuracy", "['accuracy']", '["accuracy", "precision_recall_fscore"]']
)
def test_metrics_come_in_every_spelling(text: str) -> None:
    hyperparameters, _ = parse({"feature_dim": "2", "eval_metrics": text}, Hyperparameters, [])
    assert "accuracy" in hyperparameters.eval_metrics


def test_what_the_sdk_and_the_engine_send_is_taken() -> None:
    texts = {"feature_dim": "1", "force_dense": "True", "epochs": "1", "mini_batch_size": "1000"}
    engine = {"_ftp_port": "8999", "_kvstore": "dist_async", "_num_kv_servers": "auto", "_num_gpus": "auto"}
    hyperparameters, _ = parse(texts | engine, Hyperparameters, [])
    assert (hyperparameters.num_trees, hyperparameters.num_samples_per_tree) == (100, 256)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_trees", "49"),
        ("num_trees", "1001"),
        ("num_samples_per_tree", "0"),
        ("num_samples_per_tree", "2049"),
        ("feature_dim", "10001"),
        ("epochs", "2"),
        ("eval_metrics", "f1"),
    ],
)
def test_what_is_out_of_range_is_named(name: str, value: str) -> None:
    with pytest.raises(UserError, match=name):
        parse({"feature_dim": "1"} | {name: value}, Hyperparameters, [])

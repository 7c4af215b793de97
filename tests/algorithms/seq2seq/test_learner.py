"""Training in this process: learning to copy, several hosts, states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optml.algorithms.metrics import Metric
from optml.errors import UserError
from tests.algorithms.hosts import on_hosts
from tests.algorithms.seq2seq import sample

torch = pytest.importorskip("torch")


def last(metrics: list[Metric], name: str) -> float:
    return [metric.value for metric in metrics if metric.name == name][-1]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"encoder_type": "cnn", "decoder_type": "cnn"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_copying_is_learnt(changes: dict[str, Any]) -> None:
    changes = {"rnn_num_hidden": 32, "cnn_num_hidden": 32, "bleu_sample_size": -1} | changes
    learner, metrics = sample.train(sample.copies(600, longest=5), epochs=8, longest=5, **changes)
    assert last(metrics, "validation:perplexity") < 1.2
    assert last(metrics, "validation:accuracy") > 0.95
    assert last(metrics, "validation:bleu") > 0.9
    assert last(metrics, "train:perplexity") < 1.2
    model = learner.model()
    assert model is not None


def test_two_hosts_make_the_update_of_one() -> None:
    def work(cluster: Any) -> dict[str, np.ndarray]:
        learner, _ = sample.train(sample.copies(64), cluster, 1, batch_size=32, bucketing_enabled=False)
        return learner.network.arrays()

    both = on_hosts(2, work, processes=2)
    for name, array in both[0].items():
        np.testing.assert_allclose(both[1][name], array, atol=1e-6, err_msg=name)


def test_a_state_goes_on_as_the_learner_would() -> None:
    changes = {"embed_dropout_source": 0.3, "rnn_decoder_hidden_dropout": 0.2}
    learner, _ = sample.train(sample.copies(), epochs=1, **changes)
    other, _ = sample.train(sample.copies(40, seed=5), epochs=1, **changes)
    other.load_state_dict(learner.state_dict())
    made = sample.setting(**changes)
    batches = list(sample.data(sample.Files({"a.rec": sample.copies()}), made).epoch(1))  # type: ignore[arg-type]
    for batch in batches:
        learner.update(batch)
        other.update(batch)
    for name, array in learner.network.arrays().items():
        np.testing.assert_array_equal(other.network.arrays()[name], array)


@pytest.mark.parametrize("kind", ["sgd", "rmsprop"])
def test_every_optimizer_learns(kind: str) -> None:
    changes = {"learning_rate": 0.5, "momentum": 0.9} if kind == "sgd" else {"learning_rate": 0.003}
    _, metrics = sample.train(sample.copies(100), epochs=4, optimizer_type=kind, **changes)
    values = [metric.value for metric in metrics if metric.name == "train:perplexity"]
    assert values[-1] < values[0]


def test_a_gradient_is_cut_number_by_number() -> None:
    changes = {
        "optimizer_type": "sgd",
        "learning_rate": 1.0,
        "clip_gradient": 1e-6,
        "bucketing_enabled": False,
    }
    before, _ = sample.train(sample.copies(1), epochs=0, **changes)
    after, _ = sample.train(sample.copies(1), epochs=1, **changes)
    arrays = after.network.arrays()
    moved = [np.abs(arrays[name] - array).max() for name, array in before.network.arrays().items()]
    assert 0 < max(moved) <= 1.1e-6


def test_a_loss_that_is_no_number_ends_the_job() -> None:
    with pytest.raises(UserError, match="diverged: the loss is not finite in epoch 0; lower learning_rate"):
        sample.train(sample.copies(), epochs=1, optimizer_type="sgd", learning_rate=1e30, clip_gradient=-1.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rnn_num_hidden": 7}, "rnn_num_hidden=7 is odd"),
        ({"encoder_type": "cnn", "cnn_kernel_width_encoder": 4}, "cnn_kernel_width_encoder=4 is even"),
        ({"decoder_type": "cnn", "cnn_num_hidden": 8}, "make them equal"),
        ({"momentum": 0.9}, "momentum=0.9 is of optimizer_type=sgd"),
        ({"min_num_epochs": 5}, "min_num_epochs=5 is more than max_num_epochs=2"),
        ({"max_num_batches": 0}, "nothing would be learnt"),
        ({"max_seq_len_target": 1}, "make it 2 or more"),
    ],
)
def test_hyperparameters_that_do_not_go_together(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sample.hyperparameters(**changes)

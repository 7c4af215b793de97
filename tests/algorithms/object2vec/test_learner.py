"""What is learnt, resumed, shared among hosts, begun with, and said of it."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.object2vec.learner import Learner  # noqa: E402
from optml.errors import UserError  # noqa: E402
from tests.algorithms.hosts import on_hosts  # noqa: E402
from tests.algorithms.object2vec.training import (  # noqa: E402
    Channel,
    channel,
    data,
    go_on,
    pairs,
    setting,
    train,
)  # fmt: skip

KINDS: list[dict[str, Any]] = [
    {},
    {"tied_token_embedding_weight": True, "dropout": 0.3, "comparator_list": "hadamard,abs_diff"},
    {"enc0_network": "hcnn", "optimizer": "rmsprop", "weight_decay": 0.01, "enc0_layers": 2},
    {"enc0_network": "bilstm", "optimizer": "adadelta", "bucket_width": 3},
    {"enc0_network": "bilstm", "enc1_network": "pooled_embedding", "enc1_vocab_size": 30,
     "enc1_max_seq_len": 9, "enc1_token_embedding_dim": 6, "optimizer": "adagrad"},
    {"token_embedding_storage_type": "row_sparse", "weight_decay": 0.01, "mlp_layers": 0},
    {"output_layer": "mean_squared_error", "optimizer": "sgd", "negative_sampling_rate": 2},
]  # fmt: skip
VECTORS = b"one 1 2 3 4 5 6\ntwo 6 5 4 3 2 1\nother 0 0 0 0 0 0\n"
TOKENS = json.dumps({"one": 1, "two": 2, "three": 3}).encode()


def arrays(learner: Learner) -> dict[str, np.ndarray]:
    model = learner.model()
    assert model is not None
    return model.parameters()


def same(one: Learner, other: Learner) -> None:
    for name, array in arrays(one).items():
        np.testing.assert_array_equal(array, arrays(other)[name], err_msg=name)


@pytest.mark.parametrize("changes", KINDS)
def test_every_setting_learns_and_resumes_exactly(changes: dict[str, Any]) -> None:
    given = {"learning_rate": 0.05} | changes
    learner, metrics = train(pairs(), epochs=5, **given)
    losses = [metric.value for metric in metrics if metric.name.endswith(learner.hyperparameters.loss)]
    assert losses[-1] < losses[0]
    source = data(channel(*pairs()), setting(**given))
    made = replace(setting(**given), train=source)
    begun = Learner(made)
    for batch in list(source.epoch(0))[:3]:  # and is killed in the middle of an epoch
        begun.update(batch)
    resumed = Learner(made)
    resumed.load_state_dict({name: np.array(array) for name, array in begun.state_dict().items()})
    begun.model()  # a look, which changes nothing
    for batch in list(source.epoch(0))[3:]:
        resumed.update(batch)
    resumed.end_round()
    go_on(resumed, source, range(1, 5))
    same(learner, resumed)


def test_the_same_seed_is_the_same_model_and_another_is_another() -> None:
    one, again = (train(pairs(), dropout=0.5)[0] for _ in range(2))
    same(one, again)
    made = replace(setting(dropout=0.5), seed=1)
    other = Learner(made)
    assert not np.array_equal(arrays(one)["enc0.embedding.weight"], other.tables[0].values())


@pytest.mark.parametrize("changes", KINDS[:2] + KINDS[3:4] + KINDS[5:6])
def test_two_hosts_learn_what_one_does(changes: dict[str, Any]) -> None:
    """Batches of 8 on each of two are those of 16 on one; dropout draws others on each host."""
    given = changes | {"dropout": 0, "bucket_width": 0}
    records = [pair for pair in pairs(64) if pair["label"]] + [
        pair for pair in pairs(64) if not pair["label"]
    ]
    alone = Learner(setting(**given | {"mini_batch_size": 16}))
    halves = [data(channel(*records), setting(**given | {"mini_batch_size": 8})) for _ in range(2)]
    batches = list(halves[0].epoch(0))

    def work(cluster: Any) -> dict[str, np.ndarray]:
        learner = Learner(setting(cluster, **given))
        for batch in batches[cluster.rank :: 2]:
            learner.update(batch)
        learner.end_round()
        return arrays(learner)

    first, second = on_hosts(2, work)
    for one, other in zip(batches[::2], batches[1::2], strict=True):
        from optml.algorithms.sequences.ragged import Sequences

        sides = tuple(Sequences.joined(parts) for parts in zip(one.sides, other.sides, strict=True))
        alone.update(replace(one, sides=sides, labels=np.concatenate([one.labels, other.labels])))
    alone.end_round()
    for name, array in arrays(alone).items():
        np.testing.assert_array_equal(first[name], second[name])
        np.testing.assert_allclose(first[name], array, rtol=2e-3, atol=2e-5, err_msg=name)


def test_a_host_without_pairs_follows_the_others() -> None:
    def work(cluster: Any) -> dict[str, np.ndarray]:
        source = data(
            Channel({"a": b""}, distribution="ShardedByS3Key")
            if cluster.rank
            else channel(*pairs(), distribution="ShardedByS3Key"),
            setting(cluster),
        )
        learner = Learner(setting(cluster))
        go_on(learner, source, range(2))
        return arrays(learner)

    first, second = on_hosts(2, work)
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_a_pair_and_its_negatives_share_the_gradient_of_in0() -> None:
    """Encoding in0 once is encoding it for every pair."""
    given = {"negative_sampling_rate": 3, "mini_batch_size": 16, "weight_decay": 0.1}
    batch = next(iter(data(channel(*pairs(20)), setting(**given)).epoch(0)))
    written_out = replace(batch, sides=(batch.sides[0].take(batch.repeat), batch.sides[1]), repeat=None)
    learners = [Learner(setting(**given | {"optimizer": "sgd", "learning_rate": 1})) for _ in range(2)]
    for learner, some in zip(learners, (batch, written_out), strict=True):
        learner.update(some)
    for name, array in arrays(learners[0]).items():
        np.testing.assert_allclose(array, arrays(learners[1])[name], rtol=1e-5, atol=1e-6)


def test_it_is_scored_over_pairs_not_batches() -> None:
    learner, _ = train(pairs(), epochs=1)
    validation = data(channel(*pairs(1100, seed=3), name="validation"), setting())
    loss, accuracy = learner.evaluate("validation", validation.epoch(0))
    (whole,) = learner.evaluate("test", [_one(validation)])[1:]  # type: ignore[index]
    assert accuracy.value == whole.value
    assert loss.name == "validation:cross_entropy"


def _one(channel: Any) -> Any:
    from optml.algorithms.object2vec.data import Batch

    return Batch(channel.sides, None, channel.labels)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("freeze", [False, True])
def test_pretrained_vectors_are_taken_and_stay_where_they_are_to(tied: bool, freeze: bool) -> None:
    given = {
        "enc0_pretrained_embedding_file": "glove.txt",
        "enc0_vocab_file": "vocab.json",
        "enc0_freeze_pretrained_embedding": freeze,
        "tied_token_embedding_weight": tied,
        "auxiliary": {"auxiliary": Channel({"glove.txt": VECTORS, "vocab.json": TOKENS}, "auxiliary")},
    }
    before = Learner(setting(**given)).tables[0].values()
    assert before[1:3].tolist() == [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]]
    assert 0 < np.abs(before[3:]).max() <= 0.05
    learner = Learner(setting(**given))
    go_on(learner, data(channel(*pairs()), setting()), range(1))
    after = learner.tables[0].values()
    assert np.array_equal(before, after) == freeze
    assert len(learner.tables) == (1 if tied else 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "looked for in channel 'auxiliary', which was not given"),
        (
            {"auxiliary": {"auxiliary": Channel({"vocab.json": TOKENS}, "auxiliary")}},
            "channel 'auxiliary' holds no file 'glove.txt', but vocab.json",
        ),
        (
            {"auxiliary": {"auxiliary": Channel({"glove.txt": b"one 1 2\n", "vocab.json": TOKENS})}},
            "line 1 of train/glove.txt has 2 numbers behind its token; expected 6",
        ),
    ],
)
def test_pretrained_files_that_are_missing_or_wrong_are_named(changes: dict[str, Any], message: str) -> None:
    files = {"enc0_pretrained_embedding_file": "glove.txt", "enc0_vocab_file": "vocab.json"}
    with pytest.raises(UserError, match=message):
        Learner(setting(**files, **changes))


def test_an_incremental_job_goes_on_from_the_model(tmp_path: Path) -> None:
    learner, _ = train(pairs())
    model = learner.model()
    assert model is not None
    model.save(tmp_path)
    again = Learner(setting(warm_start=tmp_path, learning_rate=0.001))
    np.testing.assert_array_equal(again.tables[1].values(), arrays(learner)["enc1.embedding.weight"])
    go_on(again, data(channel(*pairs()), setting()), range(1))
    for changes, name in (
        ({"mlp_dim": 7}, "mlp.0.bias"),
        ({"enc0_vocab_size": 31}, "enc0.embedding.weight"),
        ({"tied_token_embedding_weight": True}, "enc1.embedding.weight"),
        ({"mlp_layers": 2}, "mlp.1.bias"),
    ):
        with pytest.raises(UserError, match=f"does not fit: its {name} is"):
            Learner(setting(warm_start=tmp_path, **changes))


def test_two_tables_of_one_size_are_remarked_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Learner(setting())
    assert "tied_token_embedding_weight=true lets both sides teach one table" in caplog.text
    caplog.clear()
    Learner(setting(tied_token_embedding_weight=True))
    Learner(setting(enc1_vocab_size=31))
    assert "lets both sides teach" not in caplog.text
    assert "enc1_vocab_size=31 is given, so it holds although enc1_network=enc0" in caplog.text


def test_lazy_updates_and_what_they_change_are_said(caplog: pytest.LogCaptureFixture) -> None:
    Learner(setting(token_embedding_storage_type="row_sparse", bucket_width=5))
    assert "lazy_update" in caplog.text
    assert "bucket_width=5 is taken as 0" in caplog.text


@pytest.mark.parametrize(("rate", "expected"), [(0, 50 / 4), (3, 50 / 13)])
def test_a_regression_begins_at_the_mean_of_all_hosts_labels(rate: int, expected: float) -> None:
    """Of 10, 10, 30, 0: those of the negatives are 0, three to each pair that is labelled otherwise."""
    shards = [[10, 10], [30, 0]]

    def work(cluster: Any) -> float:
        records = [{"label": label, "in0": [1], "in1": [2]} for label in shards[cluster.rank]]
        made = setting(cluster, output_layer="mean_squared_error", negative_sampling_rate=rate)
        source = data(channel(*records, distribution="ShardedByS3Key"), made)
        return Learner(replace(made, train=source)).module.output.bias.item()

    assert on_hosts(2, work) == [pytest.approx(expected)] * 2


def test_diverged_training_says_what_to_lower() -> None:
    changes = {"output_layer": "mean_squared_error", "optimizer": "sgd", "learning_rate": 1.0}
    records = [pair | {"label": 1e30 * pair["label"]} for pair in pairs()]
    with pytest.raises(UserError, match=r"training diverged.*lower learning_rate \(1\)"):
        train(records, epochs=3, **changes)


def test_both_sides_begin_alike_so_that_the_same_input_is_compared_as_the_same() -> None:
    for changes in ({}, {"enc0_network": "hcnn", "enc_dim": 8}, {"enc0_network": "bilstm"}):
        learner = Learner(setting(**changes))
        tables = [table.values() for table in learner.tables]
        np.testing.assert_array_equal(*tables)
        first, second = (encoder.state_dict() for encoder in learner.module.encoders)
        for name, weight in first.items():
            torch.testing.assert_close(weight, second[name], rtol=0, atol=0)
        others = learner.module.state_dict()
        assert all(others[f"enc0.{name}"].data_ptr() != others[f"enc1.{name}"].data_ptr() for name in first)

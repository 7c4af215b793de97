from __future__ import annotations

import logging
import re
from dataclasses import replace

import numpy as np
import pytest

from optml.algorithms.base import Setting
from optml.algorithms.ip_insights.learner import Learner
from optml.algorithms.ip_insights.pairs import scan
from optml.algorithms.kernels.pairs import SHORT
from optml.algorithms.kernels.pairs.terms import BETA1, BETA2, LENGTHS, OFFSETS
from optml.algorithms.kernels.pairs.view_cpu import prefix_rows_of
from optml.errors import UserError
from tests.algorithms.hosts import on_hosts
from tests.algorithms.ip_insights.training import (
    Files,
    TrainChannel,
    absorb,
    at_home,
    setting,
    training,
    validation,
    values,
)


def learned(given: Setting, pairs: int = 2000) -> Learner:
    data = training(at_home(pairs), given)
    state = Learner(replace(given, train=data))
    absorb(state, data)
    return state


def test_users_at_home_are_told_from_strangers() -> None:
    given = setting(
        vector_dim=16, mini_batch_size=500, epochs=8, random_negative_sampling_rate=3, learning_rate=0.03
    )
    state = Learner(given)
    metrics = absorb(state, training(at_home(5000), given))
    assert metrics["train:binary_classification_accuracy:epoch"] > 0.95
    assert metrics["train:binary_classification_cross_entropy:epoch"] < 0.15
    found = values(list(state.evaluate("validation", validation(at_home(500, seed=1), given).epoch(0))))
    assert found["validation:discriminator_auc"] > 0.99
    model = state.finish()[0]
    text = b"user_3,40.3.7.9\nuser_3,40.3.7.200\nuser_3,50.4.7.9\nuser_3,199.1.2.3\n"
    usual, other, work, strange = model.predict(scan(text, "x")[0], {})["dot_product"].tolist()
    assert min(usual, other) > 0 > max(work, strange)


def test_the_first_batch_knows_nothing() -> None:
    given = setting(vector_dim=32, _ip_prefix_tables=True, mini_batch_size=1000, num_entity_vectors=1000)
    state = Learner(given)
    text = at_home(500, users=500)
    (batch, *_) = training(text, setting(mini_batch_size=1000, random_negative_sampling_rate=5)).epoch(0)
    metrics = values(list(state.update(batch)))
    assert metrics["train:binary_classification_cross_entropy"] == pytest.approx(np.log(2), abs=0.003)
    assert 0.45 < metrics["train:binary_classification_accuracy"] < 0.55


def test_a_step_is_adam_s_on_rows_of_the_batch_and_no_others() -> None:
    given = setting(num_ip_encoder_layers=0, learning_rate=0.1, weight_decay=0.5, mini_batch_size=10)
    state = Learner(given)
    before = state.parameters.values()
    (batch, *_) = training(b"a,1.2.3.4\nb,5.6.7.8\nc,9.1.2.3\n", given).epoch(0)
    state.update(batch)
    after = state.parameters.values()
    touched = np.unique(batch.samples.rows)
    rest = np.delete(np.arange(50), touched)
    np.testing.assert_array_equal(after["entity_table"][rest], before["entity_table"][rest])
    # The first step of Adam is as long as the learning rate, against the sign of the gradient.
    steps = np.abs(after["entity_table"] - before["entity_table"])[touched]
    np.testing.assert_allclose(steps, 0.1, rtol=1e-2)
    vectors = (
        np.where((batch.samples.addresses[:, None] >> np.arange(31, -1, -1, dtype=np.uint32)) & 1, 1, -1)
        @ before["encoder.bits"]
    )
    scores = (before["entity_table"][batch.samples.rows] * vectors).sum(axis=1)
    slopes = (1 / (1 + np.exp(-scores)) - batch.samples.labels) / len(batch)
    for row in touched:
        of_row = batch.samples.rows == row
        gradient = slopes[of_row] @ vectors[of_row] + 0.5 * before["entity_table"][row]
        correct = np.sqrt(1 - BETA2) / (1 - BETA1)
        step = 0.1 * correct * (1 - BETA1) * gradient / (np.sqrt((1 - BETA2) * gradient**2) + 1e-8)
        np.testing.assert_allclose(after["entity_table"][row], before["entity_table"][row] - step, atol=1e-4)


def test_the_learning_rate_falls_to_nothing_over_all_epochs() -> None:
    given = setting(num_ip_encoder_layers=0, learning_rate=0.1, mini_batch_size=10, epochs=2)
    state, data = Learner(given), training(b"a,1.2.3.4\n" * 100, given)
    steps = []
    for epoch in range(2):
        for batch in data.epoch(epoch):
            before = state.parameters.values()["encoder.bits"]
            state.update(batch)
            steps.append(np.abs(state.parameters.values()["encoder.bits"] - before).max())
        list(state.end_round())
    assert len(steps) == 60
    assert steps[0] == pytest.approx(0.1, rel=1e-2)
    # No step of Adam is longer than the rate times (1 - 0.9) / sqrt(1 - 0.999)
    assert all(step < 3.2 * 0.1 * (1 - at / 60) for at, step in enumerate(steps))
    assert steps[-1] < 0.01


@pytest.mark.parametrize("hosts", [1, 2])
def test_hosts_agree_on_what_share_of_an_epoch_is_past(hosts: int) -> None:
    def on(cluster: object) -> list[float]:
        given = setting(cluster, mini_batch_size=100)  # type: ignore[arg-type]
        return [batch.past for batch in training(at_home(400), given).epoch(0)]

    for past in on_hosts(hosts, on):
        assert past == [hosts * at / 12 for at in range(12 // hosts)]


def test_metrics_are_means_since_the_epoch_began(caplog: pytest.LogCaptureFixture) -> None:
    given = setting(mini_batch_size=100, batch_metrics_publish_interval=5)
    state, alone = Learner(given), Learner(given)
    seen, losses = [], []
    with caplog.at_level(logging.INFO, logger="optml"):
        for batch in training(at_home(400), given).epoch(0):
            before = float(alone.totals[1])
            list(alone.update(batch))
            losses.append((float(alone.totals[1]) - before) / 100)
            seen.append(list(state.update(batch)))
        epoch = values(list(state.end_round()))
    assert [len(metrics) for metrics in seen] == [2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0]
    assert [metric.batch for metrics in seen for metric in metrics] == [0, 0, 5, 5, 10, 10]
    loss = "train:binary_classification_cross_entropy"
    assert values(seen[10])[loss] == pytest.approx(np.mean(losses[:11]))
    assert epoch[f"{loss}:epoch"] == pytest.approx(np.mean(losses))
    speed = (
        r"Epoch\[0\] Batch \[(\d+)\]\tSpeed: \d+\.\d\d samples/sec\tbinary_classification_accuracy=0\.\d{6}"
    )
    assert re.findall(speed, caplog.text) == ["5", "5", "10", "10"]  # of two learners
    assert re.search(r"Epoch\[0\] Train-binary_classification_cross_entropy=0\.\d{6}\n", caplog.text)
    assert re.search(r"Epoch\[0\] Time cost=\d+\.\d{3}\n", caplog.text)


@pytest.mark.parametrize("prefixes", [False, True])
def test_a_job_killed_and_resumed_ends_as_if_undisturbed(prefixes: bool) -> None:
    given = setting(mini_batch_size=100, epochs=2, _ip_prefix_tables=prefixes)
    whole = learned(given, 300)
    data = training(at_home(300), given)
    first = Learner(replace(given, train=data))
    batches = [batch for epoch in range(2) for batch in data.epoch(epoch)]
    half = len(batches) // 2
    for at, batch in enumerate(batches[: half + 2]):
        if at == half:
            list(first.end_round())
        first.update(batch)
    state = {name: array.copy() for name, array in first.state_dict().items()}
    second = Learner(setting(mini_batch_size=100, epochs=2, _ip_prefix_tables=prefixes, seed=9))
    second.load_state_dict(state)
    for batch in batches[half + 2 :]:
        second.update(batch)
    list(second.end_round())
    for name, array in whole.parameters.values().items():
        np.testing.assert_array_equal(second.parameters.values()[name], array)
    np.testing.assert_array_equal(second.seen.bits, whole.seen.bits)


@pytest.mark.parametrize("entities", [50, 5000])  # sums of the whole table, and of touched rows
def test_two_hosts_learn_as_one_with_batches_twice_as_large(entities: int) -> None:
    def on(cluster: object) -> dict[str, np.ndarray]:
        given = setting(cluster, mini_batch_size=100, epochs=2, num_entity_vectors=entities)  # type: ignore[arg-type]
        state, data = Learner(given), training(at_home(400), given)
        for epoch in range(2):
            for batch in data.epoch(epoch):
                state.update(batch)
            list(state.end_round())
        return state.parameters.values()

    first, second = on_hosts(2, on)
    alone = learned(
        setting(mini_batch_size=200, epochs=2, num_entity_vectors=entities), 400
    ).parameters.values()
    for name, array in alone.items():
        np.testing.assert_array_equal(first[name], second[name])
        np.testing.assert_allclose(first[name], array, atol=1e-3)  # a tenth of a step of 0.01


def test_a_host_that_has_run_out_learns_what_the_other_one_does() -> None:
    texts = at_home(300), at_home(50, seed=1)

    def on(cluster: object) -> tuple[dict[str, np.ndarray], list[bool], float]:
        given = setting(cluster, mini_batch_size=100)  # type: ignore[arg-type]
        source = Files("train", texts[cluster.rank], distribution="ShardedByS3Key")  # type: ignore[attr-defined]
        data = TrainChannel(source, given)
        state, batches = Learner(replace(given, train=data)), list(data.epoch(0))
        for at in range(9):
            state.update(batches[at] if at < len(batches) else None)
        metrics = values(list(state.end_round()))
        hashes = scan(b"".join(texts), "x")[0].hashes
        return state.parameters.values(), state.seen.seen(hashes).tolist(), metrics[next(iter(metrics))]

    (first, seen, accuracy), (second, too, same) = on_hosts(2, on)
    assert all(seen)
    assert seen == too
    assert accuracy == same
    for name, array in first.items():
        np.testing.assert_array_equal(second[name], array)


def test_validation_scores_of_all_hosts_make_one_area() -> None:
    text = at_home(70_000, seed=2)  # more than a host scores at a time

    def on(cluster: object) -> float:
        given = setting(cluster)  # type: ignore[arg-type]
        (metric,) = Learner(given).evaluate("validation", validation(text, given).epoch(0))
        return float(metric.value)

    alone = setting()
    (expected,) = Learner(alone).evaluate("validation", validation(text, alone).epoch(0))
    assert on_hosts(2, on) == [expected.value, expected.value]


def test_the_seed_alone_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    first, again = (learned(setting(mini_batch_size=100), 200).parameters.values() for _ in range(2))
    other = Learner(setting(seed=1)).parameters.values()
    for name, array in first.items():
        np.testing.assert_array_equal(again[name], array)
    assert not np.array_equal(other["entity_table"], Learner(setting()).parameters.values()["entity_table"])


def test_a_diverged_job_says_what_to_lower() -> None:
    given = setting(learning_rate=10.0, mini_batch_size=50, epochs=2, num_ip_encoder_layers=40)
    with pytest.raises(UserError, match=r"training diverged: .* Lower learning_rate \(10\)"):
        learned(given, 1000)


def test_what_no_machine_holds_is_refused_with_its_size() -> None:
    with pytest.raises(UserError, match=r"take 1.53e[+]04 GiB, .* lower num_entity_vectors \(250000000\)"):
        Learner(setting(num_entity_vectors=250_000_000, vector_dim=4096))


def test_the_size_of_the_tables_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="optml"):
        Learner(setting(num_entity_vectors=1000, vector_dim=16))
    assert "Vectors of 1000 entities take " in caplog.text


def test_a_learner_knows_the_entities_before_its_first_batch() -> None:
    state = Learner(setting())
    assert state.seen.seen(scan(at_home(20), "x")[0].hashes).all()


def test_a_bad_line_is_found_before_anything_is_learnt() -> None:
    given = setting()
    with pytest.raises(UserError, match=r"line 2 of train/0.csv has the address 'x'"):
        Learner(replace(given, train=training(b"a,1.2.3.4\na,x\n", given)))


def test_there_is_no_model_before_the_first_batch() -> None:
    assert Learner(setting()).model() is None


def test_a_channel_without_pairs_on_any_host_is_refused() -> None:
    state = Learner(setting())
    state.update(None)
    with pytest.raises(UserError, match="channel 'train' is empty"):
        state.end_round()


@pytest.mark.parametrize("shuffled", [1, 0])
def test_a_large_network_is_not_taught_that_it_is_popular(shuffled: int) -> None:
    """Vectors of short prefixes that no pair has stay as they began, however many random addresses have them;
    where there are no shuffled pairs, nothing else would tell what an observed address is."""
    given = setting(
        _ip_prefix_tables=True, weight_decay=0.0, epochs=1, shuffled_negative_sampling_rate=shuffled
    )
    short = OFFSETS[sum(length <= SHORT for length in LENGTHS)]
    state = Learner(given)
    begun = state.parameters.values()["encoder.prefixes"][:short]
    absorb(state, training(at_home(2000), given))
    ended = state.parameters.values()["encoder.prefixes"][:short]
    moved = np.flatnonzero((begun != ended).any(axis=1))
    rows = np.unique(prefix_rows_of(scan(at_home(2000), "train")[0].addresses))
    np.testing.assert_array_equal(moved, rows[rows < short] if shuffled else np.arange(short))

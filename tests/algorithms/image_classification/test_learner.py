"""The learner: what it learns, resumes, shares with other hosts, begins with, and says."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

torch = pytest.importorskip("torch")

from optml.algorithms.cluster import Cluster  # noqa: E402
from optml.algorithms.image_classification.facts import Facts  # noqa: E402
from optml.algorithms.image_classification.model import Model, load  # noqa: E402
from optml.algorithms.vision.architecture import Architecture  # noqa: E402
from optml.algorithms.vision.precision import Precision  # noqa: E402
from optml.algorithms.vision.weights.naming import TORCH, ZOO  # noqa: E402
from optml.errors import UserError  # noqa: E402
from tests.algorithms.hosts import on_hosts  # noqa: E402
from tests.algorithms.image_classification.training import (  # noqa: E402
    CLASSES,
    SIDE,
    Channel,
    absorb,
    channel,
    learner,
)
from tests.algorithms.vision.test_weights import arrays, write  # noqa: E402

TRAIN = channel(64)


def equal(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def filed(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As a checkpoint holds them: in C order, whatever the order in memory was."""
    return {name: np.array(array, order="C") for name, array in state.items()}


def accuracy(metrics: list[Any]) -> float:
    return float(metrics[0].value)


def test_pictures_are_told_apart() -> None:
    train, unseen = channel(320), channel(64, seed=1)
    state = learner(train, mini_batch_size=32)
    (metric,) = absorb(state, train, 5)
    assert metric.name == "train:accuracy"
    assert metric.value > 0.9
    (score,) = state.evaluate("validation", unseen.batches(10))
    assert score.name == "validation:accuracy"
    assert score.value > 0.85
    model, _ = state.finish()
    answers = model.probabilities(unseen.pixels)
    right = (answers.argmax(1) == unseen.labels)[:60].mean()
    assert right == pytest.approx(score.value, abs=1e-6)


@pytest.mark.parametrize(
    "given",
    [
        {"optimizer": "sgd", "top_k": 2},
        pytest.param({"optimizer": "nag", "lr_scheduler_step": (1,)}, marks=pytest.mark.slow),
        {"optimizer": "adam", "learning_rate": 0.01},
        pytest.param({"optimizer": "rmsprop", "learning_rate": 0.001}, marks=pytest.mark.slow),
        {"precision_dtype": "float16"},
    ],
    ids=str,
)
def test_every_setting_learns_and_resumes_to_the_bit(given: dict[str, Any]) -> None:
    state = learner(TRAIN, **given)
    first = accuracy(absorb(state, TRAIN))
    taken = learner(TRAIN, seed=5, **given)
    taken.load_state_dict(filed(state.state_dict()))
    parts = list(TRAIN.batches(16))
    for each in (state, taken):
        for batch in parts[:2]:
            each.update(batch)
    again = learner(TRAIN, seed=6, **given)
    again.load_state_dict(filed(taken.state_dict()))
    for each in (state, again):
        for batch in parts[2:]:
            each.update(batch)
    assert list(state.end_round()) == list(again.end_round())
    assert equal(state.state_dict(), again.state_dict())
    for _ in range(4):
        last = absorb(state, TRAIN)
    assert accuracy(last) > first


def test_two_hosts_agree_and_take_the_step_of_both_batches() -> None:
    def host(cluster: Cluster) -> dict[str, np.ndarray]:
        state = learner(TRAIN, cluster=cluster, mini_batch_size=8)
        for number, batch in enumerate(TRAIN.batches(8)):
            if number % 2 == cluster.rank:
                state.update(batch)
        (metric,) = state.end_round()
        assert 0 < metric.value <= 1
        return state.network.arrays()

    one, other = on_hosts(2, host)
    assert equal(one, other)
    # Batch norm sees the batch of its host: as one that has the same images twice, where both have the same.
    alone = learner(TRAIN, mini_batch_size=8)
    first = next(TRAIN.batches(8))
    alone.update(first)

    def same(cluster: Cluster) -> dict[str, np.ndarray]:
        state = learner(TRAIN, cluster=cluster, mini_batch_size=8)
        state.update(first)
        return state.network.arrays()

    for arrays_of_host in on_hosts(2, same):
        for name, array in alone.network.arrays().items():
            np.testing.assert_allclose(arrays_of_host[name], array, atol=1e-5, err_msg=name)


def test_hosts_without_a_batch_take_part() -> None:
    def host(cluster: Cluster) -> dict[str, np.ndarray]:
        state = learner(TRAIN, cluster=cluster)
        state.update(next(TRAIN.batches(16)) if cluster.rank else None)
        state.end_round()
        return state.network.arrays()

    one, other = on_hosts(2, host)
    assert equal(one, other)


def test_weighted_loss_finds_more_of_a_rare_label() -> None:
    train = channel(160)
    rare = np.random.default_rng(0).random(160) < 0.1
    several = np.stack([train.labels < 2, (train.labels == 3) & rare], axis=1).astype(np.float32)
    recalls = []
    for weighted in (0, 1):
        settings = {"multi_label": 1, "num_classes": 2, "use_weighted_loss": weighted}
        labelled = Channel(train.pixels, several)
        state = learner(labelled, **settings)
        absorb(state, labelled, 3)
        model, _ = state.finish()
        answers = model.probabilities(train.pixels)
        assert not np.allclose(answers.sum(axis=1), 1)
        recalls.append(answers[several[:, 1] == 1, 1].mean())
    assert recalls[1] > recalls[0] + 0.1


def test_the_log_is_as_aws_prints_it(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.INFO, "optml")
    train = channel(16 * 42)
    state = learner(
        train,
        top_k=2,
        epochs=2,
        num_training_samples=9,
        lr_scheduler_step=(1,),
        checkpoint_frequency=2,
        store=tmp_path,
    )
    for _ in range(2):
        absorb(state, train)
        list(state.evaluate("validation", train.batches(16)))
    lines = [record.getMessage() for record in caplog.records]
    speed = [line for line in lines if "Batch" in line]
    number = r"\d\.\d{6}"
    shares = rf"accuracy={number}\ttop_k_accuracy_2={number}"
    pattern = rf"Epoch\[(\d)\] Batch \[(\d+)\]\tSpeed: [\d.]+ samples/sec\t{shares}"
    assert [re.fullmatch(pattern, line).groups() for line in speed] == [  # type: ignore[union-attr]
        ("0", "20"), ("0", "40"), ("1", "20"), ("1", "40"),
    ]  # fmt: skip
    share = float(speed[0].split("accuracy=")[1].split("\t")[0]) * 21 * 16
    assert share == pytest.approx(round(share), abs=1e-3)  # of the epoch's images so far
    for line in (
        "use_pretrained_model: 0", "multi_label: 0", "Performing random weight initialization",
        "---- Parameters ----", "num_layers: 20", "data type: <class 'numpy.float32'>", "kv_store: device",
        "--------------------", "Setting number of threads: 1", "Update[42]: Change learning rate to "
        "5.00000e-03",
        'Saved checkpoint to "checkpoints/epoch-0002.safetensors"',
    ):  # fmt: skip
        assert line in lines
    assert sum("num_training_samples is 9, but channel 'train' has 672 images" in line for line in lines) == 1
    assert any(re.fullmatch(r"Epoch\[1\] Time cost=\d+\.\d{3}", line) for line in lines)
    state.finish()[0].save(tmp_path / "model")
    assert [path.name for path in (tmp_path / "model/checkpoints").iterdir()] == ["epoch-0002.safetensors"]
    stored = load_file(tmp_path / "model/checkpoints/epoch-0002.safetensors")
    assert equal(stored, state.network.arrays())


def test_training_goes_on_from_a_model(tmp_path: Path) -> None:
    state = learner(TRAIN)
    absorb(state, TRAIN, 2)
    model = state.model()
    assert model is not None
    model.save(tmp_path)
    other = learner(TRAIN, seed=9, warm_start=tmp_path)
    assert equal(other.network.arrays(), state.network.arrays())
    with pytest.raises(UserError) as error:
        learner(TRAIN, warm_start=tmp_path, num_classes=5, num_layers=32)
    assert "num_layers is 20 there and 32 here; num_classes is 4 there and 5 here" in str(error.value)


@pytest.mark.parametrize("own", [ZOO, TORCH], ids=lambda own: own.title)
def test_pretrained_weights_are_taken_but_for_the_head(own: Any, tmp_path: Path) -> None:
    network = Architecture(18, own.layout, "3x3", 1)
    foreign = arrays(network, classes=9)
    write(tmp_path / "x.safetensors", own, foreign)
    places = {"channel 'pretrained'": tmp_path}
    state = learner(TRAIN, num_layers=18, use_pretrained_model=1, pretrained=places)
    taken = state.network.arrays()
    assert state.facts.architecture == network
    assert taken["fc.weight"].shape == (CLASSES, 512)
    assert all(np.array_equal(taken[name], foreign[name]) for name in foreign if not name.startswith("fc."))
    assert not state.model()  # nothing learnt yet
    state.update(next(TRAIN.batches(16)))
    assert not np.array_equal(
        state.network.arrays()["conv1.weight"], foreign["conv1.weight"]
    )  # all is trained


def test_missing_weights_are_an_error_with_its_cure() -> None:
    with pytest.raises(
        UserError, match=r"no weights of ResNet-18 for 1 channels .*optml weights fetch resnet18"
    ):
        learner(TRAIN, num_layers=18, use_pretrained_model=1)


def test_scaled_networks_see_the_same_in_training_and_as_models() -> None:
    facts = Facts(Architecture(20, "post", "3x3", 3), SIDE, SIDE, CLASSES)
    model = Model(facts, arrays(replace(facts.architecture), CLASSES))
    pixels = channel(4, 3).pixels
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    scaled = ((pixels / 255 - mean) / std).astype(np.float32).transpose(0, 3, 1, 2)
    network = model.module()
    for array in (array for name, array in model.arrays.items() if name.endswith("running_var")):
        np.abs(array, out=array)
    network = model.module()
    with torch.no_grad():
        expected = network(torch.from_numpy(scaled)).softmax(1).numpy()
    np.testing.assert_allclose(model.probabilities(pixels), expected, atol=1e-3)


def test_an_overflow_in_half_precision_leaves_the_update_out() -> None:
    precision = Precision(torch.float16, "cpu")
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([1.0, float("inf")])
    assert not precision.finite([parameter])
    assert precision.scale == 2.0**15
    parameter.grad = torch.ones(2)
    assert precision.finite([parameter])
    other = Precision(torch.float16, "cpu")
    other.load_state_dict(precision.state_dict())
    assert other.scale == 2.0**15
    for _ in range(2000):
        assert other.finite([parameter])
    assert other.scale == 2.0**16


def test_a_diverged_model_is_refused(tmp_path: Path) -> None:
    facts = Facts(Architecture(20, "pre", "3x3", 1), SIDE, SIDE, CLASSES, names=("a", "", "c"))
    values = arrays(facts.architecture, CLASSES)
    Model(facts, values).save(tmp_path)
    again = load(tmp_path, "cpu")
    assert again.facts == facts
    assert [again.facts.label(number) for number in range(4)] == ["a", "1", "c", "3"]
    values["fc.bias"][0] = np.nan
    Model(facts, values).save(tmp_path)
    with pytest.raises(UserError, match=r"fc\.bias holds numbers that are not finite"):
        load(tmp_path, "cpu")
    del values["fc.bias"]
    Model(facts, values).save(tmp_path)
    with pytest.raises(UserError, match=r"holds no whole ResNet-20 pre.*fc\.bias first \(none, expected"):
        load(tmp_path, "cpu")

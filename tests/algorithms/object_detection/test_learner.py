"""The learner: what it learns, resumes, shares with other hosts, begins with, and says."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optml.algorithms import ndarray  # noqa: E402
from optml.algorithms.cluster import Cluster  # noqa: E402
from optml.algorithms.object_detection import vgg  # noqa: E402
from optml.algorithms.object_detection.learner import Learner  # noqa: E402
from optml.algorithms.object_detection.model import load  # noqa: E402
from optml.algorithms.vision.architecture import Architecture  # noqa: E402
from optml.algorithms.vision.weights.naming import TORCH, ZOO  # noqa: E402
from optml.errors import UserError  # noqa: E402
from tests.algorithms.hosts import on_hosts  # noqa: E402
from tests.algorithms.object_detection.mxnet_graph import detector, write  # noqa: E402
from tests.algorithms.object_detection.training import (  # noqa: E402
    absorb,
    channel,
    hyperparameters,
    learner,
    small,
)
from tests.algorithms.vision.test_weights import arrays  # noqa: E402
from tests.algorithms.vision.test_weights import write as write_weights  # noqa: E402

TRAIN = channel(12)


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with small():
        yield


def equal(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name], equal_nan=True) for name in one
    )


def filed(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As a checkpoint holds them: in C order, whatever the order in memory was."""
    return {name: np.array(array, order="C") for name, array in state.items()}


def score(state: Learner, seen: Any) -> float:
    (metric,) = state.evaluate("validation", seen.batches(4))
    assert metric.name == "validation:mAP"
    return float(metric.value)


def test_shapes_are_learnt_by_heart() -> None:
    state = learner(TRAIN, optimizer="adam", learning_rate=0.002)
    first = absorb(state, TRAIN)
    last = absorb(state, TRAIN, 19)
    assert [metric.name for metric in last] == ["train:cross_entropy", "train:smooth_l1"]
    assert all(metric.batch == 3 for metric in last)
    assert last[0].value < first[0].value / 4
    assert score(state, TRAIN) > 0.7
    model, _ = state.finish()
    answers = model.detections(TRAIN.pixels)
    right = [rows[0, 0] == truths[0, 0] for rows, truths in zip(answers, TRAIN.truths, strict=True)]
    assert np.mean(right) > 0.7


@pytest.mark.parametrize(
    "given",
    [
        {"optimizer": "sgd", "learning_rate": 0.005, "lr_scheduler_step": (1,)},
        pytest.param({"optimizer": "rmsprop"}, marks=pytest.mark.slow),
        pytest.param({"optimizer": "adadelta"}, marks=pytest.mark.slow),
        {"optimizer": "adam", "freeze_layer_pattern": "^(conv0|stage1).*"},
    ],
    ids=str,
)
def test_every_setting_learns_and_resumes_to_the_bit(given: dict[str, Any]) -> None:
    state = learner(TRAIN, **given)
    before = state.network.arrays()
    first = absorb(state, TRAIN)[0].value
    taken = learner(TRAIN, seed=5, **given)
    taken.load_state_dict(filed(state.state_dict()))
    parts = list(TRAIN.batches(4))
    for each in (state, taken):
        for batch in parts[:1]:
            each.update(batch)
    again = learner(TRAIN, seed=6, **given)
    again.load_state_dict(filed(taken.state_dict()))
    for each in (state, again):
        for batch in parts[1:]:
            each.update(batch)
    assert list(state.end_round()) == list(again.end_round())
    assert equal(state.state_dict(), again.state_dict())
    assert absorb(state, TRAIN, 4)[0].value < first
    frozen = "base.conv1.weight"
    same = np.array_equal(state.network.arrays()[frozen], before[frozen])
    assert same == ("freeze_layer_pattern" in given)


def test_two_hosts_agree_and_take_the_step_of_both_batches() -> None:
    first = next(TRAIN.batches(4))

    def host(cluster: Cluster) -> dict[str, np.ndarray]:
        state = learner(TRAIN, cluster=cluster)
        for number, batch in enumerate(TRAIN.batches(4)):  # three: the second host runs out
            if number % 2 == cluster.rank:
                state.update(batch)
        if cluster.rank:
            state.update(None)
        metrics = list(state.end_round())
        assert all(np.isfinite(metric.value) for metric in metrics)
        assert 0 <= score(state, TRAIN) <= 1
        return state.network.arrays()

    one, other = on_hosts(2, host)
    assert equal(one, other)

    def same(cluster: Cluster) -> dict[str, np.ndarray]:
        state = learner(TRAIN, cluster=cluster)
        state.update(first)
        return state.network.arrays()

    alone = learner(TRAIN)
    alone.update(first)
    for of_host in on_hosts(2, same):
        for name, array in alone.network.arrays().items():
            np.testing.assert_allclose(of_host[name], array, atol=1e-5, err_msg=name)


def test_batches_without_objects_change_nothing() -> None:
    state = learner(TRAIN)
    batch = next(TRAIN.batches(4))
    batch.truths[:] = -1
    before = {name: tensor.clone() for name, tensor in state.module.named_parameters()}
    state.update(batch)
    assert all(torch.equal(before[name], tensor) for name, tensor in state.module.named_parameters())
    assert list(state.end_round()) == []
    assert state.model() is None


def test_rates_fall_after_the_updates_that_a_log_of_aws_tells() -> None:
    state = learner(TRAIN, mini_batch_size=16, num_training_samples=16551, lr_scheduler_step=(3, 6))
    rates = [state._rate(update - 1) for update in (1, 3102, 3103, 6204, 6205)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5])


def test_the_log_is_as_aws_prints_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "optml")
    train = channel(101)
    train.names = ("square", "")
    state = learner(train, mini_batch_size=1, num_training_samples=2, lr_scheduler_step=(3,), epochs=1)
    absorb(state, train)
    for value in (score(state, channel(4, seed=1)), 0.0):
        state.rule.update(value)
    _, metrics = state.finish()
    assert not list(metrics)
    lines = [record.getMessage() for record in caplog.records]
    told = [line for line in lines if "num_examples" in line]
    pattern = (
        r"Epoch:    0, batches:    100, num_examples:    100, [\d.]+ samples/sec, "
        r"epoch time so far:  \d:\d\d:\d\d(\.\d+)?"
    )
    assert len(told) == 1
    assert re.fullmatch(pattern, told[0]), told
    best = repr(state.rule.best)
    for line in (
        "Training images are resized to image shape (3, 64, 64)", "Number of GPUs being used: 0",
        "Using [cpu(0)] as training context.", "Create Store: device", "Round of batches complete",
        "Start training from scratch: use_pretrained_model is 0.", "Updated the metrics",
        "Update[7]: Change learning rate to 1.00000e-04"
        "", f"Updating the best model with validation-mAP={best}",
        "wait_for_all_workers will not sync workers since the kv store is not running distributed",
        'Saved checkpoint to "model.safetensors"', "Test data is not provided.",
    ):  # fmt: skip
        assert line in lines, line
    assert any(re.fullmatch(r"Average precision of class square: \d\.\d{4}", line) for line in lines)
    assert sum("num_training_samples is 2, but channel 'train' has 101 images" in line for line in lines) == 1


def test_the_other_map_stands_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    state = learner(TRAIN)
    (one,) = state.evaluate("validation", TRAIN.batches(4))
    assert list(one.beside) == ["validation_mAP_voc07"]
    monkeypatch.setenv("OPTML_VOC07_METRIC", "1")
    (other,) = learner(TRAIN).evaluate("validation", TRAIN.batches(4))
    assert (other.value, other.beside) == (
        one.beside["validation_mAP_voc07"], {"validation_mAP_envelope": one.value}
    )  # fmt: skip


def test_training_goes_on_from_a_model(tmp_path: Path) -> None:
    state = learner(TRAIN, optimizer="adam")
    absorb(state, TRAIN, 2)
    model = state.model()
    assert model is not None
    model.save(tmp_path)
    assert load(tmp_path, "cpu").facts == state.facts
    other = learner(TRAIN, seed=9, warm_start=tmp_path)
    assert equal(other.network.arrays(), state.network.arrays())
    with pytest.raises(UserError) as error:
        learner(TRAIN, warm_start=tmp_path, num_classes=5, base_network="vgg-16")
    assert "base_network is resnet-50 there and vgg-16 here; num_classes is 2 there and 5 here" in str(
        error.value
    )


def test_another_side_goes_on_where_layers_are_the_same(tmp_path: Path) -> None:
    model = learner(TRAIN)._model()
    model.save(tmp_path)
    from optml.algorithms.object_detection.start import _continued

    own = hyperparameters().model_copy(update={"image_shape": 96})
    assert _continued(model.facts, own) == model.facts.design


def test_a_model_of_aws_is_gone_on_with(tmp_path: Path) -> None:
    graph = detector("resnet-50", 2, extras=((64, 2, 1),) * 4)
    write(tmp_path, graph, 64)
    state = learner(TRAIN, warm_start=tmp_path)
    taken = state.network.arrays()
    assert np.array_equal(
        taken["scores.5.bias"], graph.arrays["arg:multi_feat_5_conv_3x3_relu_cls_pred_conv_bias"]
    )
    assert state.facts.design.extras[0].channels == 64
    state.update(next(TRAIN.batches(4)))
    assert state.model() is not None


@pytest.mark.parametrize("own", [ZOO, pytest.param(TORCH, marks=pytest.mark.slow)], ids=lambda own: own.title)
def test_pretrained_weights_of_a_residual_base_are_taken(own: Any, tmp_path: Path) -> None:
    foreign = arrays(Architecture(50, own.layout), classes=9)
    write_weights(tmp_path / "x.safetensors", own, foreign)
    state = learner(TRAIN, use_pretrained_model=1, pretrained={"channel 'pretrained'": tmp_path})
    taken = state.network.arrays()
    assert state.facts.design.scaling == ("mean" if own is ZOO else "imagenet")
    of_base = [name for name in foreign if not name.startswith(("fc.", "norm."))]
    assert all(np.array_equal(taken[f"base.{name}"], foreign[name]) for name in of_base)


@pytest.mark.slow
def test_pretrained_weights_of_vgg_are_taken(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    values = {
        f"arg:{name.replace('.', '_')}": random.normal(0, 0.01, tuple(tensor.shape)).astype(np.float32)
        for name, tensor in vgg.Vgg().state_dict().items()
        if not name.startswith("relu4_3")
    }
    (tmp_path / "vgg.params").write_bytes(ndarray.encode(list(values.values()), list(values)))
    places = {"channel 'pretrained'": tmp_path}
    state = learner(TRAIN, side=300, base_network="vgg-16", use_pretrained_model=1, pretrained=places)
    taken = state.network.arrays()
    assert np.array_equal(taken["base.fc6.weight"], values["arg:fc6_weight"])
    assert state.facts.design.scaling == "mean"
    assert (taken["base.relu4_3_scale"] == 20).all()


def test_missing_weights_are_an_error_with_its_cure() -> None:
    for base, name in (("resnet-50", "resnet50"), ("vgg-16", "vgg16-ssd")):
        with pytest.raises(UserError, match=rf"no weights of .* 1\).*optml weights fetch {name}"):
            learner(TRAIN, base_network=base, use_pretrained_model=1)

"""The learner: what it learns, resumes, shares with other hosts, begins with, and says."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

torch = pytest.importorskip("torch")

from optml.algorithms.cluster import Cluster  # noqa: E402
from optml.algorithms.semantic_segmentation.data import Batch  # noqa: E402
from optml.algorithms.semantic_segmentation.model import LAST, load  # noqa: E402
from optml.algorithms.vision.architecture import Architecture  # noqa: E402
from optml.algorithms.vision.weights.naming import GLUON, TORCH  # noqa: E402
from optml.errors import UserError  # noqa: E402
from tests.algorithms.hosts import on_hosts  # noqa: E402
from tests.algorithms.semantic_segmentation.training import (  # noqa: E402
    SIDE,
    absorb,
    bars,
    channel,
    learner,
)
from tests.algorithms.vision.test_weights import arrays, write  # noqa: E402

TRAIN = channel(16)


def equal(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def filed(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As a checkpoint holds them: in C order, whatever the order in memory was."""
    return {name: np.array(array, order="C") for name, array in state.items()}


def test_pixels_are_told_apart() -> None:
    train, unseen = bars(48), bars(16, seed=1)
    state = learner(train, epochs=4, learning_rate=0.02, num_classes=2)
    for _ in range(4):
        loss, speed = absorb(state, train)
    assert (loss.name, speed.name) == ("train:loss", "train:throughput")
    scores = {metric.name: metric.value for metric in state.evaluate("validation", unseen.batches(8))}
    assert scores["validation:pixel_accuracy"] > 0.85
    assert scores["validation:mIOU"] > 0.7
    model, _ = state.finish()
    right = 0
    for pixels, mask in zip(unseen.pixels.astype(np.uint8), unseen.masks, strict=True):
        classes = model.scored(pixels, (SIDE, SIDE)).classes()
        right += int((classes == mask).sum())
    share = right / int((unseen.masks != 255).sum())
    assert share == pytest.approx(scores["validation:pixel_accuracy"], abs=0.01)


@pytest.mark.parametrize(
    "given",
    [
        {"optimizer": "sgd", "algorithm": "deeplab"},
        {"optimizer": "rmsprop", "learning_rate": 1e-4, "lr_scheduler": "cosine"},
        pytest.param({"optimizer": "nag", "algorithm": "psp"}, marks=pytest.mark.slow),
        pytest.param({"optimizer": "adam", "learning_rate": 1e-3}, marks=pytest.mark.slow),
        pytest.param({"optimizer": "adagrad"}, marks=pytest.mark.slow),
        pytest.param({"optimizer": "adadelta", "learning_rate": 1.0}, marks=pytest.mark.slow),
        pytest.param({"precision_dtype": "float16"}, marks=pytest.mark.slow),
        pytest.param({"_aux_loss": False}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_every_setting_learns_and_resumes_to_the_bit(given: dict[str, Any]) -> None:
    given = {"epochs": 6, **given}
    state = learner(TRAIN, **given)
    first = absorb(state, TRAIN)[0].value
    taken = learner(TRAIN, seed=5, **given)
    taken.network._seed = 0  # numbers that are drawn go by the job's seed
    taken.load_state_dict(filed(state.state_dict()))
    one, two = TRAIN.batches(8)
    for each in (state, taken):
        each.update(one)
    again = learner(TRAIN, **given)
    again.load_state_dict(filed(taken.state_dict()))
    for each in (state, again):
        each.update(two)
    assert next(iter(state.end_round())) == next(iter(again.end_round()))
    assert equal(state.state_dict(), again.state_dict())
    last = absorb(state, TRAIN, 4)[0].value
    assert last < first


def rates(**given: Any) -> list[float]:
    """Of the encoder, in each update of 2 epochs of 2."""
    state = learner(TRAIN, epochs=2, learning_rate=0.1, **given)
    used = []
    for _ in range(2):
        for batch in TRAIN.batches(8):
            state.update(batch)
            groups = state.network.optimizer.param_groups
            used.append(min(group["lr"] for group in groups))
            assert max(group["lr"] for group in groups) == pytest.approx(10 * used[-1])  # heads
        state.end_round()
    return used


def test_rates_fall_update_by_update_or_by_epochs() -> None:
    assert rates() == pytest.approx([0.1 * (1 - t / 4) ** 0.9 for t in range(4)])
    assert rates(lr_scheduler="cosine") == pytest.approx(
        [0.05 * (1 + np.cos(np.pi * t / 4)) for t in range(4)]
    )
    assert rates(lr_scheduler="step", lr_scheduler_step=(1,)) == pytest.approx([0.1, 0.1, 0.01, 0.01])


def test_nothing_is_learnt_of_pixels_without_a_class() -> None:
    state = learner(TRAIN)
    before = state.network.arrays()
    pixels = TRAIN.pixels[:8]
    state.update(Batch(pixels, np.full((8, SIDE, SIDE), 255, np.uint8)))
    after = state.network.arrays()
    trained = [name for name in before if "running" not in name]
    assert equal({n: before[n] for n in trained}, {n: after[n] for n in trained})
    assert not state.end_round()  # nor is there a loss to tell of


def test_two_hosts_with_synchronised_batch_norm_take_one_host_s_step() -> None:
    batch = next(TRAIN.batches(8))
    masks = batch.masks.copy()
    masks[:3] = 255  # hosts have different numbers of labelled pixels
    settings: dict[str, Any] = {"syncbn": True, "algorithm": "psp", "_aux_weight": 0.4}

    def undropped(state: Any) -> Any:
        for module in state.module.modules():
            if hasattr(module, "share"):
                module.share = 0.0
        return state

    def host(cluster: Cluster) -> dict[str, np.ndarray]:
        state = undropped(learner(TRAIN, cluster=cluster, **settings))
        state.update(Batch(batch.pixels[cluster.rank :: 2], masks[cluster.rank :: 2]))
        state.end_round()
        return state.network.arrays()

    one, other = on_hosts(2, host)
    assert equal(one, other)
    alone = undropped(learner(TRAIN, **settings))
    alone.update(Batch(batch.pixels, masks))
    for name, array in alone.network.arrays().items():
        np.testing.assert_allclose(one[name], array, atol=2e-4, rtol=1e-3, err_msg=name)


@pytest.mark.parametrize("syncbn", [False, True])
def test_hosts_without_a_batch_take_part(syncbn: bool) -> None:
    def host(cluster: Cluster) -> dict[str, np.ndarray]:
        state = learner(TRAIN, cluster=cluster, syncbn=syncbn)
        state.update(next(TRAIN.batches(8)) if cluster.rank else None)
        metrics = list(state.end_round())
        assert metrics[0].value > 0
        scores = list(state.evaluate("validation", TRAIN.batches(8) if cluster.rank else []))
        assert scores[0].value > 0
        return state.network.arrays()

    one, other = on_hosts(2, host)
    assert equal(one, other)


def test_the_log_is_as_aws_prints_it(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.INFO, "optml")
    state = learner(TRAIN, epochs=2, num_training_samples=17, _logging_frequency=1, store=tmp_path)
    for _ in range(2):
        absorb(state, TRAIN)
        scores = list(state.evaluate("validation", TRAIN.batches(8)))
        state.rule.update(scores[1].value)
    assert [metric.name for metric in scores] == [
        f"validation:{name}" for name in ("pixel_accuracy", "mIOU", "mIOU_present", "throughput")
    ]
    lines = [record.getMessage() for record in caplog.records]
    speeds = [line for line in lines if line.startswith("#progress_notice. ")]
    head = r"#progress_notice\. epoch: (\d), iterations: (\d) speed: [\d.]+ samples/sec"
    trained = [
        match.groups() for line in speeds if (match := re.fullmatch(head + r" learning_rate: (\S+)", line))
    ]
    assert trained == [
        ("0", "1", "0.007719"),
        ("0", "2", "0.005359"),
        ("1", "1", "0.002872"),
        ("1", "2", "0.000000"),
    ]
    scored = [match.groups() for line in speeds if (match := re.fullmatch(head, line))]
    assert scored == [("0", "1"), ("0", "2"), ("1", "1"), ("1", "2")]
    for line in (
        "LRScheduler setup: iters per epoch: 2, num_epochs 2",
        "num_training_samples is 17, but channel 'train' has 16 images: the rate falls by the former, 2 "
        "updates an epoch",
    ):
        assert line in lines
    assert any("Serializing model to model.safetensors: the best so far" in line for line in lines)


def test_the_best_and_the_last_epoch_are_in_the_artifact(tmp_path: Path) -> None:
    state = learner(TRAIN, epochs=2, store=tmp_path / "store")
    absorb(state, TRAIN)
    best = state.state_dict()
    absorb(state, TRAIN)
    last = state.network.arrays()
    state.load_state_dict(best)
    state.finish()[0].save(tmp_path / "model")
    assert equal(load_file(tmp_path / "model" / LAST), last)
    assert equal(dict(load(tmp_path / "model", "cpu").arrays), state.network.arrays())
    assert not equal(last, state.network.arrays())
    assert (tmp_path / "model/hyperparams.json").is_file()


def test_training_goes_on_from_a_model(tmp_path: Path) -> None:
    state = learner(TRAIN, algorithm="psp")
    absorb(state, TRAIN)
    model = state.model()
    assert model is not None
    model.save(tmp_path)
    other = learner(TRAIN, seed=9, warm_start=tmp_path, algorithm="psp")
    assert equal(other.network.arrays(), state.network.arrays())
    without = learner(TRAIN, warm_start=tmp_path, algorithm="psp", _aux_loss=False)
    assert not any(name.startswith("auxlayer") for name in without.network.arrays())
    with pytest.raises(UserError) as error:
        learner(TRAIN, warm_start=tmp_path, num_classes=5, crop_size=40)
    assert (
        "algorithm is psp there and fcn here; num_classes is 4 there and 5 here; crop_size is 32 there and 40"
        in str(error.value)
    )


@pytest.mark.parametrize(("own", "stem"), [(GLUON, "deep"), (TORCH, "7x7")])
def test_pretrained_weights_are_the_encoder_s(own: Any, stem: Any, tmp_path: Path) -> None:
    foreign = arrays(Architecture(18, "post", stem), classes=9)
    write(tmp_path / ("x.params" if own is GLUON else "x.safetensors"), own, foreign)
    state = learner(TRAIN, use_pretrained_model=True, pretrained={"channel 'pretrained'": tmp_path})
    taken = state.network.arrays()
    assert state.facts.architecture.stem == stem
    for name, array in foreign.items():
        if not name.startswith("fc."):
            np.testing.assert_array_equal(taken[name], array)


def test_of_several_weights_those_of_aws_s_stem_are_taken(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", TORCH, arrays(Architecture(18, "post", "7x7"), classes=9))
    write(tmp_path / "b.params", GLUON, arrays(Architecture(18, "post", "deep"), classes=9))
    state = learner(TRAIN, use_pretrained_model=True, pretrained={"channel 'pretrained'": tmp_path})
    assert state.facts.architecture.stem == "deep"


def test_missing_weights_are_an_error_only_where_the_job_asked_for_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(UserError, match=r"no weights of ResNet-18.*optml weights fetch resnet18"):
        learner(TRAIN, use_pretrained_model=True)
    state = learner(TRAIN, use_pretrained_model=None)
    assert "use_pretrained_model was not given: the encoder begins at random" in caplog.text
    assert state.facts.architecture.stem == "deep"

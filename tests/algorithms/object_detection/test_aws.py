"""Models of AWS's image: our network answers as the operators of their graph do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from optml.algorithms import registry
from optml.errors import UserError
from tests.algorithms.object_detection.mxnet_graph import OPERATORS, Detector, detector, write
from tests.algorithms.vision.mxnet_graph import evaluate, spellings

torch = pytest.importorskip("torch")

from optml.algorithms.object_detection import aws  # noqa: E402
from optml.algorithms.object_detection.folded import Answering  # noqa: E402
from optml.algorithms.object_detection.model import Model, load  # noqa: E402
from optml.algorithms.object_detection.naming import aws_name  # noqa: E402
from optml.algorithms.object_detection.network import Detector as Network  # noqa: E402
from optml.algorithms.object_detection.requests import Pictures  # noqa: E402


def pixels(count: int, side: int) -> np.ndarray:
    random = np.random.default_rng(1)
    return random.uniform(0, 255, (count, side, side, 3)).astype(np.float32)


def answers(graph: Detector, images: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Probabilities (n, A, classes + 1), and detections."""
    less = images - np.array([123, 117, 104], np.float32)
    chances: list[np.ndarray] = []

    def softmax(inputs: list[np.ndarray], about: Mapping[str, str]) -> np.ndarray:
        chances.append(OPERATORS["SoftmaxOutput"](inputs, about))
        return chances[0]

    own = {**OPERATORS, "SoftmaxOutput": softmax}
    boxes = evaluate(graph.document(), graph.arrays, less.transpose(0, 3, 1, 2), own, head=3)
    return chances[0].transpose(0, 2, 1), list(boxes)


@pytest.mark.parametrize("base", ["resnet-50", pytest.param("vgg-16", marks=pytest.mark.slow)])
def test_the_network_answers_as_the_graph_does(base: str, tmp_path: Path) -> None:
    side = 48
    graph = detector(base, 3, extras=((64, 2, 1), (32, 1, 1)))
    facts, arrays = aws.read(write(tmp_path, graph, side))
    assert (facts.design.base, facts.design.classes, facts.side) == (base, 3, side)
    assert (facts.nms_threshold, facts.nms_topk, facts.force) == (0.45, 400, False)
    model = Model(facts, arrays)
    images = pixels(2, side)
    chances, boxes = answers(graph, images)
    exact = Answering(model.module())
    np.testing.assert_allclose(_plain(model, images), chances, atol=1e-4)
    np.testing.assert_allclose(model._answer(exact, images)[0], chances, atol=1e-4)
    assert chances.max(axis=2).mean() < 0.999  # else agreement would be easy
    model.__dict__["_network"] = exact
    for ours, theirs in zip(model.detections(images), boxes, strict=True):
        assert len(ours) == len(theirs) > 3
        nearest = np.abs(ours[:, None] - theirs[None]).max(axis=2).min(axis=1)
        np.testing.assert_allclose(nearest, 0, atol=1e-3)


def _plain(model: Model, images: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        scores: np.ndarray = model.module()(model._tensors.images(images))[0].softmax(2).numpy()
        return scores


@pytest.mark.parametrize("spelling", spellings(), ids=str)
def test_every_spelling_of_attributes_is_read(spelling: dict[str, str], tmp_path: Path) -> None:
    graph = detector("resnet-50", 2, **spelling)
    facts, arrays = aws.read(write(tmp_path, graph, 300))
    anchors = facts.design.anchors
    assert anchors.sizes[1] == (0.2, 0.272029410175)
    assert anchors.ratios == ((1, 2, 0.5), (1, 2, 0.5, 3, 0.333333333333), (1, 2, 0.5, 3, 0.333333333333))
    assert anchors.steps == (None, None, None)
    assert (facts.design.extras[0].channels, facts.design.extras[0].inner) == (64, 128)
    assert np.array_equal(arrays["scores.1.bias"], graph.arrays["arg:_plus15_cls_pred_conv_bias"])


@pytest.mark.parametrize("base", ["resnet-50", "vgg-16"])
def test_our_names_and_those_of_the_graph_are_one_to_one(base: str) -> None:
    from optml.algorithms.object_detection.design import design

    with torch.device("meta"):
        network = Network(design(base, 300, 3))  # type: ignore[arg-type]
    names = [aws_name(name, network.design.base) for name, _ in network.named_parameters()]
    assert len(set(names)) == len(names)
    extras = ((512, 2, 1), (256, 2, 1), (256, 2, 1), (128, 2, 1))
    theirs = {name.partition(":")[2] for name in detector(base, 3, extras=extras).arrays if name[:3] == "arg"}
    assert set(names) == theirs - {"bn_data_gamma"}


def test_an_artifact_is_known_by_its_graph(tmp_path: Path) -> None:
    write(tmp_path, detector("resnet-50", 2), 48)
    assert registry.recognise(tmp_path) == "object-detection"
    loaded = load(tmp_path, "cpu")
    assert loaded.facts.label(1) == "1"
    loaded.save(tmp_path / "ours")
    again = load(tmp_path / "ours", "cpu")
    assert again.facts == loaded.facts
    images = Pictures(pixels(1, 48), np.array([[48, 48]]))
    one, other = (model.predict(images, {})["prediction"][0] for model in (loaded, again))
    assert np.array_equal(one, other)


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", detector("resnet-50", 2), 48)
    symbol = folder / "model_algo_1-symbol.json"
    text = symbol.read_text()
    symbol.write_text(text.replace("_plus15_loc_pred_conv", "other"))
    with pytest.raises(UserError, match="3 layers of anchors, 3 of scores, 2 of offsets"):
        aws.read(folder)
    symbol.write_text(text.replace('"clip": "False"', '"clip": "True"'))
    with pytest.raises(UserError, match="anchors are clipped to the image"):
        aws.read(folder)
    symbol.write_text(text)
    (folder / "hyperparams.json").write_text('{"image_shape": "none"}')
    with pytest.raises(UserError, match="has image_shape 'none'; expected a side in pixels"):
        aws.read(folder)
    (folder / "model_algo_1-0000.params").unlink()
    with pytest.raises(UserError, match=re.escape("but no model_algo_1-NNNN.params beside it")):
        aws.read(folder)
    symbol.write_text(json.dumps({"nodes": []}))
    assert not aws.recognises(folder)
    with pytest.raises(UserError, match="no MultiBoxPrior and MultiBoxDetection"):
        aws.read(folder)

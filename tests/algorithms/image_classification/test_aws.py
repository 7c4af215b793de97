"""Models of AWS's image: our network answers as the operators of their graph do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from optml.algorithms import ndarray, registry
from optml.algorithms.vision.architecture import Architecture
from optml.errors import UserError
from tests.algorithms.vision.mxnet_graph import Graph, evaluate, resnet, spellings

torch = pytest.importorskip("torch")

from optml.algorithms.image_classification import aws  # noqa: E402
from optml.algorithms.image_classification.model import Model, load  # noqa: E402
from optml.algorithms.image_classification.requests import Pictures  # noqa: E402
from optml.algorithms.vision.folded import folded  # noqa: E402


def write(folder: Path, graph: Graph, side: int = 0, *, prefix: bool = True, number: int = 3) -> Path:
    """The artifact, as AWS's image leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "image-classification-symbol.json").write_text(json.dumps(graph.document()))
    names = [name if prefix else name.partition(":")[2] for name in graph.arrays]
    params = ndarray.encode(list(graph.arrays.values()), names)
    (folder / f"image-classification-{number:04d}.params").write_bytes(params)
    if side:
        shapes = [{"shape": [32, 3, side, side], "name": "data"}]
        (folder / "model-shapes.json").write_text(json.dumps(shapes))
    return folder


def pixels(count: int, side: int, channels: int = 3) -> np.ndarray:
    random = np.random.default_rng(1)
    return random.uniform(0, 255, (count, side, side, channels)).astype(np.float32)


@pytest.mark.parametrize(
    ("depth", "small", "side", "head", "output"),
    [
        (18, False, 40, "fc1", "SoftmaxOutput"),
        pytest.param(50, False, 40, "newlayer_fc2", "SoftmaxOutput", marks=pytest.mark.slow),
        (20, True, 28, "fc1", "sigmoid"),
    ],
)
def test_the_network_answers_as_the_graph_does(
    depth: int, small: bool, side: int, head: str, output: str, tmp_path: Path
) -> None:
    graph = resnet(depth, 7, small_stem=small, head=head, output=output)
    facts, arrays = aws.read(write(tmp_path, graph, side))
    assert facts.multi_label == (output == "sigmoid")
    assert (facts.classes, facts.height, facts.architecture.depth) == (7, side, depth)
    model = Model(facts, arrays)
    images = pixels(2, side)
    expected = evaluate(graph.document(), graph.arrays, images.transpose(0, 3, 1, 2))
    for network in (model.module(), folded(model.module())):
        np.testing.assert_allclose(model._answer(network, images), expected, atol=1e-4)
    assert expected.max(axis=1).min() < 0.999  # else agreement would be easy
    half = model.predict(Pictures(images), {})["prediction"]
    np.testing.assert_allclose(half, expected, atol=2e-2)


@pytest.mark.parametrize("spelling", spellings(), ids=str)
@pytest.mark.parametrize("prefix", [True, False])
def test_every_spelling_of_attributes_is_read(spelling: dict[str, str], prefix: bool, tmp_path: Path) -> None:
    graph = resnet(20, 3, small_stem=True, **spelling)
    facts, arrays = aws.read(write(tmp_path, graph, 28, prefix=prefix))
    assert facts.architecture == Architecture(20, "pre", "3x3", 3, 2e-5)
    assert np.array_equal(arrays["fc.weight"], graph.arrays["arg:fc1_weight"])


def test_factors_that_a_graph_fixes_are_one(tmp_path: Path) -> None:
    graph = resnet(20, 3, small_stem=True)
    for node in graph.nodes:
        if node["name"] == "stage1_unit2_bn1":
            node["attrs"]["fix_gamma"] = "True"
    _, arrays = aws.read(write(tmp_path, graph, 28))
    assert (arrays["layer1.1.bn1.weight"] == 1).all()
    assert not (arrays["layer1.1.bn2.weight"] == 1).any()


def test_the_last_of_several_epochs_is_taken_and_images_are_of_224(tmp_path: Path) -> None:
    old, new = (resnet(20, 3, small_stem=True, seed=seed) for seed in (1, 2))
    write(tmp_path, old, number=2)
    write(tmp_path, new, number=10)
    facts, arrays = aws.read(tmp_path)
    assert np.array_equal(arrays["fc.bias"], new.arrays["arg:fc1_bias"])
    assert facts.shape == "3,224,224"


def test_an_artifact_is_known_by_its_graph(tmp_path: Path) -> None:
    write(tmp_path, resnet(20, 3, small_stem=True), 28)
    assert registry.recognise(tmp_path) == "image-classification"
    loaded = load(tmp_path, "cpu")
    assert loaded.facts.label(2) == "2"
    loaded.save(tmp_path / "ours")
    again = load(tmp_path / "ours", "cpu")
    assert again.facts == loaded.facts
    images = Pictures(pixels(3, 28))
    assert np.array_equal(again.predict(images, {})["prediction"], loaded.predict(images, {})["prediction"])


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", resnet(20, 3, small_stem=True), 28)
    params = folder / "image-classification-0003.params"
    params.write_bytes(write(tmp_path / "b", resnet(18, 3), 64).joinpath(params.name).read_bytes())
    with pytest.raises(
        UserError, match=re.escape("holds ResNet-18 pre, stem 7x7, 3 channels, but its graph is of")
    ):
        aws.read(folder)
    params.unlink()
    with pytest.raises(UserError, match=r"but no image-classification-NNNN\.params beside it"):
        aws.read(folder)
    (folder / "image-classification-symbol.json").write_text('{"nodes": [{"op": "null", "name": "data"}]}')
    assert not aws.recognises(folder)
    with pytest.raises(UserError, match="has no layer fc1 or newlayer_fc2"):
        aws.read(folder)
    odd = resnet(20, 3, small_stem=True, output="L2Normalization")
    with pytest.raises(UserError, match="ends in L2Normalization; expected a softmax or a sigmoid"):
        aws.read(write(tmp_path / "c", odd, 28))

"""Models of AWS's image: lists of arrays with GluonCV's names, and hyperparameters beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optml.algorithms import ndarray, registry  # noqa: E402
from optml.algorithms.semantic_segmentation import aws  # noqa: E402
from optml.algorithms.semantic_segmentation.hyperparameters import Decoder  # noqa: E402
from optml.algorithms.semantic_segmentation.model import Model, load  # noqa: E402
from optml.algorithms.vision.weights.naming import GLUON  # noqa: E402
from optml.errors import UserError  # noqa: E402
from tests.algorithms.semantic_segmentation.test_networks import DECODERS, network  # noqa: E402
from tests.algorithms.semantic_segmentation.training import SIDE, absorb, channel, learner  # noqa: E402

SETTINGS = {
    "algorithm": "fcn",
    "backbone": "resnet-18",
    "num_classes": "3",
    "crop_size": "32",
    "base_size": "40",
}


def arrays(decoder: Decoder = "fcn") -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in network(decoder).state_dict().items()}


def write(
    folder: Path, own: dict[str, np.ndarray], name: str = "model_algo-1", settings: Any = SETTINGS
) -> Path:
    """As AWS's image leaves it: names without prefix, no graph."""
    folder.mkdir(parents=True, exist_ok=True)
    foreign = GLUON.write(own)
    (folder / name).write_bytes(ndarray.encode(list(own.values()), [foreign[key] for key in own]))
    if settings is not None:
        (folder / "hyperparams.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_network_comes_back_bit_for_bit_and_answers(decoder: Decoder, tmp_path: Path) -> None:
    own = arrays(decoder)
    write(tmp_path, own, settings=SETTINGS | {"algorithm": decoder})
    assert "head.block.1.gamma" in ndarray.decode((tmp_path / "model_algo-1").read_bytes(), "x")[1]
    assert registry.recognise(tmp_path) == "semantic-segmentation"
    loaded = load(tmp_path, "cpu")
    assert (loaded.facts.decoder, loaded.facts.classes, loaded.facts.crop) == (decoder, 3, 32)
    assert (loaded.facts.architecture.stem, loaded.facts.auxiliary) == ("deep", True)
    assert loaded.arrays.keys() == own.keys()
    assert all(np.array_equal(loaded.arrays[name], own[name]) for name in own)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 33, 3)).astype(np.uint8)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = torch.from_numpy(((pixels / 255 - mean) / std).astype(np.float32).transpose(2, 0, 1)[None])
    with torch.no_grad():
        scores, _ = network(decoder).eval()(x)
    expected = torch.nn.functional.interpolate(scores, (40, 33), mode="bilinear", align_corners=True)
    answer = loaded.scored(pixels, (40, 33)).probabilities()
    np.testing.assert_allclose(answer, expected.softmax(1)[0].numpy(), atol=2e-2)


def test_the_best_model_is_taken_and_ours_is_written_of_it(tmp_path: Path) -> None:
    best = arrays()
    last = {name: array + 1 for name, array in best.items()}
    write(tmp_path / "aws", last)
    write(tmp_path / "aws", best, "model_best.params")
    loaded = load(tmp_path / "aws", "cpu")
    assert np.array_equal(loaded.arrays["head.block.4.bias"], best["head.block.4.bias"])
    loaded.save(tmp_path / "ours")
    again = load(tmp_path / "ours", "cpu")
    assert again.facts == loaded.facts
    assert all(np.array_equal(again.arrays[name], best[name]) for name in best)


def test_pools_of_an_older_gluoncv_can_be_told(tmp_path: Path) -> None:
    write(tmp_path, arrays("psp"), settings=SETTINGS | {"algorithm": "psp"})
    assert load(tmp_path, "cpu").facts.bins == (1, 2, 3, 6)
    write(tmp_path, arrays("psp"), settings=SETTINGS | {"algorithm": "psp", "psp_bins": "1,2,3,4"})
    older = load(tmp_path, "cpu")
    assert older.facts.bins == (1, 2, 3, 4)
    older.save(tmp_path / "ours")
    assert json.loads((tmp_path / "ours/model.json").read_text())["facts"]["psp_bins"] == [1, 2, 3, 4]


def test_training_goes_on_from_it(tmp_path: Path) -> None:
    write(tmp_path, arrays())
    train = channel(8)
    train.masks[train.masks == 3] = 0
    state = learner(train, warm_start=tmp_path, num_classes=3, crop_size=SIDE)
    assert np.array_equal(state.network.arrays()["conv1.0.weight"], arrays()["conv1.0.weight"])
    assert absorb(state, train)[0].value > 0


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    own = arrays()
    short = {name: array for name, array in own.items() if name != "layer3.0.bn2.running_var"}
    with pytest.raises(UserError, match=r"1 arrays are missing .*layer3\.0\.bn2\.running_var first"):
        load(write(tmp_path / "a", short), "cpu")
    more = own | {"other.weight": np.zeros(3, np.float32)}
    with pytest.raises(UserError, match=r"1 arrays that it has no place for, other\.weight first"):
        load(write(tmp_path / "b", more), "cpu")
    for name, value, there in (
        ("backbone", "resnet-101", 18),
        ("num_classes", "21", 3),
        ("algorithm", "psp", "fcn"),
    ):
        settings = SETTINGS | {name: value}
        with pytest.raises(UserError, match=f"says {name}={value}, but the arrays beside it are of {there}"):
            load(write(tmp_path / "c", own, settings=settings), "cpu")
    settings = SETTINGS | {"psp_bins": "1,2"}
    with pytest.raises(UserError, match="psp_bins is '1,2'; expected four whole numbers"):
        load(write(tmp_path / "d", own, settings=settings), "cpu")
    other = write(tmp_path / "e", {"centres": np.zeros((2, 2), np.float32)})
    assert not aws.recognises(other)
    assert not aws.recognises(tmp_path)
    with pytest.raises(UserError, match=r"neither model\.json nor model_best\.params nor model_algo-1"):
        load(tmp_path / "nowhere", "cpu")
    infinite = own | {"head.block.4.bias": np.full(3, np.nan, np.float32)}
    with pytest.raises(UserError, match="not finite"):
        load(write(tmp_path / "f", infinite), "cpu")


def test_without_hyperparameters_the_arrays_say_enough(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, arrays(), settings=None), "cpu")
    assert isinstance(loaded, Model)
    assert (loaded.facts.crop, loaded.facts.base) == (240, 520)

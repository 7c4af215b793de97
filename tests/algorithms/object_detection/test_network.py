"""Anchors and networks: their numbers, their places, what is frozen, what answers."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.object_detection import vgg  # noqa: E402
from optml.algorithms.object_detection.anchors import Anchors  # noqa: E402
from optml.algorithms.object_detection.design import Design, design  # noqa: E402
from optml.algorithms.object_detection.folded import Answering  # noqa: E402
from optml.algorithms.object_detection.network import Detector, grids, initialise  # noqa: E402
from optml.algorithms.object_detection.start import freeze  # noqa: E402
from optml.algorithms.vision.architecture import Architecture  # noqa: E402
from optml.errors import UserError  # noqa: E402


@pytest.mark.parametrize(
    ("base", "side", "cells", "count"),
    [
        ("vgg-16", 300, [38, 19, 10, 5, 3, 1], 8732),
        ("vgg-16", 512, [64, 32, 16, 8, 4, 2, 1], 24564),
        ("resnet-50", 300, [19, 10, 5, 3, 2, 1], 2268),
        ("resnet-50", 512, [32, 16, 8, 4, 2, 1], 6132),
        ("vgg-16", 447, [56, 28, 14, 7, 5, 3], 18854),
        ("vgg-16", 448, [56, 28, 14, 7, 4, 2, 1], 18834),
        ("resnet-50", 700, [44, 22, 11, 6, 3, 2], 11642),
    ],
)  # fmt: skip
def test_anchors_are_as_many_as_published(base: str, side: int, cells: list[int], count: int) -> None:
    own = design(base, side, 20)  # type: ignore[arg-type]
    places = grids(own, side)
    assert places == [(cell, cell) for cell in cells]
    assert len(own.anchors.boxes(places)) == count
    assert Design.of(own.document()) == own


def test_anchors_lie_where_the_paper_has_them() -> None:
    own = design("vgg-16", 300, 20)
    boxes = own.anchors.boxes(grids(own, 300)).astype(np.float64)
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    place = 38 * 38 * 4 + (7 * 19 + 3) * 6  # row 7, column 3 of the second layer
    np.testing.assert_allclose(centres[place : place + 6], [[3.5 * 16 / 300, 7.5 * 16 / 300]] * 6, atol=1e-6)
    middle, two, three = math.sqrt(0.2 * 0.37), math.sqrt(2), math.sqrt(3)
    wide = [0.2, middle, 0.2 * two, 0.2 / two, 0.2 * three, 0.2 / three]
    high = [0.2, middle, 0.2 / two, 0.2 * two, 0.2 / three, 0.2 * three]
    np.testing.assert_allclose(sides[place : place + 6], np.column_stack([wide, high]), atol=1e-6)
    np.testing.assert_allclose(boxes[-4], [0.06, 0.06, 0.94, 0.94], atol=1e-6)
    assert boxes.min() < 0  # they are not clipped


def test_steps_are_by_cells_but_for_the_sides_that_vgg_was_made_for() -> None:
    assert design("vgg-16", 300, 1).anchors.steps[:2] == (8 / 300, 16 / 300)
    assert design("vgg-16", 512, 1).anchors.steps[-1] == 1
    for base, side in (("vgg-16", 400), ("vgg-16", 600), ("resnet-50", 300), ("resnet-50", 512)):
        assert set(design(base, side, 1).anchors.steps) == {None}  # type: ignore[arg-type]
    boxes = Anchors(((0.5,),), ((1.0,),), (None,)).boxes([(2, 4)])
    np.testing.assert_allclose((boxes[:, :2] + boxes[:, 2:]) / 2, [
        [0.125, 0.25], [0.375, 0.25], [0.625, 0.25], [0.875, 0.25],
        [0.125, 0.75], [0.375, 0.75], [0.625, 0.75], [0.875, 0.75],
    ])  # fmt: skip


def network(base: str = "resnet-50", classes: int = 2) -> Detector:
    torch.manual_seed(0)
    own = Detector(design(base, 300, classes))  # type: ignore[arg-type]
    initialise(own)
    return own


def test_scores_and_offsets_stand_in_the_order_of_the_anchors() -> None:
    """What a head adds to one box of one cell comes out at that anchor, and nowhere else."""
    own = network().eval()
    for head in (*own.scores, *own.offsets):
        torch.nn.init.zeros_(head.weight)
    with torch.no_grad():
        own.scores[1].bias[6 * 0 + 3 * 2 + 1] = 5  # box 2, class 0
        own.offsets[1].bias[4 * 2 + 3] = 7  # its height
        scores, offsets = own(torch.rand(1, 3, 64, 64))
    first, count = 4 * 4 * 4, 2 * 2 * 6  # the first two layers of a picture of 64
    chosen = np.flatnonzero(scores[0, :, 1].numpy())
    assert chosen.tolist() == list(range(first + 2, first + count, 6))
    assert np.flatnonzero(offsets[0, :, 3].numpy()).tolist() == chosen.tolist()
    assert not offsets[0, :, :3].any()


@pytest.mark.parametrize("layout", ["pre", pytest.param("post", marks=pytest.mark.slow)])
def test_what_answers_is_the_network_to_rounding(layout: str) -> None:
    torch.manual_seed(0)
    own = Detector(design("resnet-50", 300, 3, Architecture(50, layout)))  # type: ignore[arg-type]
    initialise(own)
    images = torch.randn(4, 3, 64, 64) * 40
    own.train()
    with torch.no_grad():
        for _ in range(3):
            own(images)  # running statistics
    own.eval()
    with torch.inference_mode():
        for one, other in zip(own(images), Answering(own)(images), strict=True):
            np.testing.assert_allclose(one, other, atol=2e-3 * float(one.abs().max()))


@pytest.mark.parametrize("pattern", ["^(conv0|stage1_).*", r"base\.(conv1|layer1)\.", "layer1|conv1"])
def test_what_matches_is_frozen_by_either_name(pattern: str, caplog: pytest.LogCaptureFixture) -> None:
    own = network()
    caplog.set_level(logging.INFO)
    freeze(own, pattern)
    frozen = {name for name, parameter in own.named_parameters() if not parameter.requires_grad}
    assert frozen == {
        name for name, _ in own.named_parameters() if name.startswith(("base.conv1.", "base.layer1."))
    }
    assert "Freezed parameters: [conv0_weight,stage1_unit1_bn1_gamma," in caplog.text


def test_heads_are_never_frozen_and_a_pattern_of_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    own = network()
    freeze(own, "_plus12|multi_feat|scores")
    assert all(parameter.requires_grad for parameter in own.parameters())
    assert (
        "matches no parameter of the base network, and nothing is frozen; it has bn_data_beta" in caplog.text
    )
    freeze(own, "")


def test_vgg_is_taken_under_every_name_and_of_dense_layers_a_part() -> None:
    random = np.random.default_rng(0)
    shapes = {name: tuple(tensor.shape) for name, tensor in vgg.Vgg().state_dict().items()}
    values = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    del values["relu4_3_scale"]
    mxnet = {name.replace(".", "_"): array for name, array in values.items()}
    for named in (values, mxnet):
        taken = vgg.arrays(named, "x")
        assert taken is not None
        assert all(np.array_equal(taken[name], values[name]) for name in values)
    places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    published = {
        f"features.{place}.{kind}": values[f"{layer}.{kind}"]
        for layer, place in zip(vgg.FOREMOST, places, strict=True)
        for kind in ("weight", "bias")
    }
    bare = vgg.arrays(published, "x")
    assert bare is not None
    assert len(bare) == 26
    first = np.broadcast_to(np.arange(25088, dtype=np.float32), (4096, 25088))
    dense = {"classifier.0.weight": first, "classifier.0.bias": np.arange(4096.0)}
    dense |= {"classifier.3.weight": np.zeros((4096, 4096)), "classifier.3.bias": np.zeros(4096)}
    whole = vgg.arrays(published | dense, "x")
    assert whole is not None
    assert whole["fc6.weight"].shape == (1024, 512, 3, 3)
    assert whole["fc6.weight"][5, 2].reshape(-1).tolist() == [98, 101, 104, 119, 122, 125, 140, 143, 146]
    assert whole["fc6.bias"][:3].tolist() == [0, 4, 8]
    assert whole["fc7.weight"].shape == (1024, 1024, 1, 1)
    assert vgg.arrays({"conv1_1_weight": values["conv1_1.weight"]}, "x") is None
    with pytest.raises(UserError, match=r"x has fc7\.bias of shape \(3,\); VGG-16's is \(1024,\)"):
        vgg.arrays(values | {"fc7.bias": np.zeros(3)}, "x")

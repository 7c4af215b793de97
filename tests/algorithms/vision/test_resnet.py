"""Residual networks: sizes as published, units by their formulas, dilation that leaves parameters as they
are."""

from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.vision.architecture import Architecture, Layout, Stem, stem_of

torch = pytest.importorskip("torch")

from optml.algorithms.vision.resnet import Norm, PreUnit, ResNet, initialise  # noqa: E402

# torchvision's own counts, with 1000 classes.
PARAMETERS = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}


@pytest.mark.parametrize("depth", PARAMETERS)
def test_networks_have_the_published_number_of_parameters(depth: int) -> None:
    with torch.device("meta"):
        network = ResNet(Architecture(depth, "post"), 1000)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[depth]


@pytest.mark.parametrize(
    ("stem", "stride", "sizes"),
    [
        ("7x7", 32, [16, 8, 4, 2]), ("deep", 32, [16, 8, 4, 2]), ("3x3", 32, [64, 32, 16, 8]),
        ("7x7", 8, [16, 8, 8, 8]), ("deep", 8, [16, 8, 8, 8]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("layout", ["pre", "post"])
def test_stages_have_the_sizes_of_their_strides(
    layout: Layout, stem: Stem, stride: int, sizes: list[int]
) -> None:
    with torch.device("meta"):
        network = ResNet(Architecture(50, layout, stem), output_stride=stride)
        features = network.features(torch.empty(1, 3, 64, 64))
    assert [feature.shape[1] for feature in features] == [256, 512, 1024, 2048]
    assert [feature.shape[2] for feature in features] == sizes


def test_dilation_leaves_parameters_as_they_are() -> None:
    with torch.device("meta"):
        one, other = (ResNet(Architecture(50, "post", "deep"), output_stride=stride) for stride in (8, 32))
    shapes = [{name: t.shape for name, t in each.state_dict().items()} for each in (one, other)]
    assert shapes[0] == shapes[1]
    dilations = {
        name: module.dilation[0]
        for name, module in one.named_modules()
        if isinstance(module, torch.nn.Conv2d) and module.dilation[0] > 1
    }
    assert dilations["layer3.1.conv2"] == 2
    assert "layer3.0.conv2" not in dilations  # sees what it saw, before the stride that is gone
    assert (dilations["layer4.0.conv2"], dilations["layer4.2.conv2"]) == (2, 4)


def test_a_unit_of_pre_is_its_formula() -> None:
    torch.manual_seed(0)
    network = ResNet(Architecture(20, "pre", "3x3")).eval()
    unit = network.get_submodule("layer2.0")
    assert isinstance(unit, PreUnit)
    x = torch.randn(2, 16, 8, 8)
    first = torch.relu(unit.bn1(x))
    expected = unit.conv2(torch.relu(unit.bn2(unit.conv1(first)))) + unit.downsample(first)
    torch.testing.assert_close(unit(x), expected)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("sum_first", [True, False])
def test_batch_norm_with_what_follows_is_its_formula(relu: bool, sum_first: bool) -> None:
    torch.manual_seed(0)
    norm = Norm(4, 1e-3, relu=relu)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
    x, added = torch.randn(3, 4, 5, 5), torch.randn(3, 4, 5, 5) if sum_first else None
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)

    def columns(values):  # type: ignore[no-untyped-def]
        return values[:, None, None]

    expected = (x - columns(mean)) / columns(var + 1e-3).sqrt() * columns(norm.weight) + columns(norm.bias)
    expected = expected if added is None else expected + added
    expected = torch.relu(expected) if relu else expected
    torch.testing.assert_close(norm(x, added), expected)
    torch.testing.assert_close(norm.running_mean, 0.1 * mean)


def test_pixels_of_pre_need_no_scaling() -> None:
    network = ResNet(Architecture(20, "pre", "3x3"))
    assert "bn_data.weight" not in network.state_dict()
    x = 255 * torch.rand(16, 3, 8, 8)
    scaled = network.bn_data(x).detach()
    assert abs(float(scaled.mean())) < 1e-3
    assert abs(float(scaled.std()) - 1) < 1e-2


@pytest.mark.parametrize("stem", ["3x3", "7x7", "deep"])
def test_what_is_added_to_pixels_is_learnt_as_by_the_plain_formula(stem: Stem) -> None:
    torch.manual_seed(0)
    network = ResNet(Architecture(20, "pre", stem))
    assert network.bn_data is not None
    with torch.no_grad():
        network.bn_data.bias.normal_()
    x = 255 * torch.rand(3, 3, 16, 18)
    answers = []
    for plain in (True, False):
        network.zero_grad()
        y = network.conv1(network.bn_data(x)) if plain else network._first(x)
        (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
        first = next(network.conv1.parameters())
        answers.append((y.detach(), network.bn_data.bias.grad, first.grad))
    for one, other in zip(*answers, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)


def test_first_weights_keep_the_size_of_what_comes_in() -> None:
    torch.manual_seed(0)
    network = ResNet(Architecture(18, "post"), 10)
    initialise(network)
    weight = network.get_parameter("layer3.0.conv1.weight").detach()
    assert float(weight.std()) == pytest.approx(np.sqrt(2 / (128 * 9)), rel=0.01)
    head = network.get_parameter("fc.weight").detach()
    assert float(head.std()) == pytest.approx(np.sqrt(2 / 512), rel=0.05)
    assert not network.get_parameter("fc.bias").any()


def test_small_images_have_a_stem_without_pool() -> None:
    assert [stem_of(height) for height in (28, 32, 33, 224)] == ["3x3", "3x3", "7x7", "7x7"]
    with pytest.raises(ValueError, match="19 layers; known are 18, 34"):
        Architecture(19)

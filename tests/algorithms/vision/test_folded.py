"""What answers is what was trained, without the batch norms that follow a convolution."""

from __future__ import annotations

import pytest

from optml.algorithms.vision.architecture import Architecture, Layout, Stem

torch = pytest.importorskip("torch")

from optml.algorithms.vision.folded import folded  # noqa: E402
from optml.algorithms.vision.resnet import Norm, ResNet, initialise  # noqa: E402


@pytest.mark.parametrize("layout", ["pre", "post"])
@pytest.mark.parametrize("stem", ["3x3", "7x7", "deep"])
@pytest.mark.parametrize("depth", [20, pytest.param(50, marks=pytest.mark.slow)])
def test_folded_it_answers_the_same(depth: int, layout: Layout, stem: Stem) -> None:
    torch.manual_seed(0)
    network = ResNet(Architecture(depth, layout, stem), 5)
    initialise(network)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, Norm):
                module.bias.normal_()
                if isinstance(module.weight, torch.nn.Parameter):
                    module.weight.uniform_(0.5, 1)
        network(255 * torch.rand(4, 3, 32, 32))  # running statistics
        network.eval()
        own = folded(network)
        x = 255 * torch.rand(2, 3, 32, 32)
        expected = network(x)
        scale = float(expected.abs().max())
        torch.testing.assert_close(own(x), expected, atol=1e-5 * scale, rtol=1e-4)
        for one, other in zip(own.features(x), network.features(x), strict=True):
            torch.testing.assert_close(one, other, atol=1e-5 * float(other.abs().max()), rtol=1e-3)
    left = sum(isinstance(module, Norm) for module in own.modules())
    assert left == (2 + sum(own.architecture.units) if layout == "pre" else 0)
    assert sum(isinstance(module, Norm) for module in network.modules()) > left

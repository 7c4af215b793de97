"""The networks: GluonCV's names, sizes, batches of one, what is dropped, folded."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.semantic_segmentation.facts import Facts  # noqa: E402
from optml.algorithms.semantic_segmentation.hyperparameters import Decoder  # noqa: E402
from optml.algorithms.semantic_segmentation.networks import Dropout, Segmenter, first_weights  # noqa: E402
from optml.algorithms.vision.architecture import Architecture  # noqa: E402
from optml.algorithms.vision.folded import folded  # noqa: E402
from optml.algorithms.vision.resnet import Norm  # noqa: E402

DECODERS: tuple[Decoder, ...] = ("fcn", "psp", "deeplab")
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")


def network(decoder: Decoder = "fcn") -> Segmenter:
    facts = Facts(Architecture(18, "post", "deep"), decoder, 3)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = Segmenter(facts, auxiliary=True)
        first_weights(made)
        for norm in made.modules():
            if isinstance(norm, Norm):
                norm.running_var.uniform_(0.5, 2.0)
                norm.running_mean.normal_(std=0.2)
    return made


def layer(name: str) -> set[str]:
    return {f"{name}.0.weight", *(f"{name}.1.{part}" for part in BATCH_NORM)}


BLOCK = layer("head.block") | {"head.block.4.weight", "head.block.4.bias"}
POOLS = set().union(*(layer(f"head.psp.conv{number}") for number in (1, 2, 3, 4)))
ASPP = set().union(*(layer(f"head.aspp.concurent.{number}") for number in range(4)))
ASPP |= {"head.aspp.concurent.4.gap.1.weight", *(f"head.aspp.concurent.4.gap.2.{p}" for p in BATCH_NORM)}


@pytest.mark.parametrize(
    ("decoder", "head"),
    [("fcn", BLOCK), ("psp", BLOCK | POOLS), ("deeplab", BLOCK | ASPP | layer("head.aspp.project"))],
)
def test_parameters_have_gluoncv_s_names_and_shapes(decoder: Decoder, head: set[str]) -> None:
    with torch.device("meta"):
        arrays = _fifty(decoder).state_dict()
    assert {name for name in arrays if name.startswith("head.")} == head
    assert {name for name in arrays if name.startswith("auxlayer.")} == {
        name.replace("head", "auxlayer") for name in BLOCK
    }
    assert arrays["auxlayer.block.0.weight"].shape == (256, 1024, 3, 3)
    width = {"fcn": (512, 2048), "psp": (512, 4096), "deeplab": (256, 256)}[decoder]
    assert arrays["head.block.0.weight"].shape == (*width, 3, 3)
    assert arrays["head.block.4.weight"].shape == (3, width[0], 1, 1)
    assert arrays["conv1.6.weight"].shape == (128, 64, 3, 3)
    assert arrays["layer4.2.bn3.running_var"].shape == (2048,)


def _fifty(decoder: Decoder) -> Segmenter:
    return Segmenter(Facts(Architecture(50, "post", "deep"), decoder, 3), auxiliary=True)


@pytest.mark.parametrize("decoder", DECODERS)
def test_any_size_has_a_score_for_every_eighth_pixel(decoder: Decoder) -> None:
    own = network(decoder).eval()
    for height, width in ((1, 1), (8, 9), (40, 17), (33, 64)):
        with torch.no_grad():
            scores, other = own(torch.randn(1, 3, height, width))
        assert scores.shape == (1, 3, -(-height // 8), -(-width // 8))
        assert other is None


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_batch_of_one_is_learnt_from(decoder: Decoder) -> None:
    own = network(decoder)
    scores, other = own(torch.randn(1, 3, 24, 24))
    assert other.shape == scores.shape
    (scores.sum() + other.sum()).backward()
    assert all(torch.isfinite(p.grad).all() for p in own.parameters())


@pytest.mark.parametrize("decoder", DECODERS)
def test_folded_it_answers_the_same(decoder: Decoder) -> None:
    own = network(decoder).eval()
    x = torch.randn(2, 3, 24, 32)
    with torch.no_grad():
        expected, _ = own(x)
        torch.testing.assert_close(folded(own)(x)[0], expected, atol=1e-4, rtol=1e-3)
        faster = folded(own, torch.bfloat16)
        scores, _ = faster(x.bfloat16())
    assert scores.dtype == torch.float32  # the last layer computes in it
    assert not any(isinstance(module, Norm) for module in folded(own).head.modules())


def test_what_is_dropped_follows_the_generator() -> None:
    drop, random = Dropout(0.25), torch.Generator()
    drop.random = random
    x = torch.ones(4000, 1, 1, 1)
    one = drop(x.clone())
    assert float((one == 0).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert float(one.mean()) == pytest.approx(1, abs=0.03)
    random.manual_seed(5)
    two = drop(x.clone())
    random.manual_seed(5)
    assert torch.equal(drop(x.clone()), two)
    assert torch.equal(drop.eval()(x), x)


def test_stage_three_sees_as_far_by_dilation() -> None:
    own = network()
    stages = own.features(torch.randn(1, 3, 64, 64))
    assert [tuple(stage.shape[2:]) for stage in stages] == [(16, 16), (8, 8), (8, 8), (8, 8)]
    with torch.device("meta"):
        fifty = _fifty("fcn")
    dilations = [
        fifty.get_submodule(f"layer{place}.conv2").dilation[0] for place in ("3.0", "3.1", "4.0", "4.1")
    ]
    assert dilations == [1, 2, 2, 4]

"""Pretrained weights: told by what they hold, in every naming, from the places that a job may have them
in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from optml.algorithms import ndarray
from optml.algorithms.vision.architecture import Architecture, tell
from optml.algorithms.vision.weights import choice, files, naming, published
from optml.algorithms.vision.weights.naming import GLUON, OURS, TORCH, ZOO, Naming
from optml.errors import UserError

torch = pytest.importorskip("torch")

from optml.algorithms.vision.resnet import ResNet  # noqa: E402

PRE, POST = Architecture(18), Architecture(18, "post")
SMALL = Architecture(20, "pre", "3x3", 1)
NETWORKS = [
    (SMALL, ZOO),
    (replace(SMALL, depth=32), OURS),
    (replace(SMALL, layout="post"), GLUON),
    (replace(SMALL, layout="post", stem="deep"), GLUON),
    (replace(SMALL, layout="post", stem="7x7"), TORCH),
    (replace(SMALL, stem="7x7"), ZOO),
]


def arrays(network: Architecture, classes: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    """Random ones of the right shapes, by our names."""
    random = np.random.default_rng(seed)
    module = ResNet(network, classes)
    return {
        name: random.normal(size=tensor.shape).astype(np.float32)
        for name, tensor in module.state_dict().items()
    }


def write(path: Path, own: Naming, values: Mapping[str, np.ndarray], *, prefix: bool = True) -> Path:
    """A file under foreign names, as their publishers write it."""
    names = own.write(values.keys())
    foreign = {names[name]: array for name, array in values.items()}
    if own is ZOO:
        foreign["arg:bn_data_gamma"] = np.full(1, 7, np.float32)
    if own is TORCH:
        foreign |= {name: np.array(5) for name in naming.tracked(values)}
    if not prefix:
        foreign = {name.partition(":")[2] or name: array for name, array in foreign.items()}
    if path.suffix == ".params":
        path.write_bytes(ndarray.encode(list(foreign.values()), list(foreign)))
    else:
        save_file(foreign, path)
    return path


@pytest.mark.parametrize(("network", "own"), NETWORKS, ids=lambda each: getattr(each, "title", str(each)))
@pytest.mark.parametrize("form", ["safetensors", "params"])
def test_a_file_under_foreign_names_comes_back_bit_for_bit(
    network: Architecture, own: Naming, form: str, tmp_path: Path
) -> None:
    if form == "params" and own is TORCH:
        pytest.skip("torchvision writes no .params")
    values = arrays(network)
    for prefix in (True, False):
        weights = files.read(write(tmp_path / f"x.{form}", own, values, prefix=prefix))
        assert weights.architecture == network
        assert weights.naming is own
        assert weights.arrays.keys() == values.keys()
        assert all(np.array_equal(weights.arrays[name], values[name]) for name in values)


def test_names_are_those_of_the_publishers() -> None:
    zoo = set(ZOO.write(arrays(PRE)).values())
    assert {
        "arg:bn_data_beta", "aux:bn_data_moving_mean", "arg:conv0_weight", "arg:bn0_gamma",
        "arg:stage1_unit1_bn1_gamma", "arg:stage1_unit1_conv1_weight", "arg:stage1_unit1_sc_weight",
        "aux:bn1_moving_mean", "arg:fc1_weight", "arg:stage4_unit2_conv2_weight",
    } <= zoo  # fmt: skip
    deep = Architecture(50, "post", "deep")
    gluon = set(GLUON.write(arrays(deep)).values())
    assert {"conv1.0.weight", "conv1.4.gamma", "layer3.5.bn2.running_var", "fc.bias"} <= gluon
    assert {"conv1.weight", "layer3.1.bn2.weight", "layer2.0.downsample.0.weight"} <= arrays(POST).keys()
    assert "layer2.0.downsample.1.running_var" in arrays(POST)
    assert "bn1.num_batches_tracked" in naming.tracked(arrays(POST))
    assert naming.zoo_name("fc.weight", "newlayer_fc2") == "newlayer_fc2_weight"


def test_a_head_of_either_name_is_read() -> None:
    values = arrays(SMALL)
    names = {name: ZOO.write([name])[name].replace("fc1", "newlayer_fc2") for name in values}
    assert set(ZOO.ours(names.values()).values()) == values.keys()


@pytest.mark.parametrize("depth", [18, 50, 20])
@pytest.mark.parametrize("layout", ["pre", "post"])
def test_a_network_is_told_by_its_shapes(depth: int, layout: str) -> None:
    with torch.device("meta"):
        for stem in ("3x3", "7x7", "deep"):
            network = Architecture(depth, layout, stem)  # type: ignore[arg-type]
            shapes = {name: tuple(value.shape) for name, value in ResNet(network).state_dict().items()}
            assert tell(shapes, network.layout) == network
    assert tell({"conv1.weight": (64, 3, 7, 7)}, "pre") is None
    assert tell({}, "post") is None


def fits(depth: int):  # type: ignore[no-untyped-def]
    return lambda weights: weights.architecture is not None and weights.architecture.depth == depth


def test_weights_are_taken_by_network_and_not_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    write(tmp_path / "a-resnet32.safetensors", ZOO, arrays(replace(SMALL, depth=32)))
    write(tmp_path / "b.safetensors", TORCH, arrays(replace(SMALL, layout="post")))
    write(tmp_path / "c.params", ZOO, arrays(SMALL))
    places = {"OPTML_PRETRAINED_DIR": tmp_path}
    chosen = choice.choose(places, fits(20), "20 layers", "resnet18")
    assert chosen.path.name == "c.params"  # the preferred layout goes before the name
    assert "would do as well and are left: b.safetensors" in caplog.text
    chosen = choice.choose(
        places, fits(20), "20 layers", "resnet18", lambda weights: int(weights.naming.layout == "pre")
    )
    assert chosen.path.name == "b.safetensors"


def test_the_channel_goes_before_the_folder_of_the_environment(tmp_path: Path) -> None:
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        write(tmp_path / place / f"{place}.params", ZOO, arrays(SMALL))
    places = {choice.CHANNEL: tmp_path / "one", choice.VARIABLE: tmp_path / "two"}
    assert choice.choose(places, fits(20), "", "").path.name == "one.params"
    (tmp_path / "one/one.params").unlink()
    assert choice.choose(places, fits(20), "", "").path.name == "two.params"


def test_what_is_missing_is_said_with_what_cures_it(tmp_path: Path) -> None:
    with pytest.raises(choice.MissingError) as none:
        choice.choose({}, fits(18), "ResNet-18", "resnet18")
    assert str(none.value) == (
        "no weights of ResNet-18 are at hand: channel 'model' was not given; channel 'pretrained' was not "
        "given; OPTML_PRETRAINED_DIR is not set. Where there is a network, `optml weights fetch resnet18 "
        "--to DIR` gets some: give DIR as channel 'pretrained', or name it in OPTML_PRETRAINED_DIR"
    )
    write(tmp_path / "small.params", ZOO, arrays(SMALL))
    (tmp_path / "resnet18-f37072fd.pth").write_bytes(b"x")
    with pytest.raises(choice.MissingError) as other:
        choice.choose({choice.CHANNEL: tmp_path}, fits(18), "ResNet-18", "resnet18")
    text = str(other.value)
    assert "small.params (ResNet-20 pre, stem 3x3, 1 channels)" in text
    assert "`optml weights convert resnet18-f37072fd.pth resnet18-f37072fd.safetensors`" in text


def test_only_the_head_may_be_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    values = arrays(SMALL)
    shapes = {name: array.shape for name, array in values.items()}
    shapes |= {"fc.weight": (9, 64), "fc.bias": (9,)}
    weights = files.read(write(tmp_path / "x.params", ZOO, values))
    loaded = choice.fitted(weights, shapes, ["fc."])
    assert loaded.keys() == values.keys() - {"fc.weight", "fc.bias"}
    assert "missing, so new: fc.weight, fc.bias; unexpected, so left: fc.weight, fc.bias" in caplog.text
    del values["layer1.0.bn1.running_mean"]
    weights = files.read(write(tmp_path / "x.params", ZOO, values))
    with pytest.raises(UserError, match=r"layer1.0.bn1.running_mean first, it has none or another shape"):
        choice.fitted(weights, shapes, ["fc."])


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x.params", ZOO, arrays(SMALL))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"x\.params is damaged"):
        files.read(path)
    (tmp_path / "y.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match=r"y\.safetensors is truncated or no safetensors file"):
        files.read(tmp_path / "y.safetensors")


def test_the_table_of_published_weights_is_whole() -> None:
    names = [entry.name for entry in published.table()]
    assert len(set(names)) == len(names) == 18
    for entry in published.table():
        assert entry.licence
        assert entry.sha256[:8] in entry.url or not entry.sha256
        assert entry.architecture is None or entry.architecture.scaling == entry.scaling
    assert [published.of(depth) for depth in (18, 50, 200)] == ["resnet18", "resnet50", "zoo-resnet200"]
    with pytest.raises(UserError, match="did you mean 'resnet18'"):
        published.get("resnet81")

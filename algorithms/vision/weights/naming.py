"""The names that published files have for the arrays of a network, and ours: three maps, exact both ways.

    ours (torchvision's)            MXNet's zoo, AWS: `pre`         GluonCV, AWS segmentation: `post`
    conv1.weight                    conv0_weight                    conv1.weight
    bn_data.bias, bn1.weight        bn_data_beta, bn0_gamma         bn1.gamma
    norm.running_var                bn1_moving_var                  -
    layer1.0.bn2.running_mean       stage1_unit1_bn2_moving_mean    layer1.0.bn2.running_mean
    layer1.0.downsample.weight      stage1_unit1_sc_weight          layer1.0.downsample.0.weight
    fc.bias                         fc1_bias, newlayer_fc2_bias     fc.bias

torchvision and timm have the names of `post` as they are, and `num_batches_tracked` beside running
statistics.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from optml.algorithms.vision.architecture import Layout

HEADS = ("fc1", "newlayer_fc2")  # of AWS: from scratch, after transfer learning

_PREFIX = re.compile(r"(arg|aux):")
_KINDS = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_var"}
_OF_KINDS = {foreign: own for own, foreign in _KINDS.items()}
_TRACKED = "num_batches_tracked"

_OURS = re.compile(r"layer(\d)\.(\d+)\.(bn\d|conv\d|downsample)\.(\w+)")
_ZOO = re.compile(r"stage(\d)_unit(\d+)_(bn\d|conv\d|sc)_(\w+)")
_ZOO_NORMS = {"bn_data": "bn_data", "bn1": "bn0", "norm": "bn1"}  # ours: theirs
_OF_ZOO_NORMS = {theirs: own for own, theirs in _ZOO_NORMS.items()}


@dataclass(frozen=True, slots=True)
class Naming:
    """layout: of the networks that it is used for.
    read: a foreign name, without `arg:` and `aux:`, as ours; None: of an array that we have no use for.
    write: our names -> foreign ones (with `arg:` and `aux:`, where MXNet has them).
    """

    title: str
    layout: Layout
    read: Callable[[str], str | None]
    write: Callable[[Collection[str]], dict[str, str]]

    def ours(self, names: Collection[str]) -> dict[str, str]:
        """Foreign name, as written -> ours, of those that mean something."""
        pairs = {name: self.read(_PREFIX.sub("", name, count=1)) for name in names}
        return {name: own for name, own in pairs.items() if own is not None}


def naming(names: Collection[str]) -> Naming:
    """The one that a file's names are of."""
    bare = {_PREFIX.sub("", name, count=1) for name in names}
    if "conv0_weight" in bare:
        return ZOO
    if any(name.endswith(".gamma") for name in bare):
        return GLUON
    return OURS if "bn_data.bias" in bare else TORCH


def _read_zoo(name: str) -> str | None:
    if name == "conv0_weight":
        return "conv1.weight"
    if name == "bn_data_gamma":  # fixed to 1
        return None
    unit = _ZOO.fullmatch(name)
    if unit:
        stage, number, part, kind = unit.groups()
        kind = _OF_KINDS.get(kind, kind)
        return f"layer{stage}.{int(number) - 1}.{'downsample' if part == 'sc' else part}.{kind}"
    part, _, kind = name.rpartition("_")
    if kind in ("mean", "var"):
        part, kind = part.removesuffix("_moving"), f"moving_{kind}"
    if part in _OF_ZOO_NORMS and kind in _OF_KINDS:
        return f"{_OF_ZOO_NORMS[part]}.{_OF_KINDS[kind]}"
    return f"fc.{kind}" if part in HEADS else name


def zoo_name(name: str, head: str = HEADS[0]) -> str:
    """An array of a `pre` network by MXNet's name, without prefix; log lines and patterns of AWS know
    these."""
    part, _, kind = name.rpartition(".")
    if part == "conv1":
        return f"conv0_{kind}"
    if part == "fc":
        return f"{head}_{kind}"
    if part in _ZOO_NORMS:
        return f"{_ZOO_NORMS[part]}_{_KINDS[kind]}"
    unit = _OURS.fullmatch(name)
    if unit is None:
        return name
    stage, number, part, kind = unit.groups()
    kind = _KINDS[kind] if part.startswith("bn") else kind
    return f"stage{stage}_unit{int(number) + 1}_{'sc' if part == 'downsample' else part}_{kind}"


def _write_zoo(names: Collection[str]) -> dict[str, str]:
    return {name: f"{'aux' if '.running_' in name else 'arg'}:{zoo_name(name)}" for name in names}


def _read_gluon(name: str) -> str:
    part, _, kind = name.rpartition(".")
    return f"{part}.{ {'gamma': 'weight', 'beta': 'bias'}.get(kind, kind) }" if part else name


def _write_gluon(names: Collection[str]) -> dict[str, str]:
    """Of batch norm the factor and the summand are gamma and beta."""
    written = {}
    for name in names:
        part, _, kind = name.rpartition(".")
        norm = f"{part}.running_mean" in names and kind in ("weight", "bias")
        written[name] = f"{part}.{_KINDS[kind]}" if norm else name
    return written


def _read_torch(name: str) -> str | None:
    return None if name.endswith(_TRACKED) else name.removeprefix("backbone.")


def _same(names: Collection[str]) -> dict[str, str]:
    return {name: name for name in names}


ZOO = Naming("MXNet's model zoo", "pre", _read_zoo, _write_zoo)
GLUON = Naming("GluonCV", "post", _read_gluon, _write_gluon)
TORCH = Naming("torchvision", "post", _read_torch, _same)
OURS = Naming("optml", "pre", lambda name: name, _same)


def tracked(names: Collection[str]) -> list[str]:
    """What torchvision's files hold beside: a count for each batch norm, which means nothing."""
    return [name.replace("running_mean", _TRACKED) for name in names if name.endswith(".running_mean")]


def by_ours(arrays: Mapping[str, object], own: Naming) -> dict[str, str]:
    """Our name -> the file's, of those that mean something."""
    return {mine: name for name, mine in own.ours(arrays.keys()).items()}

"""A model trained by AWS's image: `model_algo_1-symbol.json`, `model_algo_1-0000.params`,
`hyperparams.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms.mxnet_symbol import attributes
from optml.algorithms.object_detection import vgg
from optml.algorithms.object_detection.anchors import Anchors, Numbers
from optml.algorithms.object_detection.design import VARIANCES, Design, Extra
from optml.algorithms.object_detection.facts import Facts
from optml.algorithms.vision import mxnet
from optml.algorithms.vision.architecture import Architecture
from optml.algorithms.vision.mxnet import integers, true
from optml.algorithms.vision.weights import files
from optml.errors import UserError

TITLE = "Object Detection"
SIDE = 300  # pixels, of an artifact that does not tell the shape of its images
PRIOR, DETECTION = (
    ("_contrib_MultiBoxPrior", "MultiBoxPrior"),
    ("_contrib_MultiBoxDetection", "MultiBoxDetection"),
)
SCORES, OFFSETS = "_cls_pred_conv", "_loc_pred_conv"  # at the end of the names of convolutions
VGG = (*vgg.FOREMOST, "fc6", "fc7")

_RESIDUAL = re.compile(r"conv0|stage\d+_unit\d+_(conv\d+|sc)")

Node = Mapping[str, Any]


def recognises(folder: Path) -> bool:
    """A graph that ends in boxes."""
    try:
        _, nodes = mxnet.graph(folder, TITLE)
    except UserError:
        return False
    return any(node.get("op") in DETECTION for node in nodes) and any(
        node.get("op") in PRIOR for node in nodes
    )


def read(folder: Path) -> tuple[Facts, dict[str, np.ndarray]]:
    """The facts of a model, and its arrays by our names. Raises UserError saying what is missing or wrong."""
    path, nodes = mxnet.graph(folder, TITLE)
    detection = next((node for node in nodes if node.get("op") in DETECTION), None)
    priors = [attributes(node) for node in nodes if node.get("op") in PRIOR]
    if detection is None or not priors:
        raise UserError(f"{path}: the graph has no MultiBoxPrior and MultiBoxDetection, which detect")
    convolutions = {
        str(node.get("name")): attributes(node) for node in nodes if node.get("op") == "Convolution"
    }
    scores, offsets = ([n for n in convolutions if n.endswith(end)] for end in (SCORES, OFFSETS))
    others = [
        name for name in convolutions if name not in (*scores, *offsets, *VGG) and not _RESIDUAL.match(name)
    ]
    anchors = _anchors(priors, path)
    if not len(scores) == len(offsets) == len(anchors) == len(others) // 2 + 2 or len(others) % 2:
        raise UserError(
            f"{path}: the graph has {len(anchors)} layers of anchors, {len(scores)} of scores, "
            f"{len(offsets)} of "
            f"offsets and {len(others)} convolutions beside its base; expected as many of each, and two "
            f"for each "
            "but the first two"
        )
    params = mxnet.params(path)
    base, network, arrays = _base(nodes, convolutions, params, path)
    own = {f"scores.{k}": name for k, name in enumerate(scores)}
    own |= {f"offsets.{k}": name for k, name in enumerate(offsets)}
    own |= {f"extras.{k // 2}.{k % 2}": name for k, name in enumerate(others)}
    held = files.read(params).arrays
    for name, layer in own.items():
        for kind in ("weight", "bias"):
            if f"{layer}_{kind}" not in held:
                raise UserError(f"{params} holds no {layer}_{kind}, which its graph has")
            arrays[f"{name}.{kind}"] = np.asarray(held[f"{layer}_{kind}"], np.float32)
    classes = len(arrays["scores.0.bias"]) // anchors.counts[0] - 1
    extras = tuple(
        _extra(convolutions[one], convolutions[other])
        for one, other in zip(others[::2], others[1::2], strict=True)
    )
    design = Design("resnet-50" if network else "vgg-16", classes, extras, anchors, network)
    settings = attributes(detection)
    x, y, width, height = _numbers(settings.get("variances")) or VARIANCES
    facts = Facts(
        design,
        _side(folder),
        float(settings.get("nms_threshold", 0.5)),
        int(settings.get("nms_topk", -1)),
        true(settings.get("force_suppress", False)),
        (x, y, width, height),
    )
    return facts, {**{f"base.{name}": array for name, array in base.items()}, **arrays}


def _base(
    nodes: Sequence[Node], convolutions: Mapping[str, Any], params: Path, path: Path
) -> tuple[dict[str, np.ndarray], Architecture | None, dict[str, np.ndarray]]:
    """The arrays of the base by its own names, its network (None: VGG), and room for the others."""
    if "conv1_1" not in convolutions:
        network, arrays = mxnet.arrays(params, mxnet.trunk(nodes, str(path)))
        if network.depth != 50:
            raise UserError(f"{path} is of {network}; expected ResNet-50 or VGG-16")
        known = re.compile(r"(conv1|bn_data|bn1|layer\d)\.")
        return {name: array for name, array in arrays.items() if known.match(name)}, network, {}
    held = files.read(params).arrays
    base = vgg.arrays(held, str(params))
    if base is None or "relu4_3_scale" not in held:
        raise UserError(f"{params} does not hold all of the VGG-16 of its graph")
    return base | {"relu4_3_scale": np.asarray(held["relu4_3_scale"], np.float32)}, None, {}


def _anchors(priors: Sequence[Mapping[str, Any]], path: Path) -> Anchors:
    sizes, ratios, steps = [], [], []
    for prior in priors:
        if true(prior.get("clip", False)):
            raise UserError(f"{path}: anchors are clipped to the image, which is not supported")
        sizes.append(_numbers(prior.get("sizes")) or (1.0,))
        ratios.append(_numbers(prior.get("ratios")) or (1.0,))
        step = _numbers(prior.get("steps")) or (-1.0, -1.0)
        if step[0] != step[-1]:
            raise UserError(f"{path}: anchors have the steps {step}; expected the same down and across")
        steps.append(step[0] if step[0] > 0 else None)
    return Anchors(tuple(sizes), tuple(ratios), tuple(steps))


def _extra(one: Mapping[str, Any], other: Mapping[str, Any]) -> Extra:
    size, stride, padding = (
        (*integers(other.get(key)), default)[0] for key, default in (("kernel", 3), ("stride", 1), ("pad", 0))
    )
    return Extra(int(other["num_filter"]), stride, padding, size, int(one["num_filter"]))


def _numbers(text: object) -> Numbers:
    """Of a tuple as text: "(0.1, 0.141)", "[0.1,0.141]"; () of none."""
    return tuple(map(float, re.findall(r"-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|-?\.\d+", str(text or ""))))


def _side(folder: Path) -> int:
    """Of the images, in pixels."""
    try:
        shapes = json.loads((folder / "model-shapes.json").read_text())
        return int(next(entry["shape"] for entry in shapes if entry["name"] == "data")[-1])
    except (OSError, ValueError, TypeError, KeyError, StopIteration):
        pass
    try:
        shape = json.loads((folder / "hyperparams.json").read_text())["image_shape"]
    except (OSError, ValueError, TypeError, KeyError):
        return SIDE
    sides = integers(shape)
    if not sides or sides[-1] < 1:
        raise UserError(f"{folder / 'hyperparams.json'} has image_shape {shape!r}; expected a side in pixels")
    return sides[-1]

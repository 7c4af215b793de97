"""Graphs of detectors as MXNet's example and AWS's image write them, and the operators that they need beside
those of residual networks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from optml.algorithms import ndarray
from optml.algorithms.kernels.boxes import reference
from tests.algorithms.vision.mxnet_graph import UNITS, Graph, Operator, unit

THREE, FIVE = "(1,2,0.5)", "(1,2,0.5,3,0.333333333333)"
SIZES = ("(0.1,0.141421356237)", "(0.2,0.272029410175)", "(0.37,0.446989932773)")
LAST = ("(0.54,0.619193023217)", "(0.71,0.790442913815)", "(0.88,0.961249187256)")


class Detector(Graph):
    """With the arrays of convolutions that have a bias."""

    def biased(
        self,
        x: int,
        name: str,
        outputs: int,
        size: int,
        stride: int = 1,
        padding: int | None = None,
        holes: int = 1,
    ) -> int:
        inputs, padding = self.channels[x], size // 2 * holes if padding is None else padding
        scale = np.sqrt(1.5 / (inputs * size * size))
        weight = self.parameter(f"{name}_weight", self.random.normal(0, scale, (outputs, inputs, size, size)))
        bias = self.parameter(f"{name}_bias", self.random.normal(0, 0.1, outputs))
        self.nodes[bias].setdefault("attr", {})["__lr_mult__"] = "2.0"
        about = {"kernel": (size, size), "stride": (stride, stride), "pad": (padding, padding)}
        y = self.node(
            "Convolution", name, x, weight, bias, num_filter=outputs, **about, dilate=(holes, holes)
        )
        self.channels[y] = outputs
        return y


def residual(graph: Detector) -> list[tuple[int, str]]:
    """The two layers of ResNet-50 that boxes are looked for in, and their names."""
    x = graph.norm(graph.simple("_copy", "id", 0), "bn_data", fixed=True)
    x = graph.relu(graph.norm(graph.convolution(x, "conv0", 64, 7, 2), "bn0"), "relu0")
    x = graph.simple("Pooling", "pooling0", x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max")
    layers = []
    for stage, count in enumerate(UNITS[50], start=1):
        for number in range(1, count + 1):
            stride = 2 if number == 1 and stage > 1 else 1
            name = f"stage{stage}_unit{number}"
            x = unit(graph, x, name, 128 * 2**stage, stride, True, projected=number == 1)
        layers.append(x)
    return [(layers[2], "_plus12"), (layers[3], "_plus15")]


def vgg(graph: Detector) -> list[tuple[int, str]]:
    """The same of VGG-16."""
    x, lower = 0, 0
    for stage, (width, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), start=1):
        for number in range(1, count + 1):
            name = f"{stage}_{number}"
            x = graph.relu(graph.biased(x, f"conv{name}", width, 3), f"relu{name}")
        if stage == 4:
            lower = x
        about: dict[str, object] = {"kernel": (2, 2), "stride": (2, 2), "pool_type": "max"}
        if stage == 3:
            about["pooling_convention"] = "full"
        if stage == 5:
            about = {"kernel": (3, 3), "stride": (1, 1), "pad": (1, 1), "pool_type": "max"}
        x = graph.simple("Pooling", f"pool{stage}", x, **about)
    x = graph.relu(graph.biased(x, "fc6", 1024, 3, holes=6), "relu6")
    x = graph.relu(graph.biased(x, "fc7", 1024, 1), "relu7")
    norm = graph.simple("L2Normalization", "relu4_3_norm", lower, mode="channel")
    scale = graph.parameter("relu4_3_scale", graph.random.uniform(10, 20, (1, 512, 1, 1)))
    return [(graph.simple("broadcast_mul", "broadcast_mul0", norm, scale), "relu4_3"), (x, "relu7")]


def detector(
    base: str,
    classes: int,
    *,
    extras: tuple[tuple[int, int, int], ...] = ((64, 2, 1),),
    seed: int = 0,
    **more: str,
) -> Detector:
    """The graph that is trained: four answers, of which the last are the boxes. extras: channels, stride,
    padding."""
    graph = Detector(3, seed, **more)
    layers = (vgg if base == "vgg-16" else residual)(graph)
    for number, (channels, stride, padding) in enumerate(extras, start=2):
        name, x = f"multi_feat_{number}_conv", layers[-1][0]
        x = graph.relu(graph.biased(x, f"{name}_1x1_conv", max(128, channels // 2), 1), f"{name}_1x1_relu")
        x = graph.relu(graph.biased(x, f"{name}_3x3_conv", channels, 3, stride, padding), f"{name}_3x3_relu")
        layers.append((x, f"{name}_3x3_relu"))
    scores, offsets, anchors = [], [], []
    for place, (x, name) in enumerate(layers):
        many = 0 < place < 4
        count = 6 if many else 4
        for each, kind, parts in ((4, "loc", offsets), (classes + 1, "cls", scores)):
            y = graph.biased(x, f"{name}_{kind}_pred_conv", count * each, 3)
            y = graph.simple("transpose", f"{name}_{kind}_t", y, axes=(0, 2, 3, 1))
            parts.append(graph.simple("Flatten", f"{name}_{kind}_f", y))
        y = graph.simple(
            "_contrib_MultiBoxPrior", f"{name}_anchors", x, sizes=(*SIZES, *LAST)[place],
            ratios=FIVE if many else THREE, clip=False, steps="(-1.0, -1.0)",
        )  # fmt: skip
        anchors.append(graph.simple("Flatten", f"{name}_anchors_f", y))
    offset = graph.simple("Concat", "multibox_loc_pred", *offsets, num_args=len(offsets), dim=1)
    score = graph.simple("Concat", "concat1", *scores, num_args=len(scores), dim=1)
    score = graph.simple("Reshape", "reshape0", score, shape=(0, -1, classes + 1))
    score = graph.simple("transpose", "multibox_cls_pred", score, axes=(0, 2, 1))
    anchor = graph.simple("Concat", "concat2", *anchors, num_args=len(anchors), dim=1)
    anchor = graph.simple("Reshape", "multibox_anchors", anchor, shape=(0, -1, 4))
    label = graph.node("null", "label")
    target = graph.node(
        "_contrib_MultiBoxTarget", "multibox_target", anchor, label, score, overlap_threshold=0.5,
        negative_mining_ratio=3, variances=(0.1, 0.1, 0.2, 0.2),
    )  # fmt: skip
    chances = graph.node("SoftmaxOutput", "cls_prob", score, target, multi_output=True, normalization="valid")
    graph.nodes[chances]["inputs"][1] = [target, 2, 0]
    loss = graph.node("MakeLoss", "loc_loss", target, normalization="valid")
    known = graph.node("MakeLoss", "cls_label", target, grad_scale=0)
    found = graph.node(
        "_contrib_MultiBoxDetection", "detection", chances, offset, anchor, nms_threshold=0.45, nms_topk=400,
        force_suppress=False, variances=(0.1, 0.1, 0.2, 0.2),
    )  # fmt: skip
    graph.heads = [chances, loss, known, graph.node("MakeLoss", "det_out", found, grad_scale=0)]
    return graph


def write(folder: Path, graph: Detector, side: int) -> Path:
    """The artifact, as AWS's image leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model_algo_1-symbol.json").write_text(json.dumps(graph.document()))
    params = ndarray.encode(list(graph.arrays.values()), list(graph.arrays))
    (folder / "model_algo_1-0000.params").write_bytes(params)
    (folder / "hyperparams.json").write_text(json.dumps({"image_shape": str(side)}))
    return folder


def _tuple(settings: Mapping[str, str], name: str) -> tuple[float, ...]:
    return tuple(float(part) for part in settings[name].strip("(),").split(","))


def _reshape(inputs: list[np.ndarray], settings: Mapping[str, str]) -> np.ndarray:
    first, *rest = (int(number) for number in _tuple(settings, "shape"))
    assert first == 0
    return inputs[0].reshape(len(inputs[0]), *rest)


def _prior(inputs: list[np.ndarray], settings: Mapping[str, str]) -> np.ndarray:
    """Written as the operator loops: row, column, sizes, ratios."""
    rows, columns = inputs[0].shape[2:]
    sizes, ratios = _tuple(settings, "sizes"), _tuple(settings, "ratios")
    boxes = []
    for row in range(rows):
        for column in range(columns):
            x, y = (column + 0.5) / columns, (row + 0.5) / rows
            shapes = [(size / 2, size / 2) for size in sizes]
            shapes += [(sizes[0] * ratio**0.5 / 2, sizes[0] / ratio**0.5 / 2) for ratio in ratios[1:]]
            boxes += [[x - w, y - h, x + w, y + h] for w, h in shapes]
    return np.array(boxes).reshape(1, -1)


def _detection(inputs: list[np.ndarray], settings: Mapping[str, str]) -> np.ndarray:
    chances, offsets, anchors = inputs
    return reference.detect(
        chances.transpose(0, 2, 1), offsets.reshape(len(offsets), -1, 4), anchors[0], (0.1, 0.1, 0.2, 0.2),
        nms_threshold=float(settings["nms_threshold"]), topk=int(settings["nms_topk"]),
    )  # fmt: skip


def _softmax(inputs: list[np.ndarray], settings: Mapping[str, str]) -> np.ndarray:
    grown = np.exp(inputs[0] - inputs[0].max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


OPERATORS: Mapping[str, Operator] = {
    "transpose": lambda inputs, about: inputs[0].transpose([int(axis) for axis in _tuple(about, "axes")]),
    "Reshape": _reshape,
    "Concat": lambda inputs, _: np.concatenate(inputs, axis=1),
    "broadcast_mul": lambda inputs, _: inputs[0] * inputs[1],
    "L2Normalization": lambda inputs, _: (
        inputs[0] / np.sqrt((inputs[0] ** 2).sum(axis=1, keepdims=True) + 1e-10)
    ),
    "SoftmaxOutput": _softmax,
    "MakeLoss": lambda inputs, _: inputs[0],
    "_contrib_MultiBoxTarget": lambda inputs, _: np.empty(0),  # a softmax asks for it, and leaves it
    "_contrib_MultiBoxPrior": _prior,
    "_contrib_MultiBoxDetection": _detection,
}

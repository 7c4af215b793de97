"""Graphs of residual networks as MXNet's examples write them, and an interpreter of their operators in NumPy.

Written from the operators' definitions and MXNet's published names, beside our network and unlike it: it is
what the network is compared with.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from optml.algorithms.mxnet_symbol import VERSION

Operator = Callable[[list[np.ndarray], Mapping[str, str]], np.ndarray]

UNITS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 20: (3, 3, 3)}


class Graph:
    """Nodes in the making, and random arrays of their parameters."""

    def __init__(self, channels: int, seed: int, spelling: str = "attrs", blank: str = " ") -> None:
        self.nodes: list[dict[str, Any]] = []
        self.arrays: dict[str, np.ndarray] = {}
        self.random = np.random.default_rng(seed)
        self.spelling = spelling  # attrs, attr or param
        self.blank = blank  # within a tuple
        self.heads: list[int] = []  # none: the last node is the answer
        self.channels = {self.node("null", "data"): channels}

    def node(self, op: str, name: str, *inputs: int, **attributes: object) -> int:
        comma = "," + self.blank
        texts = {
            key: f"({comma.join(map(str, value))})" if isinstance(value, tuple) else str(value)
            for key, value in attributes.items()
        }
        node: dict[str, Any] = {"op": op, "name": name, "inputs": [[place, 0, 0] for place in inputs]}
        if texts:
            node[self.spelling] = texts
        self.nodes.append(node)
        return len(self.nodes) - 1

    def parameter(self, name: str, values: np.ndarray) -> int:
        kind = "aux" if "moving" in name else "arg"
        self.arrays[f"{kind}:{name}"] = values.astype(np.float32)
        return self.node("null", name)

    def convolution(self, x: int, name: str, outputs: int, size: int, stride: int = 1) -> int:
        inputs = self.channels[x]
        scale = np.sqrt(0.3 / (inputs * size * size))  # so that sums of many units stay small
        weight = self.parameter(f"{name}_weight", self.random.normal(0, scale, (outputs, inputs, size, size)))
        pair = {"kernel": (size, size), "stride": (stride, stride), "pad": (size // 2, size // 2)}
        y = self.node("Convolution", name, x, weight, num_filter=outputs, no_bias=True, workspace=256, **pair)
        self.channels[y] = outputs
        return y

    def norm(self, x: int, name: str, *, fixed: bool = False) -> int:
        size, draw = self.channels[x], self.random
        mean, var = draw.normal(0, 0.2, size), draw.uniform(0.5, 2, size)
        if fixed:  # of pixels
            mean, var = draw.uniform(90, 150, size), draw.uniform(3000, 5000, size)
        inputs = [
            self.parameter(f"{name}_gamma", draw.uniform(0.5, 1.5, size)),  # of no account where it is fixed
            self.parameter(f"{name}_beta", draw.normal(0, 0.2, size)),
            self.parameter(f"{name}_moving_mean", mean),
            self.parameter(f"{name}_moving_var", var),
        ]
        y = self.node("BatchNorm", name, x, *inputs, eps=2e-05, fix_gamma=fixed, momentum=0.9)
        self.channels[y] = size
        return y

    def simple(self, op: str, name: str, *inputs: int, **attributes: object) -> int:
        y = self.node(op, name, *inputs, **attributes)
        self.channels[y] = self.channels[inputs[0]]
        return y

    def relu(self, x: int, name: str) -> int:
        return self.simple("Activation", name, x, act_type="relu")

    def document(self) -> dict[str, Any]:
        return {
            "nodes": self.nodes,
            "arg_nodes": [place for place, node in enumerate(self.nodes) if node["op"] == "null"],
            "heads": [[place, 0, 0] for place in self.heads or [len(self.nodes) - 1]],
            "attrs": {"mxnet_version": ["int", VERSION]},
        }


def resnet(
    depth: int,
    classes: int,
    *,
    small_stem: bool = False,
    channels: int = 3,
    head: str = "fc1",
    output: str = "SoftmaxOutput",
    seed: int = 0,
    narrow: int = 1,
    **spelling: str,
) -> Graph:
    """As the examples' `get_symbol`; `narrow` divides the widths of a graph that is only looked at."""
    graph = Graph(channels, seed, **spelling)
    bottleneck = depth >= 50
    widths = [64, 256, 512, 1024, 2048] if bottleneck else [64, 64, 128, 256, 512]
    if len(UNITS[depth]) == 3:
        widths = [16, 16, 32, 64]
    widths = [width // narrow for width in widths]
    x = graph.norm(graph.simple("_copy", "id", 0), "bn_data", fixed=True)
    if small_stem:
        x = graph.convolution(x, "conv0", widths[0], 3)
    else:
        x = graph.relu(graph.norm(graph.convolution(x, "conv0", widths[0], 7, 2), "bn0"), "relu0")
        x = graph.simple("Pooling", "pooling0", x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max")
    for stage, (count, width) in enumerate(zip(UNITS[depth], widths[1:], strict=True), start=1):
        for number in range(1, count + 1):
            stride = 2 if number == 1 and stage > 1 else 1
            x = unit(graph, x, f"stage{stage}_unit{number}", width, stride, bottleneck, projected=number == 1)
    x = graph.relu(graph.norm(x, "bn1"), "relu1")
    x = graph.simple("Pooling", "pool1", x, kernel=(7, 7), pool_type="avg", global_pool=True)
    x = graph.simple("Flatten", "flatten0", x)
    weight = graph.parameter(
        f"{head}_weight",
        graph.random.normal(0, 0.5, (classes, graph.channels[x])) / np.sqrt(graph.channels[x]),
    )
    bias = graph.parameter(f"{head}_bias", graph.random.normal(size=classes))
    x = graph.node("FullyConnected", head, x, weight, bias, num_hidden=classes)
    label = graph.node("null", "softmax_label")
    graph.node(output, "softmax", x, *([label] if output.endswith("Output") else []))
    return graph


def unit(
    graph: Graph, x: int, name: str, width: int, stride: int, bottleneck: bool, *, projected: bool
) -> int:
    plan = [(width // 4, 1, 1), (width // 4, 3, stride), (width, 1, 1)]
    if not bottleneck:
        plan = [(width, 3, stride), (width, 3, 1)]
    y = shortcut = x
    for number, (outputs, size, step) in enumerate(plan, start=1):
        y = graph.relu(graph.norm(y, f"{name}_bn{number}"), f"{name}_relu{number}")
        if number == 1 and projected:
            shortcut = graph.convolution(y, f"{name}_sc", width, 1, stride)
        y = graph.convolution(y, f"{name}_conv{number}", outputs, size, step)
    return graph.simple("elemwise_add", f"{name}_plus", y, shortcut)


def evaluate(
    document: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    data: np.ndarray,
    operators: Mapping[str, Operator] | None = None,
    head: int = 0,
) -> np.ndarray:
    """The graph's answer for images (n, c, h, w), in float64.

    operators: beside those of residual networks.   head: which of its answers; nodes that it does not need
    are left out."""
    values: list[Any] = []
    operators = {**OPERATORS, **(operators or {})}
    last = document["heads"][head][0]
    needed = {last}
    for place in range(last, -1, -1):
        if place in needed:
            needed |= {number for number, _, _ in document["nodes"][place]["inputs"]}
    parameters = {name.partition(":")[2] or name: array.astype(np.float64) for name, array in arrays.items()}
    for place, node in enumerate(document["nodes"]):
        if place not in needed:
            values.append(None)
            continue
        inputs = [values[place] for place, _, _ in node["inputs"]]
        settings = node.get("attrs") or node.get("attr") or node.get("param") or {}
        if node["op"] == "null":
            values.append(data.astype(np.float64) if node["name"] == "data" else parameters.get(node["name"]))
        else:
            values.append(operators[node["op"]](inputs, settings))
    answer: np.ndarray = values[last]
    return answer


def _numbers(settings: Mapping[str, str], name: str, default: Sequence[int]) -> Sequence[int]:
    text = settings.get(name)
    return default if text is None else [int(part) for part in text.strip("()").split(",")]


def _windows(x: np.ndarray, settings: Mapping[str, str], fill: float) -> np.ndarray:
    """(n, c, h, w) as windows (n, c, out h, out w, kernel h, kernel w)."""
    kernel = _numbers(settings, "kernel", ())
    (down, along), (top, left) = _numbers(settings, "stride", (1, 1)), _numbers(settings, "pad", (0, 0))
    padded = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)), constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, tuple(kernel), axis=(2, 3))
    return windows[:, :, ::down, ::along]


def _convolution(inputs: list[np.ndarray], settings: Mapping[str, str]) -> np.ndarray:
    x, weight = inputs[:2]
    holes = _numbers(settings, "dilate", (1, 1))[0]
    if holes > 1:
        size = holes * (weight.shape[2] - 1) + 1
        wide = np.zeros((*weight.shape[:2], size, size))
        wide[:, :, ::holes, ::holes] = weight
        weight, settings = wide, {**settings, "kernel": f"({size}, {size})"}
    y: np.ndarray = np.einsum("nchwij,ocij->nohw", _windows(x, settings, 0.0), weight, optimize=True)
    return y if settings.get("no_bias") == "True" else y + inputs[2][:, None, None]


def _batch_norm(inputs: list[np.ndarray], settings: Mapping[str, str]) -> np.ndarray:
    x, gamma, beta, mean, var = (part if part.ndim > 1 else part[:, None, None] for part in inputs)
    if settings["fix_gamma"] == "True":
        gamma = np.ones_like(gamma)
    return (x - mean) / np.sqrt(var + float(settings["eps"])) * gamma + beta


def _pooling(inputs: list[np.ndarray], settings: Mapping[str, str]) -> np.ndarray:
    if settings.get("global_pool") == "True":
        return inputs[0].mean(axis=(2, 3), keepdims=True)
    x = inputs[0]
    if settings.get("pooling_convention") == "full":
        x = np.pad(x, ((0, 0), (0, 0), *((0, side % 2) for side in x.shape[2:])), constant_values=-np.inf)
    return _windows(x, settings, -np.inf).max(axis=(4, 5))


def _softmax(inputs: list[np.ndarray], settings: Mapping[str, str]) -> np.ndarray:
    grown = np.exp(inputs[0] - inputs[0].max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


OPERATORS: Mapping[str, Operator] = {
    "_copy": lambda inputs, _: inputs[0],
    "Convolution": _convolution,
    "BatchNorm": _batch_norm,
    "Activation": lambda inputs, _: np.maximum(inputs[0], 0),
    "Pooling": _pooling,
    "elemwise_add": lambda inputs, _: inputs[0] + inputs[1],
    "Flatten": lambda inputs, _: inputs[0].reshape(len(inputs[0]), -1),
    "FullyConnected": lambda inputs, _: inputs[0] @ inputs[1].T + inputs[2],
    "SoftmaxOutput": _softmax,
    "sigmoid": lambda inputs, _: 1 / (1 + np.exp(-inputs[0])),
}


def spellings() -> list[dict[str, str]]:
    """How attributes have been written by MXNet's versions."""
    ways = itertools.product(("attrs", "attr", "param"), (" ", ""))
    return [{"spelling": key, "blank": blank} for key, blank in ways]

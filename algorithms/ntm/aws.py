"""The artifact of AWS's image: a ZIP `model_algo-N` of each host, of meta.json, symbol.json and params.

params holds enc_0_weight (first layer, words), ..., mean_*, logsigma_* and projection_weight (words, topics),
whose column k is topic k. Hosts were trained asynchronously, so theirs differ: the first one's is taken.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import mxnet_archive, mxnet_symbol
from optml.algorithms.mxnet_archive import Archive
from optml.algorithms.mxnet_symbol import Node
from optml.algorithms.ntm.parameters import AWS, Parameters
from optml.errors import UserError

ACTIVATIONS = ("sigmoid", "tanh", "relu")
NORMALIZED = ("gamma", "beta", "moving_mean", "moving_var")

find = mxnet_archive.find


def recognises(path: Path) -> bool:
    """Does an archive hold a topic model, sound or not?"""
    return {"enc_0_weight", "projection_weight"} <= mxnet_archive.read(path).arrays.keys()


def read(path: Path) -> Parameters:
    """Read an archive. Raises UserError that says what is missing, ill-shaped or not finite."""
    archive = mxnet_archive.read(path)
    normalized = sorted(name for name in archive.arrays if name.endswith(NORMALIZED))
    if normalized:
        raise UserError(
            f"{path} was trained with batch_norm: how AWS's image applies {normalized[0]} is not known; "
            "train it anew here, or with batch_norm=false"
        )
    arrays = {name: array for name, array in archive.arrays.items() if isinstance(array, np.ndarray)}
    return Parameters.of(arrays, AWS, _activation(archive), str(path))


def write(path: Path, own: Parameters, hyperparameters: Mapping[str, Any]) -> None:
    """Write an archive as AWS's image does."""
    meta = {
        "version": 1,
        "training_parameters": {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in hyperparameters.items()
        },
    }
    documents = {"meta.json": meta, "symbol.json": _graph(own)}
    mxnet_archive.write(path, "params", own.arrays(AWS), documents)


def _activation(archive: Archive) -> str:
    """From the first activation of the network, else from the training parameters; sigmoid is the default."""
    graph, meta = archive.documents.get("symbol.json"), archive.documents.get("meta.json")
    candidates: list[object] = []
    for node in mxnet_symbol.nodes(graph):
        candidates += [mxnet_symbol.attributes(node).get("act_type"), node.get("op")]
    settings = meta.get("training_parameters") if isinstance(meta, dict) else None
    if isinstance(settings, dict):
        candidates.insert(0, settings.get("encoder_layers_activation"))
    return next((word for word in candidates if isinstance(word, str) and word in ACTIVATIONS), "sigmoid")


def _graph(own: Parameters) -> dict[str, Any]:
    """The encoder, from counts to mu, as MXNet would run it."""
    nodes: list[Node] = []

    def add(op: str, name: str, inputs: tuple[int, ...] = (), **attributes: object) -> int:
        nodes.append(Node(op, name, inputs, {key: str(value) for key, value in attributes.items()}))
        return len(nodes) - 1

    def connected(name: str, source: int, hidden: int) -> int:
        weight, bias = add("null", f"{name}_weight"), add("null", f"{name}_bias")
        return add("FullyConnected", name, (source, weight, bias), num_hidden=hidden)

    last = add("null", "data")
    for number, (weight, _) in enumerate(own.encoder):
        last = connected(f"enc_{number}", last, len(weight))
        last = add("Activation", f"enc_{number}_act", (last,), act_type=own.activation)
    connected("mean", last, own.topics)
    return mxnet_symbol.document(nodes)

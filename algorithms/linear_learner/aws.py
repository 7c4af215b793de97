"""A linear model as AWS's image keeps it: an MXNet module and beside it what its answers need.

    mx-mod-symbol.json      the graph: dot(data, fc0_weight) + fc0_bias, then what the loss makes of it
    mx-mod-0000.params      fc0_weight (d, C) and fc0_bias (1, C) float32, for raw features
    additional-params.json  {"threshold", "loss_type", "predictor_type", "metrics_params": {...}}
    manifest.json           which member is what

`mx.module.Module.load("mx-mod", 0)` opens the first two once they are unzipped.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import mxnet_archive, mxnet_symbol
from optml.algorithms.mxnet_symbol import Node
from optml.errors import UserError

SYMBOL, PARAMS = "mx-mod-symbol.json", "mx-mod-0000.params"
MANIFEST, ADDITIONAL = "manifest.json", "additional-params.json"
OUTPUTS = {"logistic": "LogisticRegressionOutput", "softmax_loss": "SoftmaxOutput"}


@dataclass(frozen=True, slots=True)
class Module:
    """weight: (C, d), bias: (C,) float32.   metrics: the hyperparameters that `metrics_params` names."""

    weight: np.ndarray
    bias: np.ndarray
    predictor_type: str
    loss: str
    threshold: float | None  # of a binary classifier's score
    metrics: dict[str, Any]

    def write(self, path: Path) -> None:
        """Write the archive; the same module gives the same bytes."""
        binary = self.predictor_type == "binary_classifier"
        threshold = self.threshold if binary else None
        documents = {
            SYMBOL: _graph(self.weight.shape, self.loss),
            MANIFEST: {"mx-mod": "mxnet_module", ADDITIONAL: "json", "version": 1},
            ADDITIONAL: {
                "threshold": threshold,
                "loss_type": self.loss,
                "predictor_type": self.predictor_type,
                "metrics_params": _metrics(self.loss, self.metrics) | {"threshold": threshold},
            },
        }
        arrays = {"fc0_weight": np.ascontiguousarray(self.weight.T), "fc0_bias": self.bias[None]}
        mxnet_archive.write(path, PARAMS, arrays, documents)


def recognises(folder: Path) -> bool:
    """Does the folder hold an archive with the members of a linear model?"""
    path = mxnet_archive.find(folder)
    try:
        return path is not None and {SYMBOL, ADDITIONAL} <= set(zipfile.ZipFile(path).namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def read(path: Path) -> Module:
    """Read an archive of AWS's or of ours. Raises UserError naming the member and what is wrong with it."""
    archive = mxnet_archive.read(path)
    additional = archive.documents.get(ADDITIONAL)
    if not isinstance(additional, Mapping):
        documents = ", ".join(sorted(archive.documents)) or "nothing"
        raise UserError(f"{path} is no linear model: {ADDITIONAL} is missing or no object; found {documents}")
    weight, bias = (archive.arrays.get(name) for name in ("fc0_weight", "fc0_bias"))
    if not isinstance(weight, np.ndarray) or weight.ndim != 2:
        raise UserError(
            f"{PARAMS} in {path}: expected a dense matrix fc0_weight (feature_dim, outputs), "
            f"found {', '.join(sorted(archive.arrays)) or 'nothing'}"
        )
    if bias is None:  # trained without
        bias = np.zeros(weight.shape[1], np.float32)
    if not isinstance(bias, np.ndarray) or bias.size != weight.shape[1]:
        raise UserError(
            f"{PARAMS} in {path}: fc0_weight has {weight.shape[1]} outputs, "
            f"but fc0_bias is of shape {getattr(bias, 'shape', None)}"
        )
    threshold, metrics = additional.get("threshold"), additional.get("metrics_params")
    return Module(
        weight.T,
        bias.reshape(-1),
        str(additional.get("predictor_type")),
        str(additional.get("loss_type")),
        threshold if isinstance(threshold, int | float) else None,
        dict(metrics) if isinstance(metrics, Mapping) else {},
    )


def _metrics(loss: str, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """`metrics_params`: what belongs to another loss is null, as in AWS's."""
    owners = {
        "quantile": "quantile_loss",
        "huber_delta": "huber_loss",
        "margin": "hinge_loss",
        "loss_insensitivity": "eps_insensitive",
    }
    own = {
        name: hyperparameters.get(name) if loss.startswith(owner) else None for name, owner in owners.items()
    }
    kind = loss.removeprefix("eps_insensitive_") if loss.startswith("eps_insensitive") else None
    return own | {
        "eps_insensitive_loss_type": kind,
        "accuracy_top_k": hyperparameters.get("accuracy_top_k", 3),
        "f_beta": hyperparameters.get("f_beta", 1.0),
        "positive_example_weight_mult": hyperparameters.get("positive_example_weight_mult", 1.0),
        "class_weights": hyperparameters.get("class_weights"),
    }


def _graph(shape: tuple[int, ...], loss: str) -> dict[str, Any]:
    """The module's symbol, as MXNet 1.3 saves one."""
    outputs, width = shape
    output = OUTPUTS.get(loss, "LinearRegressionOutput")
    weight = {"__shape__": f"({width}, {outputs})"}
    bias = {"__lr_mult__": "10.0", "__shape__": f"(1, {outputs})"}
    return mxnet_symbol.document(
        [
            Node("null", "data"),
            Node("null", "fc0_weight", attributes=weight),
            Node("dot", "dot0", (0, 1)),
            Node("null", "fc0_bias", attributes=bias),
            Node("broadcast_add", "broadcast_plus0", (2, 3)),
            Node("null", "out_label"),
            Node(output, f"{output.lower()}0", (4, 5)),
        ]
    )

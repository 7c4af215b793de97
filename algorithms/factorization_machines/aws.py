"""The artifact of AWS's image: a ZIP `model_algo-1` of meta.json, symbol.json and params.

Trained on sparse data, params holds `v` (d, k), `w1_weight` (d, 1) and `w0_weight` (1,), the first two
row-sparse; on dense data `v` (k, d), `Linear_Plus_Bias_weight` (1, d) and `Linear_Plus_Bias_bias` (1,). Both
are read, the first is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import mxnet_archive, mxnet_symbol
from optml.algorithms.mxnet_archive import Archive
from optml.algorithms.mxnet_symbol import Node
from optml.algorithms.ndarray import RowSparse
from optml.errors import UserError

OUTPUTS = {"regressor": "LinearRegressionOutput", "binary_classifier": "LogisticRegressionOutput"}
WHOLE = 1 << 30  # bytes up to which rows that are not stored are filled in with zeros
SPARSE = {"weight": "w1_weight", "bias": "w0_weight"}
DENSE = {"weight": "Linear_Plus_Bias_weight", "bias": "Linear_Plus_Bias_bias"}

find = mxnet_archive.find


@dataclass(frozen=True, slots=True)
class ModelArrays:
    """factors (m, k), weights (m,) float32; ids: None, or the features (m,) of the rows, others are zero."""

    factors: np.ndarray
    weights: np.ndarray
    bias: float
    width: int
    ids: np.ndarray | None
    predictor_type: str


def read(path: Path) -> ModelArrays:
    """Read an archive. Raises UserError that says what is missing, ill-shaped or not finite."""
    archive = mxnet_archive.read(path)
    arrays = archive.arrays
    if "v" not in arrays:
        names = ", ".join(sorted(arrays)) or "none"
        raise UserError(f"{path} is no factorization machine: it has no factors 'v'; its arrays: {names}")
    columns = any(name in arrays for name in DENSE.values())  # one a feature, instead of a row
    of = DENSE if columns else SPARSE
    factors = arrays["v"]
    if columns:
        factors = np.ascontiguousarray(_whole(factors).T)
    if len(factors.shape) != 2:
        raise UserError(f"{path}: the factors 'v' must be a matrix, found shape {factors.shape}")
    width, k = factors.shape
    ids = None
    if isinstance(factors, RowSparse) and 4 * width * (k + 1) > WHOLE:
        ids = np.union1d(factors.rows, _rows_of(arrays.get(of["weight"]))).astype(np.int64)
    factors = _at(factors, ids)
    nothing = RowSparse(np.empty((0, 1), np.float32), np.empty(0, np.int64), (width, 1))
    weights = arrays.get(of["weight"], nothing)
    if weights.shape not in ((width, 1), (1, width)):
        raise UserError(f"{path}: {of['weight']} has shape {weights.shape}; with v it must be ({width}, 1)")
    weights = _at(weights, ids).reshape(-1)
    bias = _whole(arrays.get(of["bias"], np.zeros(1, np.float32)))
    for name, array in (("v", factors), (of["weight"], weights), (of["bias"], bias)):
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise UserError(f"{path}: {name} must hold finite floats")
    if bias.size != 1:
        raise UserError(f"{path}: {of['bias']} has shape {bias.shape}; expected one number")
    return ModelArrays(
        factors.astype(np.float32, copy=False),
        weights.astype(np.float32),
        float(bias.reshape(-1)[0]),
        width,
        ids,
        _predictor_type(archive, path),
    )


def write(path: Path, own: ModelArrays, hyperparameters: Mapping[str, Any]) -> None:
    """Write an archive as AWS's image does after training on sparse data."""
    rows = np.arange(own.width) if own.ids is None else own.ids
    k = own.factors.shape[1]
    arrays: dict[str, np.ndarray | RowSparse] = {
        "w1_weight": RowSparse(own.weights.reshape(-1, 1), rows, (own.width, 1)),
        "w0_weight": np.array([own.bias], np.float32),
        "v": RowSparse(own.factors, rows, (own.width, k)),
    }
    parameters = {name: _text(value) for name, value in hyperparameters.items() if value is not None}
    size = {"feature_dim": str(own.width), "num_factors": str(k), "predictor_type": own.predictor_type}
    epochs = hyperparameters.get("epochs")
    meta = {
        "version": 1,
        "epoch_number": 1 if epochs is None else int(epochs),
        "training_parameters": parameters | size,
        "label_names": ["out_label"],
    }
    graph = _graph(own.width, k, OUTPUTS[own.predictor_type])
    mxnet_archive.write(path, "params", arrays, {"meta.json": meta, "symbol.json": graph})


def _at(array: np.ndarray | RowSparse, ids: np.ndarray | None) -> np.ndarray:
    """The rows of these features, zero where they are not stored; None: of all."""
    if ids is None:
        return _whole(array)
    if isinstance(array, np.ndarray):
        rows: np.ndarray = array.reshape(-1, array.size // max(array.shape))[ids]
        return rows
    whole: np.ndarray = np.zeros((len(ids), *array.shape[1:]), array.values.dtype)
    whole[np.searchsorted(ids, array.rows)] = array.values
    return whole


def _whole(array: np.ndarray | RowSparse) -> np.ndarray:
    whole: np.ndarray = array.dense() if isinstance(array, RowSparse) else array
    return whole


def _rows_of(array: np.ndarray | RowSparse | None) -> np.ndarray:
    return array.rows if isinstance(array, RowSparse) else np.empty(0, np.int64)


def _predictor_type(archive: Archive, path: Path) -> str:
    """From the training parameters, else from the network's last node."""
    meta = archive.documents.get("meta.json")
    parameters = meta.get("training_parameters") if isinstance(meta, dict) else None
    predictor_type = parameters.get("predictor_type") if isinstance(parameters, dict) else None
    if isinstance(predictor_type, str) and predictor_type in OUTPUTS:
        return predictor_type
    graph = json.dumps(archive.documents.get("symbol.json"))
    kinds = [kind for kind, output in OUTPUTS.items() if output in graph]
    if len(kinds) != 1:
        raise UserError(
            f"{path} does not tell whether it is a regressor or a classifier: meta.json is missing"
        )
    return kinds[0]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _graph(width: int, k: int, output: str) -> dict[str, Any]:
    """The network that MXNet would run: an input, operators, and by number the nodes that feed each."""
    row_sparse = {"__storage_type__": "1"}
    nodes = [
        Node("null", "data", attributes={"__storage_type__": "2"}),
        Node("null", "w1_weight", attributes={"__shape__": f"({width}, 1)", **row_sparse}),
        Node("dot", "dot0", (0, 1)),
        Node("null", "w0_weight", attributes={"__shape__": "(1,)"}),
        Node("broadcast_add", "broadcast_plus0", (2, 3)),
        Node("null", "v", attributes={"__shape__": f"({width}, {k})", **row_sparse}),
        Node("dot", "dot2", (0, 5)),
        Node("square", "Square", (6,)),
        Node("_mul_scalar", "_mulscalar0", (7,), {"scalar": "0.5"}),
        Node("Concat", "concat0", (4, 8), {"dim": "1", "num_args": "2"}),
        Node("sum", "sum0", (9,), {"axis": "1", "keepdims": "True"}),
        Node("square", "x_square", (0,)),
        Node("_square_sum", "_square_sum0", (5,), {"axis": "1", "keepdims": "True"}),
        Node("dot", "dot1", (11, 12)),
        Node("negative", "negative0", (13,)),
        Node("_mul_scalar", "_mulscalar1", (14,), {"scalar": "0.5"}),
        Node("elemwise_add", "Final_Summation", (10, 15)),
        Node("null", "out_label"),
        Node(output, "out", (16, 17)),
    ]
    return mxnet_symbol.document(nodes)

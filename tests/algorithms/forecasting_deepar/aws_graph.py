"""AWS's network as its graph computes it, step by step in float64, and the files that AWS's image leaves."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import ndarray


def folder(path: Path, arrays: Mapping[str, np.ndarray], scale: float | None, **config: Any) -> None:
    """Write the artifact of such a network. scale: of what has no other; None: the graph does not tell it."""
    names = [f"arg:{name}" for name in arrays]
    (path / "model_algo-1-0000.params").write_bytes(ndarray.encode(list(arrays.values()), names))
    (path / "model_algo-1-config.json").write_text(json.dumps(config))
    (path / "model_algo-1-symbol.json").write_text(json.dumps(symbol(scale)))


def symbol(scale: float | None, attributes: str = "attrs") -> dict[str, Any]:
    """The part of the graph that finds the scale, beside other products, ones and choices."""
    nodes: list[dict[str, Any]] = []

    def add(op: str, *inputs: int, **given: str) -> int:
        described = {attributes: given} if given else {}
        name = f"{op}{len(nodes)}"
        nodes.append({"op": op, "name": name, "inputs": [[each, 0, 0] for each in inputs]} | described)
        return len(nodes) - 1

    total, count = add("null"), add("null")
    half = add("_mul_scalar", total, scalar="0.5")  # of no ones
    doubled = add("_mul_scalar", add("ones_like", count), scalar="2.0")  # feeds no choice
    some = add("_greater_scalar", add("elemwise_mul", count, doubled), scalar="0.0")
    mean = add("where", some, add("_mul_scalar", add("ones_like", half), scalar="3.0"), half)  # second input
    if scale is not None:
        mean = add("where", some, mean, add("_mul_scalar", add("ones_like", mean), scalar=repr(scale)))
    return {"nodes": nodes, "heads": [[add("_maximum_scalar", mean, scalar="1e-10"), 0, 0]]}


def means(
    arrays: Mapping[str, np.ndarray], record: Mapping[str, Any], lags: list[int], context: int, horizon: int,
    scale: float,
) -> np.ndarray:  # fmt: skip
    """(horizon,) forecasts of an hourly gaussian network whose draws are its mu.

    record: start, target (numbers, None), cat, dynamic_feat.   scale: where the context has none.
    """
    target = [np.nan if value is None else float(value) for value in record["target"]]
    seen = [abs(value) for value in target[-context:] if not np.isnan(value)]
    mean = sum(seen) / len(seen) if seen else 0.0
    scale = max(mean if mean > 0 else scale, 1e-10)
    start = datetime.datetime.fromisoformat(record["start"])
    embedded = [arrays[f"embed_{place}_weight"][value] for place, value in enumerate(record.get("cat", []))]
    layers = sum(name.endswith("h2h_weight") for name in arrays)
    cells = arrays["lstm_l_0h2h_weight"].shape[1]
    state = [(np.zeros(cells), np.zeros(cells)) for _ in range(layers)]
    known: list[float] = list(target)  # and, as it goes on, what the network thinks of missing points
    for place in range(len(target) - context, len(target) + horizon):
        padded = place < 0
        moment = start + datetime.timedelta(hours=place)
        below = np.concatenate([
            [moment.hour / 23 - 0.5, moment.weekday() / 6 - 0.5, (moment.day - 1) / 30 - 0.5],
            [(moment.timetuple().tm_yday - 1) / 365 - 0.5, np.log10(2 + max(place, 0))],
            [0.0 if padded else feature[place] for feature in record.get("dynamic_feat", [])],
            *embedded,
            [np.log(scale)],
            [known[place - lag] / scale if place - lag >= 0 else 0.0 for lag in lags],
        ])  # fmt: skip
        for layer in range(layers):
            h, c = (np.where(padded, 0.0, each) for each in state[layer])
            gates = (
                arrays[f"lstm_l_{layer}i2h_weight"].astype(float) @ below
                + arrays[f"lstm_l_{layer}i2h_bias"]
                + arrays[f"lstm_l_{layer}h2h_weight"].astype(float) @ h
                + arrays[f"lstm_l_{layer}h2h_bias"]
            )
            i, f, g, o = gates.reshape(4, cells)
            c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
            h = _sigmoid(o) * np.tanh(c)
            state[layer] = h, c
            below = h + below if layer else h
        mu = scale * (arrays["mu_Noneproj_weight"][0].astype(float) @ below + arrays["mu_Noneproj_bias"][0])
        if place >= len(target):
            known.append(mu)
        elif not padded and np.isnan(target[place]):
            known[place] = mu
    return np.array(known[len(target) :])


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))

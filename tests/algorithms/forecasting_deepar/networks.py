"""Networks that nobody has trained, and what they are asked."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from optml.algorithms.answers import Answer
from optml.algorithms.forecasting_deepar import requests
from optml.algorithms.forecasting_deepar.facts import OUTPUTS, Facts
from optml.algorithms.forecasting_deepar.model import Model
from optml.algorithms.forecasting_deepar.requests import encode
from optml.formats.content_type import ContentType
from tests.algorithms.forecasting_deepar.sample import START, parameters

JSON, LINES = "application/json", "application/jsonlines"


def decode(body: bytes, media: str, model: Any) -> Any:
    return requests.decode(body, ContentType(media), model)


def model(cardinality: tuple[int, ...] = (2, 3), dynamics: int = 1, **given: Any) -> Model:
    settings = parameters(embedding_dimension=3, **given)
    generator = np.random.default_rng(5)
    cells, frequency = settings.num_cells, settings.frequency
    width = len(frequency.names) + 1 + dynamics + 3 * len(cardinality) + 1 + len(frequency.lags)
    shapes: dict[str, tuple[int, ...]] = {
        f"embed_{number}_weight": (size, 3) for number, size in enumerate(cardinality)
    }
    for layer in range(settings.num_layers):
        for kind, size in (("i2h", cells if layer else width), ("h2h", cells)):
            shapes[f"lstm_l_{layer}{kind}_weight"] = (4 * cells, size)
            shapes[f"lstm_l_{layer}{kind}_bias"] = (4 * cells,)
    for name in OUTPUTS[settings.likelihood]:
        shapes |= {f"{name}_Noneproj_weight": (1, cells), f"{name}_Noneproj_bias": (1,)}
    arrays = {
        name: (0.3 * generator.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()
    }
    return Model(settings, Facts(cardinality, dynamics, 3.0), arrays)


def instance(length: int = 20, **other: Any) -> dict[str, Any]:
    features = [[0.1 * step for step in range(length + 4)]]
    return {
        "start": START, "target": [1.0 + step % 5 for step in range(length)], "cat": [1, 2],
        "dynamic_feat": features,
    } | other  # fmt: skip


def ask(of: Model, *instances: Any, media: str = JSON, batch: bool = False, **configuration: Any) -> Any:
    if media == JSON:
        document: dict[str, Any] = {"instances": list(instances)}
        body = json.dumps(document | ({"configuration": configuration} if configuration else {})).encode()
    else:
        body = b"\n".join(json.dumps(one).encode() for one in instances)
    request = decode(body, media, of)
    answer = bytes(encode(of.predict(request, {}), media, Answer(batch=batch)))
    return json.loads(answer) if media == JSON else answer

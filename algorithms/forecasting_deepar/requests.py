"""Requests as AWS's image takes them, and its answers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from optml.algorithms.answers import Answer, Written
from optml.algorithms.forecasting_deepar.builder import FIELDS, Builder
from optml.algorithms.forecasting_deepar.hyperparameters import DECILES
from optml.algorithms.forecasting_deepar.model import QUANTILE, Model, Request
from optml.algorithms.forecasting_deepar.reading import record
from optml.errors import PlatformError, UserError, nearest, shown
from optml.formats.content_type import JSON, ContentType
from optml.formats.documents import each_line, listed, parse, runs
from optml.formats.records import Columns

VARIABLE = "DEEPAR_INFERENCE_CONFIG"
KEYS = ("num_samples", "output_types", "quantiles")  # of a configuration
TYPES = ("mean", "quantiles", "samples")
DIGITS = 10  # behind the point, as AWS prints them
MOST = 1 << 28  # numbers that the paths of a request may hold


@dataclass(frozen=True, slots=True)
class Configuration:
    """What is asked of every instance of a request."""

    samples: int = 100
    types: tuple[str, ...] = ("mean",)
    quantiles: tuple[str, ...] = tuple(map(str, DECILES))

    @classmethod
    def of(cls, keys: Any, default: Configuration) -> Configuration:
        """Raises UserError that names the key."""
        if not isinstance(keys, Mapping):
            raise UserError(
                f'"configuration" must be an object such as {{"num_samples": 50}}, not {shown(keys)}'
            )
        _require_known(keys, KEYS, "the configuration")
        samples = keys.get("num_samples", default.samples)
        if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
            raise UserError(f'"num_samples" is {shown(samples)}; expected a whole number from 1 on')
        types = keys.get("output_types", list(default.types))
        if not isinstance(types, list) or not types:
            raise UserError(f'"output_types" is {shown(types)}; expected a list of {", ".join(TYPES)}')
        for name in types:
            if name not in TYPES:
                raise UserError(f'"output_types" holds {shown(name)}; known are {", ".join(TYPES)}')
        quantiles = keys.get("quantiles", list(default.quantiles))
        if not isinstance(quantiles, list) or not quantiles:
            raise UserError(
                f'"quantiles" is {shown(quantiles)}; expected a list such as ["0.1", "0.5", "0.9"]'
            )
        return cls(samples, tuple(types), tuple(dict.fromkeys(map(_quantile, quantiles))))


def decode(body: bytes, form: ContentType, model: Model) -> Request:
    """Read `{"instances": [...], "configuration": {...}}`, or JSON lines of one series each, for which the
    environment holds the configuration. Raises UserError, naming the instance or the line."""
    parameters, facts = model.parameters, model.facts
    builder = Builder(
        parameters.frequency,
        cats=len(facts.cardinality),
        dynamics=facts.dynamics,
        cardinality=facts.cardinality,
        horizon=parameters.prediction_length,
        future=parameters.prediction_length,
        empty=True,
    )
    document = parse(body, "the request") if form.media == JSON else None
    if isinstance(document, Mapping) and "instances" in document:
        _require_known(document, ("instances", "configuration"), "the request")
        instances = listed(document, "instances")
        if instances is None:
            raise UserError(f'"instances" must be a list of series, not {shown(document["instances"])}')
        configuration = Configuration.of(document.get("configuration", {}), Configuration())
        for number, instance in enumerate(instance for run in runs(instances) for instance in run):
            builder.add(instance, lambda number=number: f"instances[{number}]")  # type: ignore[misc]
            _require_room(len(builder), configuration.samples, parameters.prediction_length)
    elif document is not None and not (isinstance(document, Mapping) and "target" in document):
        if isinstance(document, Mapping):
            _require_known(document, ("instances", *FIELDS), "the request")
        raise UserError('the request must be an object with a list "instances" of series')
    else:
        configuration = _of_environment()
        for number, instance in each_line(body, _line) if document is None else ():
            builder.add(instance, lambda number=number: f"line {number}")  # type: ignore[misc]
            _require_room(len(builder), configuration.samples, parameters.prediction_length)
        if document is not None:
            builder.add(document, lambda: "the series")
        _require_room(len(builder), configuration.samples, parameters.prediction_length)
    return Request(builder.series(), configuration.samples, configuration.types, configuration.quantiles)


def _require_room(series: int, samples: int, length: int) -> None:
    """Raise UserError for more than can be forecast at once, before the rest is read."""
    numbers = series * samples * length
    if numbers > MOST:
        raise UserError(
            f"{series} series of {samples} samples are {numbers} numbers, more than {MOST}: ask for fewer "
            "samples, or send fewer series at a time"
        )


def _of_environment() -> Configuration:
    try:
        return of_text(os.environ.get(VARIABLE, ""))
    except UserError as error:  # no mistake of the request
        raise PlatformError(str(error)) from None


def of_text(text: str) -> Configuration:
    """The configuration of JSON lines, as the environment holds it. Raises UserError for one that is none."""
    default = Configuration(types=("mean", "quantiles"))
    if not text.strip():
        return default
    try:
        keys = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"environment variable {VARIABLE} is no JSON ({error}); expected an object such as "
            '{"num_samples": 50}'
        ) from None
    try:
        return Configuration.of(keys, default)
    except UserError as error:
        raise UserError(f"environment variable {VARIABLE}: {error}") from None


def sample(model: Model, media: str) -> bytes:
    """A request of one series that the model can answer."""
    length = model.parameters.context_length + model.parameters.prediction_length
    series: dict[str, Any] = {"start": "2020-01-01 00:00:00", "target": [0] * model.parameters.context_length}
    if model.facts.cardinality:
        series["cat"] = [0] * len(model.facts.cardinality)
    if model.facts.dynamics:
        series["dynamic_feat"] = [[0] * length] * model.facts.dynamics
    return orjson.dumps({"instances": [series]} if media == JSON else series)


def encode(columns: Columns, media: str, answer: Answer) -> Written:
    """`{"predictions": [{"quantiles": {...}, "samples": [...], "mean": [...]}]}`, or one object a line."""
    rounded = {
        name: np.round(np.ascontiguousarray(values, np.float64), DIGITS) for name, values in columns.items()
    }
    lines = []
    for row in range(len(next(iter(rounded.values()), ()))):
        one: dict[str, Any] = {}
        for name, values in rounded.items():
            if name.startswith(QUANTILE):
                one.setdefault("quantiles", {})[name.removeprefix(QUANTILE)] = values[row]
            else:
                one[name] = values[row]
        lines.append(orjson.dumps(one, option=orjson.OPT_SERIALIZE_NUMPY))
    if media == JSON:
        return Written(lines, b'{"predictions":[', b",", b"]}")
    return Written(lines, closing=b"" if answer.batch else b"\n")


def _require_known(fields: Mapping[str, Any], known: Sequence[str], owner: str) -> None:
    """Raise UserError that names a key which nobody would look at."""
    for key in fields:
        if key not in known:
            raise UserError(f"{owner} has an unknown key {shown(key)}{nearest(key, known, 'known are')}")


def _line(line: bytes, number: int) -> Any:
    return record(line, f"line {number}")


def _quantile(value: Any) -> str:
    """As it will be named in the answer: text unchanged, a number in its shortest form."""
    text = value if isinstance(value, str) else repr(value)
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if isinstance(value, bool) or not 0 < number < 1:
        raise UserError(f'"quantiles" holds {shown(value)}; expected numbers between 0 and 1')
    return text

"""SageMaker's strings -> an algorithm's typed, bounded hyperparameters, and the schema that they publish.

A hyperparameter arrives as a string in any of the encodings that the console, the tuner and the SDKs use
(training-contract, section 3); `parse` reads them all and names every problem in one message.
"""

from __future__ import annotations

import ast
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import ValidationError

from optml.algorithms.base import Hyperparameters, Wording
from optml.container.domain import Domain
from optml.errors import UserError, nearest

log = logging.getLogger(__name__)

AnyHyperparameters = TypeVar("AnyHyperparameters", bound=Hyperparameters)

LOG_LEVELS = ("debug", "info", "warning", "error")
BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
NOT_GIVEN = {"", "null", "None"}
INTEGER = re.compile(r"[+-]?[0-9]+")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Engine:
    """AWS's engine knobs that mean something here; the other names that begin with `_` are ignored."""

    num_gpus: int | None = None  # None: all there are; 0: the CPU
    log_level: str = "info"
    tuning_objective_metric: str | None = None


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One hyperparameter as the schema of `optml describe` publishes it."""

    name: str
    domain: Domain = field(repr=False)
    required: bool
    default: Any  # JSON: a list for a tuple
    tunable: Mapping[str, Any] | None
    meaning: str
    applies_when: str | None = None
    deviation: str | None = None  # why it differs on purpose from AWS's documentation
    aliases: tuple[str, ...] = ()  # other names of the same

    @property
    def type(self) -> str:
        return self.domain.type

    @property
    def min(self) -> float | None:
        return (self.domain.items or self.domain).low

    @property
    def max(self) -> float | None:
        return (self.domain.items or self.domain).high

    @property
    def exclusive_min(self) -> bool:
        return (self.domain.items or self.domain).low_open

    @property
    def choices(self) -> list[str | int] | None:
        """The words to choose from; None where `auto` is the only one beside a number."""
        if self.type == "boolean":
            return ["true", "false"]
        words = self.domain.words or (self.domain.items.words if self.domain.items else ())
        return list(words) if words and words != ("auto",) else None


def fields(model: type[Hyperparameters]) -> list[FieldSpec]:
    """The hyperparameters of an algorithm, in the order in which it declares them.

    Raises TypeError for an annotation that SageMaker's strings cannot express.
    """
    specs = []
    for name, info in model.model_fields.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        default: Any = None if info.is_required() else info.get_default(call_default_factory=True)
        tunable: Any = extra.get("tunable")
        applies_when, deviation = extra.get("applies_when"), extra.get("deviation")
        aliases: Any = extra.get("aliases", ())
        specs.append(
            FieldSpec(
                name=info.alias or name,
                domain=Domain.of(info.annotation, info.metadata),
                required=info.is_required(),
                default=_plain(default),
                tunable=tunable,
                meaning=info.description or "",
                applies_when=None if applies_when is None else str(applies_when),
                deviation=None if deviation is None else str(deviation),
                aliases=tuple(aliases),
            )
        )
    return specs


def parse(
    raw: Mapping[str, object], model: type[AnyHyperparameters], metrics: Sequence[str]
) -> tuple[AnyHyperparameters, Engine]:
    """Read the content of hyperparameters.json.

    `metrics` are the names of the algorithm's metrics, of which the tuner's objective should be one.
    Raises UserError with one line for every unknown, missing, ill-typed, out-of-range or inconsistent value.
    """
    known = {spec.name: spec for spec in fields(model)}
    wording = model.wording
    texts, twice = _renamed({name: as_text(value) for name, value in raw.items()}, known)
    engine, problems = _engine({name: text for name, text in texts.items() if name[:1] == "_"}, metrics)
    problems += twice

    values: dict[str, object] = {}
    listed = False
    unreadable: set[str] = set()
    for name, text in texts.items():
        spec = known.get(name)
        if spec is None and name.startswith(("_", "sagemaker_")):
            continue
        if spec is None and model.passes(texts):
            values[name] = text
            continue
        if spec is None:
            hint = nearest(name, known, otherwise="" if listed else "known")
            listed = listed or not hint.endswith("?")
            problems.append(wording.unknown.format(name=name, near=hint))
            continue
        if text in NOT_GIVEN and text not in spec.domain.words:
            continue
        try:
            values[name] = _read(text, spec.domain)
        except ValueError:
            unreadable.add(name)
            problems.append(_refusal(wording.unreadable, spec, text))
    try:
        hyperparameters = model.model_validate(values)
    except ValidationError as error:
        problems += _complaints(error, wording, known, texts, unreadable)
    if problems:
        raise UserError("\n".join(problems))
    return hyperparameters, engine


def _renamed(texts: dict[str, str], known: Mapping[str, FieldSpec]) -> tuple[dict[str, str], list[str]]:
    """The texts by the names of the table, and which were given twice with different values."""
    problems = []
    for name, spec in known.items():
        for alias in spec.aliases:
            text = texts.pop(alias, None)
            if text is not None and texts.setdefault(name, text) != text:
                problems.append(
                    f"hyperparameters {name}='{texts[name]}' and {alias}='{text}' are the same: give one"
                )
    return texts, problems


def as_text(value: object) -> str:
    """The string that SageMaker would have sent for a JSON value of a hand-written file, stripped, and freed
    of the pair of double quotes that framework estimators leave around it."""
    if value is None:
        return ""
    text = value.strip() if isinstance(value, str) else json.dumps(value)
    if text[:1] == '"':
        try:
            unwrapped = json.loads(text)
        except ValueError:
            return text
        return str(unwrapped).strip()
    return text


def _read(text: str, domain: Domain) -> object:
    """The value that the text stands for. Raises ValueError where it stands for none of the domain's types;
    bounds and choices are left to pydantic, so that an algorithm's own validators can accept aliases."""
    for word in domain.words:
        if text.casefold() == str(word).casefold():
            return word
    if bool in domain.scalars and text.lower() in BOOLEANS:
        return BOOLEANS[text.lower()]
    if int in domain.scalars:
        if INTEGER.fullmatch(text):
            return int(text)
        if NUMBER.fullmatch(text) and float(text).is_integer():
            return int(float(text))
    if float in domain.scalars and NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    if domain.items is not None:
        return tuple(_read(item, domain.items) for item in _items(text))
    if str in domain.scalars or not domain.scalars:
        return text
    raise ValueError(text)


def _items(text: str) -> list[str]:
    """The items of a JSON array, of Python's repr of a list, or of a comma-separated string."""
    if text[:1] not in ("[", "("):
        return [item.strip().strip("'\"") for item in text.split(",")]
    try:
        try:
            items = json.loads(text)
        except ValueError:
            items = ast.literal_eval(text)
        if isinstance(items, list | tuple):
            return [as_text(item) for item in items]
    except (SyntaxError, TypeError, RecursionError, MemoryError):
        pass
    raise ValueError(text)


def _engine(texts: Mapping[str, str], metrics: Sequence[str]) -> tuple[Engine, list[str]]:
    """The engine knobs, and what is wrong with them."""
    settings = {name: text for name, text in texts.items() if text not in NOT_GIVEN}
    engine, problems = Engine(), []
    gpus = settings.get("_num_gpus", "auto")
    if re.fullmatch("[0-9]{1,9}", gpus):
        engine = replace(engine, num_gpus=int(gpus))
    elif gpus.lower() != "auto":
        problems.append(f"hyperparameter _num_gpus={gpus!r} is not an integer >= 0 or 'auto'")
    level = settings.get("_log_level", "info")
    if level.lower() in LOG_LEVELS:
        engine = replace(engine, log_level=level.lower())
    else:
        problems.append(f"hyperparameter _log_level={level!r} is not {Domain(words=LOG_LEVELS)}")
    objective = settings.get("_tuning_objective_metric")
    if objective and objective not in metrics:
        # Not an error: a custom training image's metrics are named by whoever defines the tuning job.
        log.warning(
            "Tuning objective '%s' is none of the metrics known here: %s", objective, ", ".join(metrics)
        )
    return replace(engine, tuning_objective_metric=objective), problems


def _complaints(
    error: ValidationError,
    wording: Wording,
    known: Mapping[str, FieldSpec],
    texts: Mapping[str, str],
    unreadable: set[str],
) -> list[str]:
    """What pydantic found, a sentence for each hyperparameter; nothing twice, and no rule between fields
    that could not be judged because another value is unreadable."""
    lines: dict[str, None] = {}
    for item in error.errors(include_url=False):
        name = str(item["loc"][0]) if item["loc"] else ""
        if name in unreadable or (not name and unreadable):
            continue
        if item["type"] in ("value_error", "assertion_error"):
            lines[str(item["ctx"]["error"])] = None
        elif item["type"] == "missing":
            lines[wording.missing.format(name=name, domain=known[name].domain)] = None
        else:
            lines[_refusal(wording.outside, known[name], texts[name])] = None
    return list(lines)


def _refusal(wording: str, spec: FieldSpec, text: str) -> str:
    shown = " ".join(text[:100].splitlines()) + "..." * (len(text) > 100)
    words = [str(word) for word in spec.domain.words]
    near = nearest(text, words) if spec.type == "enum" else ""
    return wording.format(name=spec.name, value=shown, domain=spec.domain, range=spec.domain.range, near=near)


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value

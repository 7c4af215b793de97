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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from optml.algorithms.base import Hyperparameters, Wording
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
class Domain:
    """The values that a hyperparameter, or an item of a list, may take."""

    scalars: frozenset[type] = frozenset()  # of int, float, bool, str
    words: tuple[str | int, ...] = ()  # literals: choices, or tokens such as "auto" beside a number
    items: Domain | None = None  # of a list
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False

    def __or__(self, other: Domain) -> Domain:
        bounds = other if self.low is None and self.high is None else self
        return replace(
            bounds,
            scalars=self.scalars | other.scalars,
            words=self.words + other.words,
            items=self.items or other.items,
        )

    def __str__(self) -> str:
        """As an error message says it: `an integer >= 1 or 'auto'`."""
        parts = []
        if self.scalars & {int, float}:
            bounds = [
                f"{sign} {bound:g}" if abs(bound) < 1e6 else f"{sign} {bound}"
                for sign, bound in (
                    (">" if self.low_open else ">=", self.low),
                    ("<" if self.high_open else "<=", self.high),
                )
                if bound is not None
            ]
            noun = "a number" if float in self.scalars else "an integer"
            parts.append(" ".join([noun, " and ".join(bounds)]).strip())
        if bool in self.scalars:
            parts.append("true or false")
        if self.items is not None:
            of = ", ".join(map(repr, self.items.words)) or str(self.items)
            parts.append(f"a list of {of}")
        if str in self.scalars:
            parts.append("text")
        if len(self.words) > 1 and not parts:
            return f"one of {', '.join(map(repr, self.words))}"
        return " or ".join(parts + [repr(word) for word in self.words])

    @property
    def range(self) -> str:
        """As mathematicians write it: `(0, 1]`; of choices, the list of them."""
        domain = self.items or self
        if not domain.scalars & {int, float}:
            return str(list(domain.words)) if domain.words else str(self)
        low = "(-inf" if domain.low is None else f"{'[('[domain.low_open]}{domain.low}"
        high = "+inf)" if domain.high is None else f"{domain.high}{'])'[domain.high_open]}"
        return f"{low}, {high}"

    @property
    def type(self) -> str:
        """As the published schema says it: integer, boolean, enum, json-list, integer|auto..."""
        names = {int: "integer", float: "float", bool: "boolean", str: "string"}
        parts = [name for kind, name in names.items() if kind in self.scalars]
        if self.items is not None:
            parts.append("json-list")
        return "|".join([*parts, *map(str, self.words)]) if parts else "enum"


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
                domain=_domain(info.annotation, info.metadata),
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


def _domain(annotation: Any, metadata: Iterable[Any] = ()) -> Domain:
    """The domain of a field's annotation; bounds may stand beside it or inside `Annotated`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _domain(arguments[0], [*metadata, *arguments[1:]])
    if origin in (Union, UnionType):
        union = Domain()
        for member in arguments:
            union |= _domain(member, metadata)
        return union
    if origin is Literal:
        return _bounded(Domain(words=arguments), metadata)
    if origin is tuple and len(arguments) == 2 and arguments[1] is ...:
        return Domain(items=_domain(arguments[0]))
    if annotation is NoneType:
        return Domain()
    if annotation in (bool, str):
        return Domain(scalars=frozenset({annotation}))
    if annotation in (int, float):
        return _bounded(Domain(scalars=frozenset({annotation})), metadata)
    raise TypeError(f"a hyperparameter cannot be annotated {annotation}")


def _bounded(domain: Domain, metadata: Iterable[Any]) -> Domain:
    for bound in _bounds(metadata):
        low, above = getattr(bound, "ge", None), getattr(bound, "gt", None)
        high, below = getattr(bound, "le", None), getattr(bound, "lt", None)
        if low is not None or above is not None:
            domain = replace(domain, low=above if low is None else low, low_open=low is None)
        if high is not None or below is not None:
            domain = replace(domain, high=below if high is None else high, high_open=high is None)
    return domain


def _bounds(metadata: Iterable[Any]) -> Iterable[Any]:
    for item in metadata:
        if isinstance(item, FieldInfo):  # what Field(ge=1) inside Annotated leaves
            yield from _bounds(item.metadata)
        else:
            yield item


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value

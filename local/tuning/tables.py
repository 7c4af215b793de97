"""What an algorithm of ours says to tuning: its hyperparameters and its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from optml.local.tuning.ranges import Scale

if TYPE_CHECKING:
    from optml.container.hyperparameters import FieldSpec


@dataclass(frozen=True, slots=True)
class Field:
    """One hyperparameter.

    kind:    Integer, Continuous, Categorical; FreeText: of no other kind, which nobody can tune.
    low, high: the values that the algorithm takes; None: no bound. An open bound is not taken itself.
    values:  that it chooses from.
    tunable: does AWS let it be tuned?
    span, choices, scale: what AWS recommends to tune it in, once for a hyperparameter of several names.
    """

    kind: str
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    values: tuple[str, ...] = ()
    tunable: bool = False
    span: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    scale: Scale | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Metric:
    """direction: Minimize or Maximize; None: nobody can tune by it."""

    regex: str
    direction: str | None


@dataclass(frozen=True, slots=True)
class Table:
    """open: the algorithm hands names that it does not know on to its library."""

    slug: str
    fields: Mapping[str, Field]
    metrics: Mapping[str, Metric]
    open: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Table:
        fields: dict[str, Field] = {}
        for name, entry in content["fields"].items():
            lists = {key: tuple(item) for key, item in entry.items() if isinstance(item, list)}
            fields[name] = Field(**{**entry, **lists})
        metrics = {name: Metric(**entry) for name, entry in content["metrics"].items()}
        return cls(content["slug"], fields, metrics, content["open"])


def table(slug: str) -> Table:
    """Of an algorithm, which is imported for it. Raises UserError for one that is not there."""
    from optml.algorithms.registry import get
    from optml.container.hyperparameters import fields
    from optml.local.describe import regex

    algorithm = get(slug)
    return Table(
        algorithm.slug,
        {
            name: field if name == spec.name else replace(field, span=None, choices=())
            for spec in fields(algorithm.hyperparameters)
            for field in (_field(spec),)
            for name in (spec.name, *spec.aliases)
        },
        {
            spec.name: Metric(regex(spec), spec.objective)
            for spec in algorithm.training.metrics
            if spec.line or spec.regex
        },
        open=algorithm.hyperparameters.model_config.get("extra") == "allow",
    )


def _field(spec: FieldSpec) -> Field:
    domain, tunable = spec.domain, spec.tunable or {}
    choices = tuple(
        str(value) for key in ("values", "choices", "categories") for value in tunable.get(key) or ()
    )
    if domain.items is not None:
        kind = "FreeText"
    elif float in domain.scalars:
        kind = "Continuous"
    elif int in domain.scalars:
        kind = "Integer"
    elif spec.choices:
        kind = "Categorical"
    else:
        kind = "FreeText"
    span = (tunable["min"], tunable["max"]) if tunable.get("min") is not None else None
    return Field(
        kind,
        domain.low,
        domain.high,
        domain.low_open,
        domain.high_open,
        tuple(map(str, spec.choices or ())),
        spec.tunable is not None,
        span,
        choices,
        tunable.get("scale"),
        spec.required,
    )

"""The values that a hyperparameter may take: read from its annotation, said in messages and in the schema."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo


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

    @classmethod
    def of(cls, annotation: Any, metadata: Iterable[Any] = ()) -> Domain:
        """The domain of a field's annotation; bounds may stand beside it or inside `Annotated`.

        Raises TypeError for an annotation that SageMaker's strings cannot express.
        """
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            return cls.of(arguments[0], [*metadata, *arguments[1:]])
        if origin in (Union, UnionType):
            union = cls()
            for member in arguments:
                union |= cls.of(member, metadata)
            return union
        if origin is Literal:
            return _bounded(cls(words=arguments), metadata)
        if origin is tuple and len(arguments) == 2 and arguments[1] is ...:
            return cls(items=cls.of(arguments[0]))
        if annotation is NoneType:
            return cls()
        if annotation in (bool, str):
            return cls(scalars=frozenset({annotation}))
        if annotation in (int, float):
            return _bounded(cls(scalars=frozenset({annotation})), metadata)
        raise TypeError(f"a hyperparameter cannot be annotated {annotation}")

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

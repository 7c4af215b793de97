"""AWS's own description of its services, as botocore ships it: operations, shapes, and what these allow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape, StructureShape

from optml.local.control.errors import ApiError, validation

# Beside AWS's instance types: what the SDK's local mode calls this machine.
LOCAL_INSTANCES = ("local", "local_gpu")


@cache
def service(name: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(name, "service-2"))


def operation(service_name: str, name: str) -> OperationModel:
    """Raises ApiError for an operation that the service does not have."""
    model = service(service_name)
    if name not in model.operation_names:
        raise ApiError("UnknownOperationException", f"The operation {name} is unknown to {service_name}.")
    return model.operation_model(name)


def project(value: Any, shape: Shape) -> Any:
    """Of a value what the shape knows, recursively; None is left out."""
    if isinstance(value, Mapping) and isinstance(shape, StructureShape):
        return {
            name: project(value[name], member)
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if isinstance(value, Mapping) and shape.type_name == "map":
        return {key: project(item, shape.value) for key, item in value.items()}
    if isinstance(value, list) and shape.type_name == "list":
        return [project(item, shape.member) for item in value]
    return value


def validate(value: Any, shape: Shape | None) -> None:
    """Raise ApiError in AWS's words for everything in a request that its shape forbids."""
    problems = list(_problems(value, shape, "")) if shape is not None else []
    if problems:
        errors = "error" if len(problems) == 1 else "errors"
        raise validation(f"{len(problems)} validation {errors} detected: " + "; ".join(problems))


_TYPES: dict[str, type | tuple[type, ...]] = {
    "structure": dict,
    "map": dict,
    "list": list,
    "string": str,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "boolean": bool,
}


def _problems(value: Any, shape: Shape, path: str) -> Iterator[str]:
    kind = shape.type_name
    wanted = _TYPES.get(kind)
    if wanted and (not isinstance(value, wanted) or (isinstance(value, bool) and kind != "boolean")):
        raise ApiError(
            "SerializationException", f"{path or 'the request'} is {_shown(value)}; expected a {kind}"
        )
    if kind == "structure":
        yield from _members(value, shape, path)
    elif kind == "list":
        yield from _length(value, shape, path)
        for number, item in enumerate(value):
            yield from _problems(item, shape.member, f"{path}.{number + 1}.member")
    elif kind == "map":
        yield from _length(value, shape, path)
        for key, item in value.items():
            yield from _problems(key, shape.key, f"{path}.key")
            yield from _problems(item, shape.value, f"{path}.{key}.member")
    elif kind == "string":
        yield from _string(value, shape, path)
    elif kind in ("integer", "long", "float", "double"):
        yield from _number(value, shape, path)


def _members(value: Mapping[str, Any], shape: StructureShape, path: str) -> Iterator[str]:
    for name, member in shape.members.items():
        inner = f"{path}.{_lower(name)}" if path else _lower(name)
        if value.get(name) is not None:
            yield from _problems(value[name], member, inner)
        elif name in shape.required_members:
            yield f"Value null at '{inner}' failed to satisfy constraint: Member must not be null"


def _string(value: str, shape: Shape, path: str) -> Iterator[str]:
    enum: list[str] = shape.enum
    extra = LOCAL_INSTANCES if shape.name.endswith("InstanceType") else ()
    if enum and value not in enum and value not in extra:
        yield _failed(value, path, f"Member must satisfy enum value set: [{', '.join(enum)}]")
    yield from _length(value, shape, path)
    pattern = shape.metadata.get("pattern")
    if pattern and (compiled := _compiled(pattern)) and not compiled.fullmatch(value):
        yield _failed(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _length(value: Any, shape: Shape, path: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and len(value) < low:
        yield _failed(value, path, f"Member must have length greater than or equal to {low}")
    if high is not None and len(value) > high:
        yield _failed(value, path, f"Member must have length less than or equal to {high}")


def _number(value: float, shape: Shape, path: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and value < low:
        yield _failed(value, path, f"Member must have value greater than or equal to {low}")
    if high is not None and value > high:
        yield _failed(value, path, f"Member must have value less than or equal to {high}")


def _failed(value: Any, path: str, constraint: str) -> str:
    return f"Value '{_shown(value)}' at '{path}' failed to satisfy constraint: {constraint}"


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else text[:200] + "..."


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """AWS's patterns are Java's: the few that Python does not read are passed over."""
    try:
        return re.compile(pattern)
    except re.error:
        return None

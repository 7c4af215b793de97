"""The wire forms of AWS's services: JSON, CBOR, and the query protocol, which answers in XML."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from botocore.model import OperationModel, Shape, StructureShape

from optml.local.control.errors import ApiError

Request = dict[str, Any]


def read_json(body: bytes) -> Request:
    try:
        value = json.loads(body or b"{}")
    except ValueError as error:
        raise ApiError("SerializationException", f"the body is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ApiError("SerializationException", "the body is no JSON object")
    return value


def read_cbor(body: bytes) -> Request:
    import cbor2

    try:
        value = cbor2.loads(body) if body else {}
    except (ValueError, OverflowError, cbor2.CBORDecodeError) as error:
        raise ApiError("SerializationException", f"the body is no CBOR: {error}") from None
    if not isinstance(value, dict):
        raise ApiError("SerializationException", "the body is no CBOR map")
    plain: Request = _seconds(value)
    return plain


def _seconds(value: Any) -> Any:
    """Times as JSON has them: seconds since 1970."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, dict):
        return {str(key): _seconds(item) for key, item in value.items()}
    return [_seconds(item) for item in value] if isinstance(value, list) else value


def write_cbor(value: Any, shape: Shape | None) -> bytes:
    import cbor2

    return cbor2.dumps(_tagged(value, shape))


def _tagged(value: Any, shape: Shape | None) -> Any:
    import cbor2

    if shape is not None and shape.type_name == "timestamp":
        return cbor2.CBORTag(1, float(value))
    if isinstance(value, Mapping):
        members = shape.members if isinstance(shape, StructureShape) else {}
        return {key: _tagged(item, members.get(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_tagged(item, getattr(shape, "member", None)) for item in value]
    if shape is not None and shape.type_name in ("float", "double"):
        return float(value)
    return value


def read_query(form: Mapping[str, str], shape: Shape | None) -> Request:
    """The parameters of a query, `Dimensions.member.1.Name=...`, as the shape nests them."""
    value: Request = _unflattened(form, shape, "") if shape is not None else {}
    return value


def parse_form(body: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    except ValueError as error:
        raise ApiError("SerializationException", f"the body is no form: {error}") from None


def _unflattened(form: Mapping[str, str], shape: Shape, prefix: str) -> Any:
    if isinstance(shape, StructureShape):
        found = {}
        for name, member in shape.members.items():
            key = f"{prefix}.{name}" if prefix else name
            if any(other == key or other.startswith(key + ".") for other in form):
                found[name] = _unflattened(form, member, key)
        return found
    if shape.type_name == "list":
        pattern = re.compile(re.escape(prefix) + r"\.member\.(\d+)(?:\.|$)")
        numbers = sorted({int(match[1]) for key in form if (match := pattern.match(key))})
        member = shape.member
        return [_unflattened(form, member, f"{prefix}.member.{number}") for number in numbers]
    return _scalar(form.get(prefix, ""), shape.type_name)


def _scalar(text: str, kind: str) -> Any:
    try:
        if kind in ("integer", "long"):
            return int(text)
        if kind in ("float", "double"):
            return float(text)
        if kind == "boolean":
            return text == "true"
        if kind == "timestamp":
            return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise ApiError("MalformedInput", f"'{text}' is no {kind}") from None
    return text


def write_query(operation: OperationModel, answer: Mapping[str, Any], request_id: str) -> bytes:
    namespace = operation.service_model.metadata.get("xmlNamespace", "")
    inner = xml(answer, operation.output_shape) if operation.output_shape else ""
    wrapper = operation.output_shape and operation.output_shape.serialization.get("resultWrapper")
    if wrapper:
        inner = f"<{wrapper}>{inner}</{wrapper}>"
    name = operation.name
    return (
        f'<{name}Response xmlns="{namespace}">{inner}'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{name}Response>"
    ).encode()


def write_query_error(error: ApiError, request_id: str) -> bytes:
    return (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{error.code}</Code>"
        f"<Message>{escape(error.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    ).encode()


def xml(value: Any, shape: Shape) -> str:
    """The inside of an element."""
    if isinstance(shape, StructureShape):
        return "".join(
            f"<{name}>{xml(value[name], member)}</{name}>"
            for name, member in shape.members.items()
            if value.get(name) is not None
        )
    if shape.type_name == "list":
        return "".join(f"<member>{xml(item, shape.member)}</member>" for item in value)
    if shape.type_name == "timestamp":
        return datetime.fromtimestamp(value, UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(str(value))


def write_json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode()

"""Requests as AWS's image takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from optml.algorithms.ip_insights import pairs
from optml.algorithms.ip_insights.addresses import complaint
from optml.algorithms.ip_insights.pairs import BLANKS, MARK, Pairs
from optml.algorithms.kernels.pairs.entity_pairs_cpu import hash_each
from optml.errors import UserError, shown
from optml.formats.content_type import CSV, JSON, ContentType

EXAMPLE = '{"features": ["user_1", "192.168.1.2"]}'


def decode(body: bytes, form: ContentType, model: Any) -> Pairs:
    """Read CSV, `{"instances": [...]}` or JSON lines, of records `{"features": [entity, address]}` or
    `{"data": {"features": {"values": [entity, address]}}}`. Raises UserError, naming the record by its
    number, from 1 on."""
    if form.media == CSV:
        request, _ = pairs.scan(body.removeprefix(MARK), "the request")
        if not len(request):
            raise UserError("the request holds no records")
        return request
    return _pairs(_instances(body) if form.media == JSON else _lines(body))


def sample(model: Any, media: str) -> bytes:
    """A request of one pair."""
    if media == CSV:
        return b"user_1,192.168.1.2\n"
    return b'{"instances": [%b]}' % EXAMPLE.encode() if media == JSON else EXAMPLE.encode()


def _instances(body: bytes) -> list[Any]:
    document = _parsed(body, "the request")
    instances = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(instances, list):
        raise UserError(f'the request must be an object with a list "instances" of records such as {EXAMPLE}')
    return instances


def _lines(body: bytes) -> list[Any]:
    """A comma too many at the end of a line, as in the developer guide's example, is forgiven."""
    lines = [line.strip() for line in body.removeprefix(MARK).split(b"\n")]
    records = [
        _parsed(line.removesuffix(b","), f"line {number} of the request")
        for number, line in enumerate(lines, 1)
        if line
    ]
    if not records:
        raise UserError("the request holds no records")
    return records


def _parsed(text: bytes, where: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UserError(f"{where} is no JSON: {error}") from None


def _pairs(records: list[Any]) -> Pairs:
    entities, addresses = [], np.empty(len(records), np.uint32)
    for at, record in enumerate(records):
        entity, address = _fields(record, at + 1)
        entities.append(entity)
        addresses[at] = address
    bounds = np.cumsum([0, *map(len, entities)], dtype=np.int64)
    hashes = np.empty(len(entities), np.uint64)
    hash_each(np.frombuffer(b"".join(entities) or b"\0", np.uint8), bounds, hashes)
    return Pairs(hashes, addresses)


def _fields(record: Any, number: int) -> tuple[bytes, int]:
    """The entity's bytes and the address's 32 bits."""
    fields = record
    for name in ("data", "features", "values"):
        if isinstance(fields, dict) and name in fields:
            fields = fields[name]
    if not isinstance(fields, list) or len(fields) != 2:
        raise UserError(
            f"record {number} is {shown(record)}; expected {EXAMPLE}: an entity and an IPv4 address"
        )
    entity, address = fields
    if isinstance(entity, int) and not isinstance(entity, bool):
        entity = str(entity)  # as it would stand in a CSV
    if not isinstance(entity, str) or not entity.strip(BLANKS):
        raise UserError(f"record {number} has the entity {shown(entity)}; expected a text that is not empty")
    if not isinstance(address, str):
        raise UserError(f"record {number} has the address {shown(address)}; expected a text")
    bits = _bits(address.strip(BLANKS))
    if bits is None:
        raise UserError(f"record {number} has {complaint(address.strip(BLANKS))}")
    return entity.strip(BLANKS).encode(), bits


def _bits(address: str) -> int | None:
    octets = address.split(".")
    if len(octets) != 4 or not all(
        octet.isascii()
        and octet.isdigit()
        and len(octet) < 4
        and int(octet) < 256
        and octet == str(int(octet))
        for octet in octets
    ):
        return None
    return int.from_bytes(bytes(map(int, octets)))

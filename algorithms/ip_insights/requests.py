"""Requests as AWS's image takes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from optml.algorithms.ip_insights import pairs
from optml.algorithms.ip_insights.addresses import complaint
from optml.algorithms.ip_insights.pairs import BLANKS, MARK, Pairs
from optml.algorithms.kernels.pairs.entity_pairs_cpu import hash_each
from optml.errors import UserError, shown
from optml.formats.content_type import CSV, JSON, ContentType
from optml.formats.documents import Long, each_line, listed, parse, runs

TOGETHER = 1 << 14  # records that are no numbers yet at once
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_ADDRESS = re.compile(r"\.".join([_OCTET] * 4))
EXAMPLE = '{"features": ["user_1", "192.168.1.2"]}'


def decode(body: bytes, form: ContentType, model: Any) -> Pairs:
    """Read CSV, `{"instances": [...]}` or JSON lines, of records `{"features": [entity, address]}` or
    `{"data": {"features": {"values": [entity, address]}}}`. Raises UserError, naming the record by its
    number, from 1 on."""
    if form.media == CSV:
        found, _ = pairs.scan(body.removeprefix(MARK), "the request")
        if not len(found):
            raise UserError("the request holds no records")
        return found
    records = _instances(body) if form.media == JSON else _lines(body)
    return _joined([_pairs(run, first) for first, run in records])


def sample(model: Any, media: str) -> bytes:
    """A request of one pair."""
    if media == CSV:
        return b"user_1,192.168.1.2\n"
    return b'{"instances": [%b]}' % EXAMPLE.encode() if media == JSON else EXAMPLE.encode()


def _instances(body: bytes) -> Iterator[tuple[int, list[Any]]]:
    """The records, some at a time, and the number of the first of these."""
    records = listed(parse(body, "the request"), "instances")
    if records is None:
        raise UserError(f'the request must be an object with a list "instances" of records such as {EXAMPLE}')
    first = 1
    for run in runs(records):
        yield first, run
        first += len(run)


def _lines(body: bytes) -> Iterator[tuple[int, list[Any]]]:
    """A comma too many at the end of a line, as in the developer guide's example, is forgiven."""
    records = each_line(
        body.removeprefix(MARK), lambda text, number: parse(text, f"line {number} of the request")
    )
    first = 1
    while run := [record for _, record in islice(records, TOGETHER)]:
        yield first, run
        first += len(run)
    if first == 1:
        raise UserError("the request holds no records")


def _pairs(records: list[Any], first: int) -> Pairs:
    entities, addresses = [], np.empty(len(records), np.uint32)
    for at, record in enumerate(records):
        entity, address = _fields(record, first + at)
        entities.append(entity)
        addresses[at] = address
    bounds = np.cumsum([0, *map(len, entities)], dtype=np.int64)
    hashes = np.empty(len(entities), np.uint64)
    hash_each(np.frombuffer(b"".join(entities) or b"\0", np.uint8), bounds, hashes)
    return Pairs(hashes, addresses)


def _joined(parts: list[Pairs]) -> Pairs:
    if len(parts) == 1:
        return parts[0]
    hashes = [np.empty(0, np.uint64), *(part.hashes for part in parts)]
    addresses = [np.empty(0, np.uint32), *(part.addresses for part in parts)]
    return Pairs(np.concatenate(hashes), np.concatenate(addresses))


def _fields(record: Any, number: int) -> tuple[bytes, int]:
    """The entity's bytes and the address's 32 bits."""
    found = record
    for name in ("data", "features", "values"):
        if isinstance(found, dict) and name in found:
            found = found[name]
    if isinstance(found, Long):  # of a long entity
        found = found.head(3)
    if not isinstance(found, list) or len(found) != 2:
        raise UserError(
            f"record {number} is {shown(record)}; expected {EXAMPLE}: an entity and an IPv4 address"
        )
    entity, address = found
    if isinstance(entity, int) and not isinstance(entity, bool):
        entity = str(entity)  # as it would stand in a CSV
    if not isinstance(entity, str) or not entity.strip(BLANKS):
        raise UserError(f"record {number} has the entity {shown(entity)}; expected a text that is not empty")
    if not isinstance(address, str):
        raise UserError(f"record {number} has the address {shown(address)}; expected a text")
    bits = _bits(address.strip(BLANKS))
    if bits is None:
        raise UserError(f"record {number} has {complaint(address.strip(BLANKS))}")
    try:
        return entity.strip(BLANKS).encode(), bits
    except UnicodeEncodeError:
        raise UserError(
            f"record {number} has the entity {shown(entity)}, which holds half of a surrogate pair"
        ) from None


def _bits(address: str) -> int | None:
    octets = _ADDRESS.fullmatch(address)
    if octets is None:
        return None
    first, second, third, fourth = map(int, octets.groups())
    return first << 24 | second << 16 | third << 8 | fourth

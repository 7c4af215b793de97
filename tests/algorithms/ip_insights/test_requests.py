from __future__ import annotations

import ipaddress
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optml.algorithms.ip_insights import requests
from optml.algorithms.ip_insights.pairs import Pairs
from optml.errors import UserError
from optml.formats.content_type import ContentType

CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"


def decode(body: bytes, media: str, model: Any) -> Any:
    return requests.decode(body, ContentType(media), model)


RECORDS = [
    {"data": {"features": {"values": ["entity_id_1", "192.168.1.2"]}}},
    {"features": ["entity_id_2", "10.10.1.2"]},
]


def same(one: Pairs, other: Pairs) -> None:
    np.testing.assert_array_equal(one.hashes, other.hashes)
    np.testing.assert_array_equal(one.addresses, other.addresses)


def test_the_guide_s_three_forms_say_the_same() -> None:
    table = decode(b"entity_id_1, 192.168.1.2\nentity_id_2, 10.10.1.2\n", CSV, None)
    same(table, decode(json.dumps({"instances": RECORDS}).encode(), JSON, None))
    lines = "\n".join(map(json.dumps, RECORDS)).encode()
    same(table, decode(lines, LINES, None))
    same(table, decode(lines.replace(b"\n", b",\r\n\r\n") + b",", LINES, None))  # as the guide prints it


TEXT = st.text(st.characters(codec="utf-8", exclude_characters='"\r\n\0'), min_size=1, max_size=20)


@given(st.lists(st.tuples(TEXT.filter(lambda t: t.strip(" \t")), st.ip_addresses(v=4)), min_size=1))
def test_any_entity_and_address_are_the_same_in_every_form(
    pairs: list[tuple[str, ipaddress.IPv4Address]],
) -> None:
    rows = [[entity, str(address)] for entity, address in pairs]
    body = json.dumps({"instances": [{"features": row} for row in rows]}).encode()
    table = "".join(f'"{entity}",{address}\n' for entity, address in rows).encode()
    same(decode(body, JSON, None), decode(table, CSV, None))
    assert decode(body, JSON, None).addresses.tolist() == [int(address) for _, address in pairs]


def test_numbers_are_entities_as_they_would_stand_in_a_table() -> None:
    body = b'{"instances": [{"features": [17, "1.2.3.4"]}, {"features": [" 17 ", " 1.2.3.4 "]}]}'
    same(decode(body, JSON, None), decode(b"17,1.2.3.4\n17,1.2.3.4", CSV, None))


def test_no_instances_are_no_records() -> None:
    assert len(decode(b'{"instances": []}', JSON, None)) == 0


@pytest.mark.parametrize(
    ("body", "media", "said"),
    [
        (b"{", JSON, "the request is not valid JSON"),
        (b"[]", JSON, 'an object with a list "instances"'),
        (b'{"instances": {}}', JSON, 'an object with a list "instances"'),
        (b'{"instances": [{"features": ["a", "1.2.3.4"]}, {}]}', JSON, r"record 2 is \{\}; expected"),
        (b'{"instances": [{"features": ["a"]}]}', JSON, "record 1 is"),
        (b'{"instances": [{"features": ["a", "1.2.3.4", "b"]}]}', JSON, "record 1 is"),
        (b'{"instances": [{"features": ["", "1.2.3.4"]}]}', JSON, 'record 1 has the entity ""'),
        (b'{"instances": [{"features": [null, "1.2.3.4"]}]}', JSON, "record 1 has the entity null"),
        (b'{"instances": [{"features": [true, "1.2.3.4"]}]}', JSON, "record 1 has the entity true"),
        (b'{"instances": [{"features": ["a", 17]}]}', JSON, "record 1 has the address 17"),
        (
            b'{"instances": [{"features": ["a", "::1"]}]}',
            JSON,
            "record 1 has the address '::1', which is IPv6",
        ),
        (b'{"instances": [{"features": ["a", "1.2.3.04"]}]}', JSON, "leading zeros"),
        ('{"instances": [{"features": ["a", "1.2.3.٣"]}]}'.encode(), JSON, "which is not IPv4"),
        (b'{"features": ["a", "1.2.3.4"]}\n{"features": ["a", "x"]}', LINES, "record 2 has the address 'x'"),
        (b'{"features": ["a", "1.2.3.4"]}]}', LINES, "line 1 of the request is not valid JSON"),
        (
            b'{"instances": [' + b"[" * 500 + b"]" * 500 + b"]}",
            JSON,
            "record 1 is .*an entity and an IPv4 address",
        ),
        (
            b'{"instances": [{"features": ["\\ud800", "1.2.3.4"]}]}',
            JSON,
            "half of a surrogate pair",
        ),
        (b" \n\n", LINES, "holds no records"),
        (b" \n\n", CSV, "holds no records"),
        (b"a,1.2.3.4\nb\n", CSV, "line 2 of the request has 1 field: 'b'"),
    ],
)
def test_a_bad_record_is_named(body: bytes, media: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        decode(body, media, None)

from __future__ import annotations

import csv
import io
import ipaddress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.algorithms.ip_insights import pairs
from optml.algorithms.ip_insights.pairs import Pairs, read, scan
from optml.algorithms.kernels.pairs.entity_pairs_cpu import xxh64
from optml.errors import UserError


def hashed(entity: bytes) -> int:
    return int(xxh64(np.frombuffer(entity + b"\0", np.uint8), 0, len(entity)))


def found(found: Pairs) -> list[tuple[int, str]]:
    addresses = [str(ipaddress.IPv4Address(bits)) for bits in found.addresses.tolist()]
    return list(zip(found.hashes.tolist(), addresses, strict=True))


def complaint(text: bytes) -> str:
    with pytest.raises(UserError) as error:
        list(read([("train/a.csv", io.BytesIO(text))]))
    return str(error.value)


def test_the_guide_s_example_is_read() -> None:
    text = b'entity_id_1, 192.168.1.2\nentity_id_2,10.10.1.2\n"user, with comma",8.8.8.8\n'
    assert found(scan(text, "x")[0]) == [
        (hashed(b"entity_id_1"), "192.168.1.2"),
        (hashed(b"entity_id_2"), "10.10.1.2"),
        (hashed(b"user, with comma"), "8.8.8.8"),
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_line_ends_of_every_kind_part_records_and_the_last_needs_none(end: bytes) -> None:
    text = end.join([b"a,1.2.3.4", b"", b' "b""c" , "1.2.3.5" ', b"  ", b"a , 1.2.3.4"])
    expected = [(hashed(b"a"), "1.2.3.4"), (hashed(b'b"c'), "1.2.3.5"), (hashed(b"a"), "1.2.3.4")]
    assert found(scan(text, "x")[0]) == expected
    assert found(scan(text + end, "x")[0]) == expected


def test_entities_are_opaque_bytes_but_for_blanks_around_them() -> None:
    text = (
        'Ä,1.1.1.1\nä,1.1.1.1\n\t\' ä\t ,1.1.1.1\n" ä ",1.1.1.1\na"b,1.1.1.1\n'.encode() + b"\xff,1.1.1.1\n"
    )
    hashes = [hash_ for hash_, _ in found(scan(text, "x")[0])]
    expected = ["Ä".encode(), "ä".encode(), "' ä".encode(), "ä".encode(), b'a"b', b"\xff"]
    assert hashes == [hashed(entity) for entity in expected]


BLANKS = st.text(" ", max_size=2)
ENTITIES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12).filter(
    lambda text: text.strip(" \t")
)


@st.composite
def records(draw: Any) -> tuple[str, str, str]:
    """A line, its entity and its address."""
    entity, address = draw(ENTITIES), str(draw(st.ip_addresses(v=4)))
    plain = not set(entity) & set('",\r\n') and not entity.startswith((" ", "\t"))
    quoted = not plain or draw(st.booleans())
    text = '"' + entity.replace('"', '""') + '"' if quoted else entity
    other = f'"{address}"' if draw(st.booleans()) else address
    behind = "" if quoted else draw(BLANKS)  # csv keeps what stands behind a closing quote
    line = f"{draw(BLANKS)}{text}{behind},{draw(BLANKS)}{other}"
    return line + draw(st.sampled_from(["\n", "\r\n", "\n\n"])), entity, address


@settings(max_examples=200, deadline=None)
@given(st.lists(records(), max_size=6), st.integers(1, 40))
def test_any_file_is_read_as_python_reads_it(lines: list[tuple[str, str, str]], piece: int) -> None:
    text = "".join(line for line, _, _ in lines)
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), skipinitialspace=True) if row]
    assert [[cell.strip(" \t") for cell in row] for row in rows] == [
        [entity.strip(" \t"), address] for _, entity, address in lines
    ]
    expected = [(hashed(entity.strip(" \t").encode()), address) for _, entity, address in lines]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "PIECE", piece)  # cuts fall anywhere
        pieces = list(read([("x", io.BytesIO(text.encode()))]))
    assert [pair for some in pieces for pair in found(some)] == expected


@settings(max_examples=300, deadline=None)
@given(st.text('ab1.,"\n\r \t', max_size=40).map(str.encode), st.integers(1, 20))
def test_any_text_is_read_or_refused_the_same_wherever_it_is_cut(text: bytes, piece: int) -> None:
    def outcome() -> object:
        try:
            return [pair for some in read([("x", io.BytesIO(text))]) for pair in found(some)]
        except UserError as error:
            return str(error).partition(" has ")[0]

    whole = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "PIECE", piece)
        assert outcome() == whole


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (
            b"a,b,1.2.3.4",
            "has 3 fields: 'a,b,1.2.3.4'; expected an entity and an IPv4 address, parted by a comma",
        ),
        (b"a,b,1.2.3.4", 'quote an entity that holds commas: "user, name",192.168.1.2'),
        (b"1.2.3.4", "has 1 field: '1.2.3.4'"),
        (b",1.2.3.4", "has no entity: ',1.2.3.4'"),
        (b'" ",1.2.3.4', "has no entity"),
        (b"a,", "has no address: 'a,'"),
        (b"a,1.2.3", "the address '1.2.3', which is not IPv4: four numbers from 0 to 255"),
        (b"a,1.2.3.256", "the address '1.2.3.256', which is not IPv4"),
        (b"a,1.2.3.4.5", "the address '1.2.3.4.5', which is not IPv4"),
        (b"a,-1.2.3.4", "which is not IPv4"),
        (b"a,1.2.3.04", "whose leading zeros some read as octal; write 1.2.3.4: 'a,1.2.3.04'"),
        (b"a,::1", "the address '::1', which is IPv6: IP Insights supports IPv4 only"),
        (b"a,2001:db8::8a2e:370:7334", "IP Insights supports IPv4 only"),
        (b"a,1.2.3.4:80", "carries a port: IP Insights takes plain IPv4 addresses; write 1.2.3.4"),
        (b"a,1.2.3.0/24", "carries a mask: IP Insights takes single IPv4 addresses; write 1.2.3.0"),
        (b'"a"b,1.2.3.4', "has text behind a closing quote: '\"a\"b,1.2.3.4'"),
        (b'"a,1.2.3.4', "has a quote that is never closed: '\"a,1.2.3.4'"),
    ],
)
def test_a_bad_record_is_named_by_file_line_and_text(record: bytes, said: str) -> None:
    text = b"a,1.2.3.4\n\nb,1.2.3.4\n" + record + b"\nc,1.2.3.4\n"
    message = complaint(text)
    assert message.startswith("line 4 of train/a.csv has ")
    assert said in message
    assert "header" not in message


def test_lines_are_counted_across_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "PIECE", 64)
    assert complaint(b"a,1.2.3.4\n" * 1000 + b"oops\n").startswith("line 1001 of train/a.csv has 1 field")
    assert complaint(b"a,1.2.3.4\r" * 1000 + b"oops\r").startswith("line 1001 of train/a.csv has 1 field")


@pytest.mark.parametrize("header", [b"user,ip\n", b"entity,ip_address\r\n", b'"user","ip"\n'])
def test_a_header_is_told_from_a_bad_address(header: bytes) -> None:
    message = complaint(header + b"a,1.2.3.4\n")
    assert message.startswith("line 1 of train/a.csv has the address 'ip")
    assert message.endswith("remove the header line")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"1.2.3.4,a\n", "are the columns swapped?"),
        ("a,1.2.3.4\n".encode("utf-16"), "has zero bytes: "),
        (b"a\t1.2.3.4\n", "parted by a comma"),
    ],
)
def test_other_kinds_of_files_get_a_hint(text: bytes, said: str) -> None:
    message = complaint(text)
    assert message.startswith("line 1 of train/a.csv has ")
    assert said in message
    assert "header" not in message


def test_a_byte_order_mark_is_no_part_of_an_entity() -> None:
    (some,) = read([("x", io.BytesIO(b"\xef\xbb\xbfa,1.2.3.4\n"))])
    assert found(some) == [(hashed(b"a"), "1.2.3.4")]


def test_a_quote_that_swallows_a_file_is_refused_before_memory_runs_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pairs, "PIECE", 1000)
    monkeypatch.setattr(pairs, "LONGEST", 5000)
    assert "is a quote not closed?" in complaint(b'"' + b"a,1.2.3.4\n" * 1000)


def test_rows_are_hashes_modulo_the_size_of_the_table() -> None:
    some = Pairs(np.array([0, 7, 2**64 - 1], np.uint64), np.zeros(3, np.uint32))
    assert some.rows(10).tolist() == [0, 7, (2**64 - 1) % 10]


ENDS = ["\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\x0b", "\x0c"]


@pytest.mark.parametrize("mark", ENDS)
@pytest.mark.parametrize(
    "line", ["{}", "{},", "{},{}", "user,{}", "{},1.1.1.1,{}", "1.1.1.1{},user", "us{}er,1.1.1"]
)
def test_what_ends_a_line_for_python_alone_is_a_letter_here(mark: str, line: str) -> None:
    text = f"a,1.1.1.1\n{line.replace('{}', mark)}\n".encode()
    with pytest.raises(UserError, match=r"^line 2 of it has"):
        pairs.scan(text, "it")


@pytest.mark.parametrize("mark", ENDS)
def test_such_a_letter_may_be_part_of_an_entity(mark: str) -> None:
    assert len(pairs.scan(f"{mark}us{mark}er,1.1.1.1\n".encode(), "it")[0]) == 1

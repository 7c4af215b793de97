"""A byte order mark, and an encoding that a content type names, wherever text is read."""

from __future__ import annotations

import io
from typing import BinaryIO, cast

import pytest

from optml.errors import UserError
from optml.formats import tabular
from optml.formats.content_type import ContentType
from optml.formats.layout import Layout
from tests.shared import SHARED, needs_shared

TEXTS = {
    "text/csv": "1,2\n3,4\n",
    "text/libsvm": "0 0:1 1:2\n0 0:3 1:4\n",
    "application/jsonlines": '{"features": [1, 2]}\n{"features": [3, 4]}\n',
    "application/json": '{"instances": [{"features": [1, 2]}, {"features": [3, 4]}]}',
}


class Pipe:
    """A stream that can only be read, a little at a time."""

    def __init__(self, body: bytes) -> None:
        self._body = io.BytesIO(body)

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1) -> bytes:
        return self._body.read(size if size < 0 else min(size, 7))


@pytest.mark.parametrize("form", TEXTS)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("parameters", ["", ";charset=utf-8"])
def test_a_byte_order_mark_tells_the_encoding(form: str, encoding: str, parameters: str) -> None:
    body, content_type = TEXTS[form].encode(encoding), ContentType.parse(form + parameters)
    assert tabular.decode(body, content_type, Layout(2)).dense().tolist() == [[1, 2], [3, 4]]
    for stream in (io.BytesIO(body), cast(BinaryIO, Pipe(body))):
        blocks = tabular.read(stream, content_type, Layout(2), source="a", block_bytes=5)
        assert [row for block in blocks for row in block.dense().tolist()] == [[1, 2], [3, 4]]


@pytest.mark.parametrize("form", TEXTS)
def test_an_encoding_is_used_where_it_is_named_and_missed_where_it_is_not(form: str) -> None:
    body = TEXTS[form].encode("utf-16-be")
    named = ContentType.parse(f"{form};encoding=utf-16-be")
    assert tabular.decode(body, named, Layout(2)).dense().tolist() == [[1, 2], [3, 4]]
    with pytest.raises(UserError, match=r"the request is no UTF-8 text, .*;encoding=utf-16-le"):
        tabular.decode(body, ContentType(form), Layout(2))


@needs_shared("cases/bom.libsvm")
def test_the_case_with_a_mark_before_its_first_label() -> None:
    with (SHARED / "cases/bom.libsvm").open("rb") as file:
        (records,) = tabular.read(file, ContentType("text/libsvm"), Layout(), source="a")
    assert records.labels is not None
    assert records.labels[0, 0] == 7.669

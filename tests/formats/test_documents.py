import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.errors import UserError
from optml.formats import documents
from optml.formats.documents import Long, parse, parse_each, runs


def whole(value: Any) -> Any:
    """The value with its long lists put together."""
    if isinstance(value, Long):
        return [whole(item) for run in value.runs() for item in run]
    if isinstance(value, list):
        return [whole(item) for item in value]
    return {key: whole(item) for key, item in value.items()} if isinstance(value, dict) else value


def cut(text: bytes) -> list[Any] | None:
    """The document, alone in a list; None if it is sound but has too many levels or fields for one that is
    cut."""
    try:
        return [whole(parse(text, "it"))]
    except UserError as error:
        if "very many fields" in str(error) or "deeper" in str(error):
            return None
        raise


@pytest.fixture
def _short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "RUN", 8)
    monkeypatch.setattr(documents, "_CHUNK", 5)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(alphabet='a"\\[]{},: \u2028', max_size=9),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(alphabet='ab"\\,', max_size=3), inner, max_size=3)
    ),
    max_leaves=25,
)


@pytest.mark.usefixtures("_short_runs")
@settings(max_examples=300, deadline=None)
@given(VALUES, st.sampled_from([None, 0, 1]))
def test_a_document_cut_into_runs_is_the_same_document(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False).encode()
    found = cut(text)
    assert found is None or found == [value]


@pytest.mark.usefixtures("_short_runs")
@settings(max_examples=300, deadline=None)
@given(VALUES, st.integers(0, 99), st.sampled_from(['"', "\\", "[", "]", "{", "}", ",", ":", ""]))
def test_a_document_that_is_broken_is_broken_when_it_is_cut(value: Any, place: int, mark: str) -> None:
    text = json.dumps([value, [1, 2, 3, "abcdefgh"]])
    place %= len(text)
    broken = text[:place] + mark + text[place + 1 :]
    try:
        expected = json.loads(documents.mended(broken.encode()))
    except ValueError:
        with pytest.raises(UserError):
            whole(parse(broken.encode(), "it"))
        return
    found = cut(broken.encode())
    assert found is None or found == [expected]


def test_long_lists_come_in_runs_of_bounded_text() -> None:
    text = b'{"instances": [' + b", ".join(b'{"features": [%d]}' % n for n in range(50_000)) + b"]}"
    found = parse(text, "it")["instances"]
    assert isinstance(found, Long)
    sizes = [len(run) for run in runs(found)]
    assert sum(sizes) == 50_000
    assert max(sizes) * len('{"features": [12345]}, ') < 2 * documents.RUN + documents._CHUNK
    assert found.head(2) == [{"features": [0]}, {"features": [1]}]


def test_long_lists_inside_of_records_come_in_runs_too() -> None:
    numbers = np.arange(100_000).tolist()
    found = parse(json.dumps({"instances": [{"features": numbers}]}).encode(), "it")
    assert whole(found) == {"instances": [{"features": numbers}]}


@pytest.mark.parametrize(
    "text", [b"[" * 600_000, b"[" * 300_000 + b"]" * 300_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000]
)
def test_deep_nesting_is_refused(text: bytes) -> None:
    with pytest.raises(UserError):
        whole(parse(text, "it"))


def test_lines_are_parsed_as_if_each_stood_alone() -> None:
    texts = [b"[1, NaN]", b"[1,],", b'\xef\xbb\xbf{"a,]": ",]"}', b" 3 "]
    assert repr(parse_each(texts, str)) == repr([[1, float("nan")], [1], {"a,]": ",]"}, 3])
    for broken in (b"1,2", b"[3", b'"a', b"]", b'1,"":2', b"4]}"):
        with pytest.raises(UserError, match=r"^1 is not valid JSON"):
            parse_each([b"[1,]", broken, b"[2]"], str)


@pytest.mark.parametrize("text", [b"[1,,]", b"[[1,,]]", b"[1],,", b'["a",,]', b"[1, ,]", b"[1,\n,]", b"[,,]"])
def test_two_commas_in_a_row_are_no_slip(text: bytes) -> None:
    with pytest.raises(UserError, match="not valid JSON"):
        documents.loads(text, "it")
    if b"\n" not in text:
        with pytest.raises(UserError, match="not valid JSON"):
            parse_each([b"[1]", text, b"[2]"], str)


@pytest.mark.parametrize("text", [b"[1,]", b"[1],", b"[1, ]", b"[1,],", b" [1] , "])
def test_one_comma_too_many_is_forgiven(text: bytes) -> None:
    assert documents.loads(text, "it") == [1]
    assert parse_each([b"[1]", text, b"[NaN, 2,]"], str)[:2] == [[1], [1]]

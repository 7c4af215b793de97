import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from optml.errors import UserError
from optml.local.transform.jsonpath import JSONPath

RECORD = {"id": 7, "x": [10, 11, 12, 13], "more": [{"a": 1, "b": 2}, {"a": 3, "b": 4}], "": 0, "it's": 5}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", RECORD),
        ("$.id", 7),
        ("$['id']", 7),
        ('$["id"]', 7),
        ("$['']", 0),
        (r"$['it\'s']", 5),
        ("$['id','x']", {"id": 7, "x": [10, 11, 12, 13]}),
        ("$.x[0]", 10),
        ("$.x[-1]", 13),
        ("$.x[0,-1]", [10, 13]),
        ("$.x[0, 2:]", [10, 12, 13]),
        ("$.x[1:3]", [11, 12]),
        ("$.x[:2]", [10, 11]),
        ("$.x[*]", [10, 11, 12, 13]),
        ("$.more[*].a", [1, 3]),
        ("$.more[0].*", [1, 2]),
        ("$.more.[1]['a','b']", {"a": 3, "b": 4}),
    ],
)
def test_path_selects_from_json(path, found):
    assert JSONPath.parse(path).select(RECORD) == found


@pytest.mark.parametrize(
    ("path", "columns"),
    [
        ("$", [0, 1, 2, 3, 4, 5, 6]),
        ("$[*]", [0, 1, 2, 3, 4, 5, 6]),
        ("$[1:]", [1, 2, 3, 4, 5, 6]),
        ("$[0,-1]", [0, 6]),
        ("$[0,5:]", [0, 5, 6]),
        ("$[1:4]", [1, 2, 3, 4]),
        ("$[:5]", [0, 1, 2, 3, 4, 5]),
        ("$[-2:]", [5, 6]),
        ("$[3]", [3]),
        ("$[4:6]", [4, 5, 6]),
    ],
)
def test_csv_slices_include_their_end(path, columns):
    assert JSONPath.parse(path).columns(7) == columns


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "begins with '$'"),
        ("id", "begins with '$'"),
        ("$id", "expected '.' or '['"),
        ("$.", "expected a name"),
        ("$..id", "'..' is not supported"),
        ("$[]", "expected an index"),
        ("$[1", "expected ',' or ']' at character 4"),
        ("$[1:2:3]", "expected ',' or ']'"),
        ("$['a',1]", "expected a quoted name"),
        ("$['a]", "expected a quoted name"),
        ("$[?(@.a>1)]", "filter expressions are not supported"),
        ("$." + "a" * 62, "has 64 characters; at most 63"),
    ],
)
def test_unreadable_path_shows_the_place(path, problem):
    with pytest.raises(UserError) as error:
        JSONPath.parse(path)
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("$.none", "it has no key 'none'; its keys: id, x, more"),
        ("$.x[9]", "index 9 is out of range: it has 4 elements"),
        ("$.id[0]", "it has no elements: it is a number, not an array"),
        ("$.id.*", "it has no members"),
        ("$[0]", "it is an object, not an array"),
        ("$.x.a", "it is an array, not an object"),
        ("$.x[0,9:]", "index 9 is out of range: it has 4 elements"),
        ("$.x[1:5]", "index 5 is out of range: it has 4 elements"),
        ("$.x[-5:]", "index -5 is out of range: it has 4 elements"),
        ("$['id','none']", "it has no key 'none'"),
    ],
)
def test_path_that_does_not_fit_the_record_says_why(path, problem):
    with pytest.raises(UserError) as error:
        JSONPath.parse(path).select(RECORD)
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("$.a", "CSV columns have none"),
        ("$[0][1]", "CSV columns have none"),
        ("$[5]", "index 5 is out of range: it has 5 columns"),
        ("$[7:]", "index 7 is out of range: it has 5 columns"),
        ("$[0,5:]", "index 5 is out of range: it has 5 columns"),
        ("$[0,-6]", "index -6 is out of range: it has 5 columns"),
        ("$[1:9]", "index 9 is out of range: it has 5 columns"),
        ("$[-9:]", "index -9 is out of range: it has 5 columns"),
        ("$[0:5]", "it has 5 columns; the end of a slice of columns is included"),
        ("$[3:1]", "selects none of the row's 5 columns"),
    ],
)
def test_path_that_does_not_fit_a_row_says_why(path, problem):
    with pytest.raises(UserError) as error:
        JSONPath.parse(path).columns(5)
    assert problem in str(error.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
LIKE_A_PATH = st.lists(
    st.sampled_from(["$", ".", "[", "]", "*", "'", '"', ",", ":", "-", "0", "1", "a", " ", "\\", "?", "\n"])
).map("".join)


@given(st.text() | LIKE_A_PATH | LIKE_A_PATH.map("$".__add__), JSON, st.integers(0, 5))
@example("$[٣]", [1, 2, 3, 4], 5)  # a digit, but not one of JSON's
def test_any_text_is_a_path_or_a_user_error(text, value, count):
    with contextlib.suppress(UserError):
        path = JSONPath.parse(text)
        with contextlib.suppress(UserError):
            assert all(0 <= column < count for column in path.columns(count))
        path.select(value)


@given(st.lists(st.integers()), st.integers(-9, 9) | st.none(), st.integers(-9, 9) | st.none())
def test_json_slices_are_those_of_python_where_what_they_name_is_there(values, start, stop):
    path = JSONPath.parse(f"$[{'' if start is None else start}:{'' if stop is None else stop}]")
    count = len(values)
    there = (start is None or -count <= start < max(count, 1)) and (stop is None or -count <= stop <= count)
    if there:
        assert path.select(values) == values[start:stop]
    else:
        with pytest.raises(UserError, match=f"out of range: it has {count} elements"):
            path.select(values)

"""Columns go by name, where files name them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.errors import UserError
from optml.formats import tabular
from optml.formats.column_order import ColumnOrder
from optml.formats.content_type import ContentType
from optml.formats.layout import Layout
from optml.formats.records import concatenate
from tests.shared import SHARED, needs_shared

ROWS = np.arange(12.0).reshape(3, 4)  # y, a, b, c


def test_the_first_names_settle_the_order_of_all_that_follow() -> None:
    order = ColumnOrder()
    assert order.order(["y", "a", "b"], "a.csv") is None
    assert order.order(["y", "a", "b"], "b.csv") is None
    assert order.order(["b", "y", "a"], "c.csv") == [1, 2, 0]
    assert order.names == ("y", "a", "b")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["y", "a"], "b.csv has no column 'b', which a.csv has; columns go by name"),
        (["y", "a", "B"], r"b.csv has no column 'b', which a.csv has"),
        (["y", "a", "bb"], r"b.csv has no column 'b', which a.csv has \('bb' is the nearest"),
        (["y", "a", "b", "c"], "a.csv has no column 'c', which b.csv has"),
        (["a", "y", "b", "b"], "several are called 'b'"),
    ],
)
def test_a_column_that_one_file_lacks_is_named(names: list[str], said: str) -> None:
    order = ColumnOrder(["y", "a", "b"], "a.csv")
    with pytest.raises(UserError, match=said):
        order.order(names, "b.csv")


def test_columns_of_one_name_do_where_the_order_is_the_same() -> None:
    order = ColumnOrder(["y", "a", "a"], "a.csv")
    assert order.order(["y", "a", "a"], "b.csv") is None


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(4)))
def test_parquet_in_any_order_is_the_same_table(places: list[int]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    columns = ColumnOrder()
    blocks = []
    for order in (range(4), places):
        out = io.BytesIO()
        parquet.write_table(pa.table({"yabc"[place]: ROWS[:, place] for place in order}), out)
        layout = Layout(None, 1, columns=columns)
        form = ContentType("application/x-parquet")
        blocks += tabular.read(io.BytesIO(out.getvalue()), form, layout, source="a")
    for block in blocks:
        np.testing.assert_array_equal(block.features, ROWS[:, 1:])
        assert block.labels is not None
        np.testing.assert_array_equal(block.labels, ROWS[:, :1])


@needs_shared("cases/parquet_order")
def test_the_case_of_two_orders() -> None:
    columns = ColumnOrder()
    layout = Layout(None, 1, columns=columns)
    form = ContentType("application/x-parquet")
    blocks = []
    for name in ("p0.parquet", "p1.parquet"):
        with (SHARED / "cases/parquet_order" / name).open("rb") as file:
            blocks += list(tabular.read(file, form, layout, source=name))
    records = concatenate(blocks)
    assert records.features[200].tolist() == np.array([2.129, -0.589, 1.865, 0.421], np.float32).tolist()

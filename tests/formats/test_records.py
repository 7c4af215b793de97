from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from optml.formats.records import Origin, Records, concatenate


def rows(first: int, count: int, source: str = "train/a.csv") -> Records:
    features = np.arange(first, first + count, dtype=np.float32)[:, None].repeat(2, axis=1)
    return Records(
        features, labels=features[:, :1].astype(np.float64), origins=((0, Origin(source, first, "row")),)
    )


def test_a_row_is_named_by_its_source() -> None:
    assert rows(17, 3).where(2) == "row 19 of train/a.csv"


def test_a_row_without_a_source_is_named_by_its_number() -> None:
    assert Records(np.zeros((2, 1), np.float32)).where(1) == "record 2"


@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=5), data=st.data())
def test_slices_of_joined_blocks_still_name_every_row(sizes: list[int], data: st.DataObject) -> None:
    blocks = [rows(10 * number, size, f"file {number}") for number, size in enumerate(sizes)]
    joined = concatenate(blocks)
    start = data.draw(st.integers(0, len(joined)))
    stop = data.draw(st.integers(start, len(joined)))
    part = joined[start:stop]
    named = [block.where(i) for block in blocks for i in range(len(block))]
    assert [part.where(i) for i in range(len(part))] == named[start:stop]
    assert np.array_equal(part.features, joined.features[start:stop])


def test_a_slice_is_a_view() -> None:
    block = rows(0, 5)
    assert np.shares_memory(block[1:3].features, block.features)


def test_a_step_is_refused() -> None:
    with pytest.raises(ValueError, match="contiguous"):
        rows(0, 5)[::2]


def test_sparse_blocks_stay_sparse_and_mixed_blocks_become_dense() -> None:
    sparse = Records(csr_array(np.eye(2, dtype=np.float32)))
    assert isinstance(concatenate([sparse, sparse]).features, csr_array)
    mixed = concatenate([sparse, rows(0, 1)])
    assert isinstance(mixed.features, np.ndarray)
    assert mixed.labels is None
    assert mixed.features.dtype == np.float32

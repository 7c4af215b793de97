from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from optml.algorithms.ip_insights.sketch import SMALLEST, Sketch


@given(st.lists(st.integers(0, 2**64 - 1)), st.lists(st.integers(0, 2**64 - 1)))
def test_what_was_entered_is_never_missed(first: list[int], second: list[int]) -> None:
    sketch = Sketch.empty(1)
    for hashes in (first, second):
        sketch.add(np.array(hashes, np.uint64))
    assert sketch.seen(np.array(first + second, np.uint64)).all()


def test_few_that_were_not_entered_pass_at_the_advised_size() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 1 << 64, 60_000, np.uint64)
    sketch = Sketch.empty(20_000)
    sketch.add(hashes[:10_000])
    assert sketch.seen(hashes[10_000:]).mean() < 0.005
    assert len(sketch.bits) == 20_000


def test_entities_are_counted_roughly_and_once() -> None:
    rng = np.random.default_rng(0)
    sketch = Sketch.empty(20_000)
    assert sketch.count() == 0
    for _ in range(2):
        sketch.add(rng.integers(0, 1 << 64, 10_000, np.uint64))
        rng = np.random.default_rng(0)
    assert abs(sketch.count() - 10_000) < 200
    full = Sketch(np.full(1 << 10, 255, np.uint8))
    assert full.count() > 10_000


def test_small_tables_have_a_sketch_all_the_same() -> None:
    assert len(Sketch.empty(1).bits) == SMALLEST

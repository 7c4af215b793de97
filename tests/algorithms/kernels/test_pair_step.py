from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.algorithms.kernels import pairs as pair_step
from optml.algorithms.kernels.machine.simd import empty
from optml.algorithms.kernels.pairs import cpu as pair_step_cpu
from optml.algorithms.kernels.pairs.terms import (
    LENGTHS,
    OFFSETS,
    PREFIXES,
    RATES,
    WIDEST,
    PairState,
    Step,
    View,
    bits,
)
from optml.algorithms.kernels.pairs.view_cpu import prefix_rows_of, rates_of, view
from tests.algorithms.kernels import pair_step_agreement as agreement


def here(array: np.ndarray) -> np.ndarray:
    return array


@pytest.mark.parametrize("shape", agreement.SHAPES)
def test_odd_sizes_agree_with_the_definition(shape: tuple[int, int, int, int, int, bool]) -> None:
    agreement.batches_agree(here, shape)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 60),
    distinct=st.integers(1, 60),
    entities=st.integers(1, 40),
    lines=st.integers(1, 4),
    layers=st.integers(0, 3),
)
def test_any_size_agrees_with_the_definition(
    n: int, distinct: int, entities: int, lines: int, layers: int
) -> None:
    agreement.batches_agree(here, (n, distinct, entities, 16 * lines, layers, False))


def test_the_gradient_is_that_of_the_definition_by_autograd() -> None:
    torch = pytest.importorskip("torch")
    shape = (12, 5, 4, 16, 2, False)
    case = agreement.case(shape)
    values = [a.astype(np.float64) for a in (case.entities[:, 0], case.prefixes[:, 0], case.dense[0])]
    nothing = np.empty((12, 0), np.int64)
    scores, loss, *gradients = pair_step.reference(*values, case.rows, case.addresses, nothing, case.labels)
    entities, _, dense = (torch.tensor(array, requires_grad=True) for array in values)
    e = torch.from_numpy(bits(case.addresses)).double() @ dense[:32]
    e = torch.relu(e @ dense[32:48] + dense[48]) @ dense[49:65] + dense[65]
    by_definition = (entities[case.rows.astype(np.int64)] * e).sum(1)
    total = torch.nn.functional.binary_cross_entropy_with_logits(
        by_definition, torch.from_numpy(case.labels).double(), reduction="sum"
    )
    total.backward()
    np.testing.assert_allclose(by_definition.detach().numpy(), scores, atol=1e-12)
    assert total.item() == pytest.approx(loss)
    np.testing.assert_allclose(entities.grad.numpy(), gradients[0], atol=1e-12)
    np.testing.assert_allclose(dense.grad.numpy(), gradients[2], atol=1e-12)


def train(batches: int = 3) -> PairState:
    rng = np.random.default_rng(0)
    table, dense = empty(3 * 50, 32).reshape(50, 3, 32), empty(3 * 65, 32).reshape(3, 65, 32)
    table[:, 0] = rng.normal(size=(50, 32))
    dense[0] = 0.1 * rng.normal(size=(65, 32))
    state = PairState(table, np.zeros((0, 3, 32), np.float32), dense)
    for t in range(1, batches + 1):
        addresses = rng.integers(0, 1 << 32, 300, np.uint32)[rng.integers(0, 300, 2000)]
        labels = rng.integers(0, 2, 2000).astype(np.float32)
        batch = view(rng.integers(0, 50, 2000).astype(np.uint32), addresses, labels, None)
        step = Step.number(t, 0.1, 1e-5, 1 / 2000)
        pair_step.learn(state, batch, pair_step.gradient(state, batch), step)
    return state


def test_the_same_batches_leave_the_same_bits() -> None:
    first, second = train(), train()
    np.testing.assert_array_equal(first.entities, second.entities)
    np.testing.assert_array_equal(first.dense, second.dense)


def test_rows_have_one_writer_however_they_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def shared_out(work: Callable[[int, int], Any], count: int, size: int, *, blas: bool = True) -> list[Any]:
        edges = [count * part // 3 for part in range(4)]
        results = {run: work(*run) for run in reversed(list(pairwise(edges)))}  # in no particular order
        return [results[run] for run in pairwise(edges)]

    alone = train()
    monkeypatch.setattr(pair_step_cpu, "ALONE", 0)
    monkeypatch.setattr(pair_step_cpu, "in_parts", shared_out)
    together = train()
    # Sums over all samples are in another order: Adam's steps of 0.1 differ by their rounding.
    np.testing.assert_allclose(alone.entities, together.entities, atol=1e-4)
    np.testing.assert_allclose(alone.dense, together.dense, atol=1e-4)


def test_scores_far_from_zero_have_finite_losses_and_slopes() -> None:
    table, dense = np.zeros((2, 3, 16), np.float32), np.zeros((3, 32, 16), np.float32)
    table[:, 0, 0] = 1e4, -1e4
    dense[0, :, 0] = 1.0
    state = PairState(table, np.zeros((0, 3, 16), np.float32), dense)
    every = np.uint32(0xFFFFFFFF)
    batch = view(
        np.array([0, 0, 1, 1], np.uint32),
        np.full(4, every),
        np.array([1, 0, 1, 0], np.float32),
        None,
    )
    gradient = pair_step.gradient(state, batch)
    assert gradient.tallies.tolist() == [4, 2 * 32e4, 2]
    np.testing.assert_array_equal(np.sort(gradient.slopes), [-1, 0, 0, 1])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0, 1, 5, 2**24, 2**32 - 1]), st.booleans())))
def test_a_view_holds_every_sample_once(samples: list[tuple[int, int, bool]]) -> None:
    rows, addresses = (np.array([sample[at] for sample in samples], np.uint32) for at in (0, 1))
    labels = np.array([sample[2] for sample in samples], np.float32)
    batch: View = view(rows, addresses, labels, np.ones(len(rows), bool))
    distinct = batch.addresses.view(np.uint32)
    assert distinct.tolist() == list(dict.fromkeys(addresses.tolist()))
    owners = np.repeat(distinct, np.diff(batch.bounds))
    triples = sorted(zip(batch.rows.tolist(), owners.tolist(), batch.labels.tolist(), strict=True))
    assert triples == sorted(zip(rows.tolist(), addresses.tolist(), labels.tolist(), strict=True))
    assert sorted(set(batch.entities.rows.tolist())) == sorted(set(rows.tolist()))
    assert sorted(batch.members.tolist()) == list(range(len(samples)))
    of_groups = np.repeat(batch.entities.rows, np.diff(batch.entities.bounds))
    np.testing.assert_array_equal(of_groups, batch.rows[batch.members])
    np.testing.assert_array_equal(distinct[batch.entities.places], owners[batch.members])
    pairs = np.repeat(batch.prefixes.rows, np.diff(batch.prefixes.bounds))
    expected = sorted(
        (row, place) for place, some in enumerate(prefix_rows_of(distinct).tolist()) for row in some
    )
    assert sorted(zip(pairs.tolist(), batch.prefixes.places.tolist(), strict=True)) == expected


def test_prefixes_have_rows_of_their_own_table() -> None:
    rng = np.random.default_rng(0)
    addresses = rng.integers(0, 1 << 32, 1000, np.uint32)
    rows = prefix_rows_of(addresses)
    ends = (*OFFSETS[1:], PREFIXES)
    for place, (length, first, end) in enumerate(zip(LENGTHS, OFFSETS, ends, strict=True)):
        column = rows[:, place]
        assert first <= column.min()
        assert column.max() < end
        assert set(rates_of(column.copy()).tolist()) == {RATES[place]}
        neighbours = addresses ^ np.uint32(1 << (31 - length))  # alike in their first `length` bits
        np.testing.assert_array_equal(prefix_rows_of(neighbours)[:, place], column)
        if length <= WIDEST:
            np.testing.assert_array_equal(column - first, addresses >> np.uint32(32 - length))
        else:  # as many as fall together by chance
            assert len(np.unique(column)) > 990

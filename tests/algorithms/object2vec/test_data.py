"""Batches of an epoch: every pair once, with negatives that are drawn anew."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from optml.container.group import Alone
from optml.errors import UserError
from tests.algorithms.object2vec.training import channel, data, pairs, setting


class Host(Alone):
    """One process of several, which nobody talks to."""

    def __init__(self, rank: int, size: int) -> None:
        super().__init__()
        self.rank, self.size = rank, size


def rows(batches: list[Any]) -> list[tuple[Any, ...]]:
    """The pairs of batches, one by one."""
    found = []
    for batch in batches:
        first, second = ([tuple(side.ids[a:b]) for a, b in zip(side.bounds, side.bounds[1:], strict=False)]
                         for side in batch.sides)  # fmt: skip
        repeat = np.arange(len(batch)) if batch.repeat is None else batch.repeat
        found += [(first[repeat[place]], second[place], batch.labels[place]) for place in range(len(batch))]
    return found


def test_an_epoch_has_every_pair_once_and_the_next_one_in_another_order() -> None:
    records = pairs(21)
    source = data(channel(*records), setting())
    expected = sorted((tuple(r["in0"]), tuple(r["in1"])[:8], r["label"]) for r in records)
    first, second = (list(source.epoch(epoch)) for epoch in range(2))
    assert sorted(len(batch) for batch in first) == [5, 8, 8]
    assert sorted(rows(first)) == sorted(rows(second)) == expected
    assert rows(first) != rows(second)
    assert rows(list(source.epoch(0))) == rows(first)


def test_sequences_are_cut_at_their_end_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    record = {"label": 1, "in0": list(range(1, 12)), "in1": [5, 6, 7]}
    source = data(channel(record), setting(enc1_max_seq_len=2))
    (batch,) = source.epoch(0)
    assert [side.ids.tolist() for side in batch.sides] == [list(range(1, 9)), [5, 6]]
    said = "One or more sequences have been truncated because they exceeded max_seq_len: 1 of in0"
    assert said in caplog.text
    for line in ("Source words: 8", "Target words: 2", "Total: 1 samples in 1 buckets"):
        assert line in caplog.text
    assert "Bucket of (8, 2) : 1 samples in 1 batches of 8" in caplog.text


def test_pairs_of_like_lengths_share_batches() -> None:
    source = data(channel(*pairs(60)), setting(bucket_width=2))
    for batch in source.epoch(0):
        longest = np.maximum(*(side.lengths for side in batch.sides))
        assert longest.max() - longest.min() <= 7
    assert len({tuple(side.lengths.max() for side in batch.sides) for batch in source.epoch(0)}) > 1


def test_each_positive_pair_has_negatives_with_in1_of_others() -> None:
    records = [{"label": number % 2, "in0": [number + 1], "in1": [number + 1]} for number in range(20)]
    source = data(channel(*records), setting(negative_sampling_rate=3))
    epochs = [rows(list(source.epoch(epoch))) for epoch in range(2)]
    for epoch in epochs:
        assert len(epoch) == 20 + 10 * 3
        for first, second, label in epoch:
            odd = (first[0] - 1) % 2
            assert label == (1.0 if first == second and odd else 0.0)
        drawn = [(first, second) for first, second, _ in epoch if first != second]
        assert len(drawn) == 30
    assert sorted(epochs[0]) != sorted(epochs[1])


def test_in0_of_a_pair_and_its_negatives_is_encoded_once() -> None:
    source = data(channel(*pairs(20)), setting(negative_sampling_rate=3, mini_batch_size=40))
    batch = next(iter(source.epoch(0)))
    assert len(batch.sides[0]) < len(batch.sides[1]) == len(batch)
    assert batch.repeat is not None


def test_validation_is_neither_shuffled_nor_given_negatives(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    records = pairs(30)
    source = data(channel(*records, name="validation"), setting(negative_sampling_rate=3))
    assert [label for *_, label in rows(list(source.epoch(0)))] == [r["label"] for r in records]
    assert "Negative sampling not used" in caplog.text


def test_hosts_with_the_same_files_share_out_the_batches_of_one() -> None:
    records = pairs(50)
    whole = list(data(channel(*records), setting()).epoch(0))
    for rank in range(2):
        mine = list(data(channel(*records), setting(Host(rank, 2))).epoch(0))
        assert [rows([batch]) for batch in mine] == [rows([batch]) for batch in whole[rank::2]]


@pytest.mark.parametrize(
    ("records", "message"),
    [([], "channel 'train' is empty"), (pairs(1), "channel 'train' holds a single one")],
)
def test_data_that_will_not_do_are_refused(records: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        data(channel(*records), setting(negative_sampling_rate=1))

"""Batches: every pair once an epoch, cut, and dealt out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optml.errors import UserError
from tests.algorithms.seq2seq import sample

torch = pytest.importorskip("torch")


def channel(body: bytes, name: str = "train", **changes: Any) -> Any:
    return sample.data(sample.Files({"a.rec": body}, name), sample.setting(**changes))  # type: ignore[arg-type]


def seen(made: Any, epoch: int) -> list[tuple[int, ...]]:
    pairs = []
    for batch in made.epoch(epoch):
        assert batch.epoch == epoch
        assert (np.diff(batch.targets.lengths) <= 0).all()
        sides = [np.split(side.ids, side.bounds[1:-1]) for side in (batch.sources, batch.targets)]
        for one, other in zip(*sides, strict=True):
            np.testing.assert_array_equal(one, other)
            pairs.append(tuple(one.tolist()))
    return pairs


def test_every_pair_comes_once_an_epoch_in_another_order() -> None:
    made = channel(sample.copies(100))
    first, second = seen(made, 0), seen(made, 1)
    assert sorted(first) == sorted(second) == sorted(map(tuple, sample.sentences(100)))
    assert first != second
    assert first == seen(channel(sample.copies(100)), 0)


def test_batches_hold_pairs_of_like_lengths() -> None:
    made = channel(sample.copies(400), bucket_width=3)
    spans = [np.ptp(batch.sources.lengths) for batch in made.epoch(0)]
    assert max(spans) <= 3
    one = channel(sample.copies(400), bucketing_enabled=False)
    assert max(np.ptp(batch.sources.lengths) for batch in one.epoch(0)) > 3


def test_long_sides_are_cut_with_the_end_counted(caplog: pytest.LogCaptureFixture) -> None:
    body = sample.encoded([([4] * 20, [5] * 20), ([4] * 12, [5] * 11), ([4], [5] * 12)])
    made = channel(body)
    assert made.pairs.sources.lengths.tolist() == [12, 12, 1]
    assert made.pairs.targets.lengths.tolist() == [11, 11, 11]
    assert "1 sources are cut to max_seq_len_source=12 and 2 targets to max_seq_len_target=12" in caplog.text


def test_pairs_for_bleu_are_drawn_once() -> None:
    made = channel(sample.copies(50), "validation", bleu_sample_size=7)
    drawn = [sum(int(batch.drawn.sum()) for batch in made.epoch(number)) for number in range(2)]
    assert drawn == [7, 7]
    everyone = channel(sample.copies(50), "validation", optimized_metric="bleu")
    assert sum(int(batch.drawn.sum()) for batch in everyone.epoch(0)) == 50
    assert not any(batch.drawn.any() for batch in channel(sample.copies(50), "validation").epoch(0))


def test_an_empty_channel_is_told_of() -> None:
    with pytest.raises(UserError, match="channel 'train' holds no pair"):
        channel(b"")

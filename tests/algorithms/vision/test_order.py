from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optml.algorithms.vision.order import Ends, Order


def samples(order: Order, epoch: int) -> list[list[int]]:
    return [batch.tolist() for batch, _ in order.epoch(epoch)]


def test_classification_drops_what_makes_no_whole_batch() -> None:
    assert Order(15420, 128, 0, ends="drop").batches(3) == 120
    assert Order(2500, 128, 0, ends="drop").batches(0) == 19
    assert {len(batch) for batch in samples(Order(10, 4, 0, ends="drop"), 0)} == {4}


def test_validation_takes_every_image_once_and_in_order() -> None:
    assert samples(Order(7, 3, 0, shuffle=False), 5) == [[0, 1, 2], [3, 4, 5], [6]]


@pytest.mark.parametrize(
    ("count", "batches"), [(16551, [1035, 1034, 1035, 1034, 1035]), (150, [10, 9, 10, 9, 9])]
)
def test_detection_rolls_over_as_in_the_logs(count: int, batches: list[int]) -> None:
    order = Order(count, 16, 0, ends="roll")
    assert [order.batches(epoch) for epoch in range(5)] == batches


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 3))
def test_rolling_over_takes_every_image_once_an_epoch(count: int, size: int, seed: int) -> None:
    order = Order(count, size, seed, ends="roll")
    pairs = []
    for epoch in range(4):
        for images, epochs in order.epoch(epoch):
            assert len(images) == size
            pairs += list(zip(epochs.tolist(), images.tolist(), strict=True))
    whole = [pair for pair in pairs if pair[0] < 4]
    assert sorted(whole) == [(epoch, image) for epoch in range(4) for image in range(count)]


@given(st.integers(1, 30), st.integers(1, 7), st.integers(1, 4), st.sampled_from(["drop", "keep"]))
def test_hosts_share_the_batches_of_one(count: int, size: int, hosts: int, ends: Ends) -> None:
    alone = samples(Order(count, size, 1, ends=ends), 2)
    shares = [samples(Order(count, size, 1, ends=ends, host=host, hosts=hosts), 2) for host in range(hosts)]
    dealt = [share[i // hosts] for i in range(sum(map(len, shares))) for share in [shares[i % hosts]]]
    if ends == "drop":
        assert len({len(share) for share in shares}) == 1
        assert dealt == alone[: len(alone) - len(alone) % hosts]
    else:
        assert dealt == alone


def test_epochs_are_shuffled_anew_and_alike_for_a_seed() -> None:
    first, again = Order(50, 50, 3), Order(50, 50, 3)
    assert samples(first, 0) == samples(again, 0) != samples(first, 1)
    assert samples(first, 0) != samples(Order(50, 50, 4), 0)
    (batch,) = samples(first, 1)
    np.testing.assert_array_equal(np.sort(batch), np.arange(50))


@given(st.integers(1, 40), st.integers(1, 12), st.sampled_from(["drop", "keep", "roll"]), st.integers(2, 4))
def test_split_batches_are_whole_ones_shared_out(count: int, size: int, ends: Ends, hosts: int) -> None:
    whole = samples(Order(count, size, 0, ends=ends), 1)
    parts = [
        samples(Order(count, size, 0, ends=ends, host=host, hosts=hosts, split=True), 1)
        for host in range(hosts)
    ]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert [batch[host::hosts] for host in range(hosts)] == shares

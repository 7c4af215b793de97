from __future__ import annotations

import logging

import numpy as np
import pytest

from optml.algorithms.ip_insights import data as module
from optml.algorithms.ip_insights.data import Batch, TrainChannel, ValidationChannel, data
from optml.container.group import Alone
from optml.errors import UserError
from tests.algorithms.ip_insights.training import Files, at_home, setting, training, validation


class Host(Alone):
    """One process of several, which nobody talks to."""

    def __init__(self, rank: int, size: int, processes: int = 1) -> None:
        super().__init__()
        self.rank, self.size, self.processes, self.local = rank, size, processes, rank % processes


def samples(batches: list[Batch]) -> list[tuple[int, int, float]]:
    return [
        sample
        for batch in batches
        for sample in zip(
            batch.samples.rows.tolist(),
            batch.samples.addresses.tolist(),
            batch.samples.labels.tolist(),
            strict=True,
        )
    ]


def test_batches_count_negatives_and_a_block_s_last_one_may_be_smaller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BLOCK", 700)
    given = setting(mini_batch_size=100, random_negative_sampling_rate=5, shuffled_negative_sampling_rate=1)
    batches = list(training(at_home(230), given).epoch(0))
    # blocks of 100, 100 and 30 pairs, seven samples each
    assert [len(batch) for batch in batches] == [100] * 7 + [100] * 7 + [100, 100, 10]
    assert sum(batch.samples.labels.sum() for batch in batches) == 230
    positive = sorted(sample for sample in samples(batches[:7]) if sample[2])
    text = b"".join(at_home(230).splitlines(keepends=True)[:100])
    again = sorted(sample for sample in samples(list(training(text, given).epoch(0))) if sample[2])
    assert positive == again


def test_epochs_repeat_the_pairs_with_new_negatives_and_read_the_files_once() -> None:
    source = Files("train", at_home(60), at_home(40, seed=1))
    channel = TrainChannel(source, setting(mini_batch_size=64))
    first, second = samples(list(channel.epoch(0))), samples(list(channel.epoch(1)))
    assert len(first) == 300
    assert first == samples(list(channel.epoch(0)))
    assert sorted(s for s in first if s[2]) == sorted(s for s in second if s[2])
    assert first != second
    assert source.passes == 1


def test_hosts_with_the_same_files_share_out_the_batches_of_one() -> None:
    whole = [batch.samples for batch in training(at_home(100), setting(mini_batch_size=40)).epoch(0)]
    for rank in range(3):
        given = setting(Host(rank, 3), mini_batch_size=40)
        mine = [batch.samples for batch in training(at_home(100), given).epoch(0)]
        assert len(mine) == len(whole[rank::3])
        for one, other in zip(mine, whole[rank::3], strict=True):
            np.testing.assert_array_equal(one.addresses, other.addresses)


def test_hosts_with_files_of_their_own_take_all_of_them() -> None:
    sharded = {"distribution": "ShardedByS3Key"}
    batches = [
        list(training(at_home(50), setting(Host(rank, 2), mini_batch_size=40), **sharded).epoch(0))
        for rank in range(2)
    ]
    assert [sum(map(len, host)) for host in batches] == [150, 150]
    assert samples(batches[0]) != samples(batches[1])  # negatives of their own
    halves = [
        list(training(at_home(50), setting(Host(rank, 4, 2), mini_batch_size=80), **sharded).epoch(0))
        for rank in range(4)
    ]
    for host, (one, other) in zip(batches, (halves[:2], halves[2:]), strict=True):
        assert sorted(samples(one) + samples(other)) == sorted(samples(host))
    empty = training(b"", setting(Host(1, 2)), **sharded)
    assert list(empty.epoch(0)) == []


def test_the_gpus_of_a_host_divide_a_batch() -> None:
    sizes = [
        len(batch)
        for rank in range(2)
        for batch in training(at_home(100), setting(Host(rank, 2, 2), mini_batch_size=100)).epoch(0)
    ]
    assert sizes == [50] * 6


def test_the_validation_channel_pairs_each_entity_with_one_random_address_always_the_same() -> None:
    channel = validation(at_home(100), setting(random_negative_sampling_rate=7))
    (first,), (again,) = list(channel.epoch(0)), list(channel.epoch(5))
    assert first.labels.tolist() == again.labels.tolist()
    assert (len(first), first.labels.sum()) == (200, 100)
    np.testing.assert_array_equal(first.addresses, again.addresses)


def test_entities_are_remembered() -> None:
    channel = training(b"a,1.2.3.4\nb,1.2.3.4\n", setting())
    hashes = np.array([0xD24EC4F1A98C6E5B, 123], np.uint64)  # of "a", of nothing
    assert channel.observed.entities.seen(hashes).tolist() == [True, False]


def test_too_few_vectors_for_the_entities_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    for vectors, warned in ((50, False), (25, True)):
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="optml"):
            list(training(at_home(500), setting(num_entity_vectors=vectors)).epoch(0))
        assert "Channel 'train' holds 500 pairs of about 20 entities" in caplog.text
        assert ("twice as many vectors as entities are advised" in caplog.text) == warned


def test_an_empty_channel_is_refused() -> None:
    with pytest.raises(UserError, match="channel 'train' is empty"):
        list(training(b"\n \n", setting()).epoch(0))


def test_a_job_told_to_stop_reads_no_further() -> None:
    source = Files("train", at_home(100))
    source.stop = True
    assert list(TrainChannel(source, setting()).epoch(0)) == []


def test_channels_are_told_apart_by_name() -> None:
    assert isinstance(data(Files("train", b""), setting()), TrainChannel)
    assert isinstance(data(Files("validation", b""), setting()), ValidationChannel)

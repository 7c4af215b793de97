from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, random_array

from optml.algorithms.base import ChannelSpec
from optml.container.channels import Channel
from optml.container.rows import Rows
from optml.container.spill import Spill
from optml.errors import UserError
from optml.formats import tabular
from optml.formats.column_order import ColumnOrder
from optml.formats.content_type import ContentType
from optml.formats.records import Records
from tests.container.test_channels import Platform

TRAIN = ChannelSpec("train", "train", label_size=0)
CSV = ContentType("text/csv", {"label_size": "0"})
RECORDIO = ContentType("application/x-recordio-protobuf")


@dataclass
class Host:
    """One host of a cluster, of which rows need no more than its place."""

    rank: int = 0
    size: int = 1
    local: int = 0
    processes: int = 1
    host: str = "algo-1"

    def all_sum(self, *arrays: np.ndarray) -> None: ...
    def gather(self, array: np.ndarray) -> list[np.ndarray]:
        return [array]

    def broadcast(self, array: np.ndarray, source: int = 0) -> np.ndarray:
        return array


def matrix(rows: int, width: int = 3) -> np.ndarray:
    return np.arange(rows * width, dtype=np.float32).reshape(rows, width)


def text(features: np.ndarray) -> bytes:
    return b"".join(b",".join(b"%g" % value for value in row) + b"\n" for row in features)


def channel(data: Path, mode: str = "File", content_type: ContentType = CSV, **more: object) -> Channel:
    return Channel("train", TRAIN, data / "train", mode, content_type, **more)  # type: ignore[arg-type]


def rows(channel: Channel, batch_size: int = 4, host: Host | None = None, **more: object) -> Rows:
    options: dict[str, object] = {"width": 3, "sparse": False, "label_size": 0} | more
    return Rows(channel, batch_size=batch_size, cluster=host or Host(), **options)  # type: ignore[arg-type]


def put(data: Path, **files: bytes) -> None:
    (data / "train").mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (data / "train" / name).write_bytes(content)


def split(features: np.ndarray, cuts: list[int]) -> dict[str, bytes]:
    return {f"part-{i:03}": text(part) for i, part in enumerate(np.split(features, sorted(cuts)))}


@pytest.fixture(autouse=True)
def _no_reader_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


def test_batches_hold_exactly_the_size_asked_for_across_files(tmp_path: Path) -> None:
    features = matrix(10)
    put(tmp_path, **split(features, [3, 4]), empty=b"")
    batches = list(rows(channel(tmp_path)).epoch(0))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([batch.features for batch in batches]), features)
    assert batches[0].where(2) == "row 3 of train/part-000"
    assert batches[0].where(3) == "row 1 of train/part-001"
    assert batches[2].where(1) == "row 6 of train/part-002"
    assert all(batch.features.flags.c_contiguous and batch.features.dtype == np.float32 for batch in batches)


def test_a_channel_can_be_read_again(tmp_path: Path) -> None:
    put(tmp_path, a=text(matrix(5)))
    read = rows(channel(tmp_path))
    assert [len(batch) for epoch in range(3) for batch in read.epoch(epoch)] == [4, 1] * 3


def test_one_batch_may_be_larger_than_the_data(tmp_path: Path) -> None:
    put(tmp_path, a=text(matrix(5)), b=text(matrix(2)))
    assert [len(batch) for batch in rows(channel(tmp_path), 5000).epoch(0)] == [7]


def test_later_epochs_take_what_the_first_decoded(tmp_path: Path) -> None:
    put(tmp_path, a=text(matrix(6)), b=text(matrix(4)))
    read = rows(channel(tmp_path), spill=Spill(tmp_path))
    first = list(read.epoch(0))
    put(tmp_path, a=b"never read again")
    again = list(read.epoch(1))
    assert [len(batch) for batch in again] == [4, 4, 2]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.features, other.features)
    assert again[1].where(3) == "row 2 of train/b"


def test_processes_of_one_host_deal_its_share_out(tmp_path: Path) -> None:
    put(tmp_path, a=text(matrix(10)))
    shard = channel(tmp_path, distribution="ShardedByS3Key")
    hosts = [Host(rank, 4, local=rank % 2, processes=2) for rank in range(4)]
    assert [[len(batch) for batch in rows(shard, host=host).epoch(0)] for host in hosts] == [[4, 2], [4]] * 2


def test_hosts_share_runs_out_however_many_rows_are_read_at_once(tmp_path: Path) -> None:
    features = matrix(10)
    put(tmp_path, **split(features, [3, 7]))
    shares = [list(rows(channel(tmp_path), 100, Host(rank, 2), run=2).epoch(0)) for rank in range(2)]
    assert [len(share) for share in shares] == [1, 1]
    np.testing.assert_array_equal(shares[0][0].features, features[[0, 1, 4, 5, 8, 9]])
    np.testing.assert_array_equal(shares[1][0].features, features[[2, 3, 6, 7]])


@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(1, 60),
    batch_size=st.integers(1, 20),
    hosts=st.integers(1, 3),
    block_bytes=st.integers(1, 400),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    recordio=st.booleans(),
)
def test_batches_depend_on_the_rows_alone(
    tmp_path_factory: pytest.TempPathFactory,
    count: int,
    batch_size: int,
    hosts: int,
    block_bytes: int,
    cuts: list[int],
    recordio: bool,
) -> None:
    """File mode, Pipe mode, any cutting into files and any block size give the same batches."""
    data = tmp_path_factory.mktemp("data")
    features = matrix(count)
    kind = RECORDIO if recordio else CSV
    parts = [tabular.write(Records(part), kind) for part in np.split(features, sorted(cuts)) if len(part)]
    put(data, **{f"part-{i:03}": part for i, part in enumerate(parts)})
    expected = [features[at : at + batch_size] for at in range(0, count, batch_size)]
    for rank in range(hosts):
        folder = data.parent / f"{data.name}-{rank}"
        folder.mkdir()
        platform = Platform(folder, [b"".join(parts)])
        for source in (channel(data, "File", kind), channel(folder, "Pipe", kind)):
            read = rows(source, batch_size, Host(rank, hosts), block_bytes=block_bytes)
            batches = list(read.epoch(0))
            assert len(batches) == len(expected[rank::hosts])
            for batch, wanted in zip(batches, expected[rank::hosts], strict=True):
                np.testing.assert_array_equal(batch.features, wanted)
        platform.join()


def test_a_sharded_channel_is_taken_whole_by_each_host(tmp_path: Path) -> None:
    put(tmp_path, a=text(matrix(10)))
    read = rows(channel(tmp_path, distribution="ShardedByS3Key"), host=Host(1, 2))
    assert [len(batch) for batch in read.epoch(0)] == [4, 4, 2]


def test_a_host_without_an_object_has_no_batches(tmp_path: Path) -> None:
    nothing = channel(tmp_path, distribution="ShardedByS3Key", may_be_empty=True)
    assert list(rows(nothing, host=Host(1, 2)).epoch(0)) == []


def test_every_epoch_of_a_pipe_is_the_next_fifo(tmp_path: Path) -> None:
    Platform(tmp_path, [text(matrix(5)), text(matrix(3))], delay=0.05)
    read = rows(channel(tmp_path, "Pipe"))
    assert [len(batch) for batch in read.epoch(7)] == [4, 1]
    assert [len(batch) for batch in read.epoch(8)] == [3]


def test_sparse_rows_become_dense_unless_the_algorithm_takes_them(tmp_path: Path) -> None:
    sparse = csr_array(random_array((10, 50), density=0.1, rng=0, format="csr", dtype=np.float32))
    put(tmp_path, a=tabular.write(Records(sparse), RECORDIO))
    read = channel(tmp_path, content_type=RECORDIO)
    dense = list(rows(read, width=50).epoch(0))
    assert [type(batch.features) for batch in dense] == [np.ndarray] * 3
    np.testing.assert_array_equal(np.concatenate([batch.features for batch in dense]), sparse.toarray())
    kept = list(rows(read, width=50, sparse=True).epoch(0))
    assert [type(batch.features) for batch in kept] == [csr_array] * 3
    np.testing.assert_array_equal(np.concatenate([batch.dense() for batch in kept]), sparse.toarray())


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
def test_a_number_that_is_not_finite_names_its_row(tmp_path: Path, bad: str) -> None:
    put(tmp_path, a=text(matrix(9)), b=f"1,2,3\n4,{bad},6\n".encode())
    with pytest.raises(UserError, match=r"row 2 of train/b\b"):
        list(rows(channel(tmp_path)).epoch(0))


def test_a_wrong_width_names_its_row_and_both_numbers(tmp_path: Path) -> None:
    put(tmp_path, a=text(matrix(9)), b=b"1,2,3\n4,5,6,7,8\n")
    with pytest.raises(UserError, match=r"feature_dim is 3 but row 2 of train/b has 5 values"):
        list(rows(channel(tmp_path)).epoch(0))


def test_a_width_that_nobody_said_is_told_by_the_row_that_it_was_counted_in(tmp_path: Path) -> None:
    put(tmp_path, a=text(matrix(9)), b=b"1,2,3\n4,5,6,7,8\n")
    read = channel(tmp_path)
    with pytest.raises(UserError, match=r"row 1 of train/a has 3 features but row 2 of train/b has 5 values"):
        list(rows(read, width=None).epoch(0))


def test_columns_of_all_files_and_channels_go_by_the_names_of_the_first(tmp_path: Path) -> None:
    headed = ContentType.parse("text/csv;header=present;label_size=0")
    put(tmp_path, a=b"x,y,z\n1,2,3\n", b=b"z,x,y\n6,4,5\n")
    shared = ColumnOrder()
    train = rows(channel(tmp_path, content_type=headed), columns=shared)
    assert train.columns is None
    (batch,) = train.epoch(0)
    assert batch.features.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert train.columns == ("x", "y", "z")
    put(tmp_path / "other", a=b"y,z,x\n8,9,7\n")
    (batch,) = rows(channel(tmp_path / "other", content_type=headed), columns=shared).epoch(0)
    assert batch.features.tolist() == [[7, 8, 9]]


def test_an_unknown_width_is_that_of_the_first_row(tmp_path: Path) -> None:
    put(tmp_path, a=text(matrix(2)))
    read = rows(channel(tmp_path), width=None)
    assert [batch.width for batch in read.epoch(0)] == [3]
    put(tmp_path, b=b"1,2\n")
    with pytest.raises(UserError, match="row 1 of train/b has 2 values"):
        list(rows(channel(tmp_path), width=None).epoch(0))


def test_files_without_a_record_are_an_empty_channel(tmp_path: Path) -> None:
    put(tmp_path, a=b"\n\n")
    with pytest.raises(UserError, match="channel 'train' is empty: there are no records in its data"):
        list(rows(channel(tmp_path)).epoch(0))


def test_an_epoch_closed_early_lets_the_writer_go(tmp_path: Path) -> None:
    platform = Platform(tmp_path, [text(matrix(200_000))])
    with closing(rows(channel(tmp_path, "Pipe"), block_bytes=1000).epoch(0)) as batches:  # type: ignore[type-var]
        assert len(next(batches)) == 4
    platform.join()
    assert platform.broken == 1


def test_a_stop_ends_an_epoch_that_waits_for_data(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train_0")
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    assert list(rows(channel(tmp_path, "Pipe"), stopped=stop.is_set).epoch(0)) == []


def test_dense_batches_within_a_block_are_views(tmp_path: Path) -> None:
    put(tmp_path, a=text(matrix(8)))
    first, second = rows(channel(tmp_path)).epoch(0)
    assert first.features.base is second.features.base is not None


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def whole(data: Path, host: Host, content_type: ContentType = CSV, **more: object) -> Rows:
    return Rows(
        channel(data, content_type=content_type, **more),
        width=None,
        batch_size=None,
        cluster=host,
        sparse=True,
        label_size=None,
        missing=True,
        ragged=True,
        spill=Spill(data),
    )


def test_blocks_as_they_come_are_dealt_out_in_runs_of_rows(tmp_path: Path) -> None:
    features = matrix(2500)
    write(tmp_path / "train/a.csv", text(features))
    hosts = [list(whole(tmp_path, Host(rank, 2)).epoch(0)) for rank in range(2)]
    first, second = (np.concatenate([block.features for block in blocks]) for blocks in hosts)
    np.testing.assert_array_equal(first, np.concatenate([features[:1000], features[2000:]]))
    np.testing.assert_array_equal(second, features[1000:2000])


def test_rows_of_a_query_go_to_one_host(tmp_path: Path) -> None:
    queries = [7, 7, 3, 5, 5, 5, 1]
    lines = "".join(f"{row} qid:{query} 0:{row}\n" for row, query in enumerate(queries))
    write(tmp_path / "train/a.svm", lines.encode())
    seen: list[list[int]] = []
    for rank in range(2):
        rows = whole(tmp_path, Host(rank, 2), ContentType("text/libsvm"))
        seen.append([group for block in rows.epoch(0) for group in block.groups.tolist()])  # type: ignore[union-attr]
    assert seen == [[7, 7, 5, 5, 5], [3, 1]]


def test_a_pipe_of_blocks_is_read_once_and_kept(tmp_path: Path) -> None:
    features = matrix(300)
    Platform(tmp_path, [text(features)])
    rows = whole(tmp_path, Host(), mode="Pipe")
    for _ in range(3):
        np.testing.assert_array_equal(np.concatenate([block.features for block in rows.epoch(0)]), features)


def test_missing_values_pass_where_they_are_allowed_and_infinity_does_not(tmp_path: Path) -> None:
    path = write(tmp_path / "train/a.csv", b"1,,3\n")
    (block,) = whole(tmp_path, Host()).epoch(0)
    assert np.isnan(block.features[0, 1])
    path.write_bytes(b"1,inf,3\n")
    with pytest.raises(UserError, match="row 1 of train/a"):
        list(whole(tmp_path, Host()).epoch(0))


def test_libsvm_files_may_differ_in_width(tmp_path: Path) -> None:
    write(tmp_path / "train/a.svm", b"1 0:1\n")
    write(tmp_path / "train/b.svm", b"1 4:1\n")
    rows = whole(tmp_path, Host(), ContentType("text/libsvm"))
    assert [block.width for block in rows.epoch(0)] == [1, 5]

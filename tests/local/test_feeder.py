import gzip
import io
import queue
import threading
import time

import pytest

from optml.algorithms.base import ChannelSpec
from optml.container.channels import Channel
from optml.formats import recordio
from optml.local.feeder import Feeder, files


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.csv").write_bytes(b"1,2\n")
    (folder / "b.csv.gz").write_bytes(gzip.compress(b"3,4\n"))
    (folder / "deep" / "c.csv").write_bytes(b"5,6\n" * 100_000)
    (folder / "_SUCCESS").write_bytes(b"no")
    (folder / ".hidden").write_bytes(b"no")
    return folder


ALL = b"1,2\n3,4\n" + b"5,6\n" * 100_000


def test_each_epoch_is_all_objects_through_the_next_fifo(source, tmp_path):
    with Feeder(tmp_path / "data", "train", [source]) as feeder:
        for epoch in range(3):
            assert feeder.path(epoch).read_bytes() == ALL
    assert not list((tmp_path / "data").iterdir())


def test_files_come_in_the_order_given(source, tmp_path):
    with Feeder(tmp_path, "train", [source / "b.csv.gz", source / "a.csv"]) as feeder:
        assert feeder.path(0).read_bytes() == b"3,4\n1,2\n"


def test_reader_may_close_early_and_take_the_next_epoch(source, tmp_path):
    with Feeder(tmp_path / "data", "train", [source]) as feeder:
        with feeder.path(0).open("rb") as fifo:
            assert fifo.read(4) == b"1,2\n"
        assert feeder.path(1).read_bytes() == ALL


def test_stopping_does_not_wait_for_a_reader_that_never_comes(source, tmp_path):
    with Feeder(tmp_path / "data", "train", [source]):
        pass
    assert not list((tmp_path / "data").iterdir())


def test_stopping_does_not_wait_for_a_reader_that_reads_no_more(source, tmp_path):
    with Feeder(tmp_path / "data", "train", [source]) as feeder:
        fifo = feeder.path(0).open("rb")
        fifo.read(1)
        time.sleep(0.05)
    fifo.close()
    assert not any(thread.name == "feeder of train" for thread in threading.enumerate())


def test_epochs_can_be_counted(source, tmp_path):
    with Feeder(tmp_path / "data", "train", [source], epochs=1) as feeder:
        assert feeder.path(0).read_bytes() == ALL
        time.sleep(0.05)
        assert not feeder.path(1).exists()


def test_folder_stands_for_its_visible_files_in_order(source):
    assert [path.name for path in files(source)] == ["a.csv", "b.csv.gz", "c.csv"]


def test_channel_reads_what_the_feeder_serves(source, tmp_path):
    spec = ChannelSpec("train", "train", content_types=("text/csv",))
    with Feeder(tmp_path / "data", "train", [source]):
        channel = Channel("train", spec, tmp_path / "data" / "train", mode="Pipe")
        for _ in range(2):
            assert b"".join(stream.read() for _, stream in channel.streams()) == ALL


def test_damaged_source_is_told(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(9999))[:-10])
    told = queue.Queue()
    with Feeder(tmp_path / "data", "train", [tmp_path / "a.gz"], on_failure=told.put) as feeder:
        feeder.path(0).read_bytes()
        assert told.get(timeout=60) is feeder.failure
        assert told.empty()
        assert "a.gz is cut off" in str(feeder.failure)


def test_wrapped_sources_are_records_of_their_own(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"image")
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"packed"))
    sources = [(tmp_path / "a", b"0"), tmp_path / "b.gz"]
    with Feeder(tmp_path / "data", "train", sources, wrapped=True, epochs=1) as feeder:
        content = feeder.path(0).read_bytes()
    assert list(recordio.payloads(io.BytesIO(content), source="pipe")) == [b"image", b"0", b"packed"]


def test_shuffled_epochs_differ_and_keep_units_together(tmp_path) -> None:
    units = [(f"a{number}".encode(), f"b{number} ".encode()) for number in range(20)]
    with Feeder(tmp_path / "data", "train", units, shuffle=1, epochs=2) as feeder:
        epochs = [feeder.path(epoch).read_bytes().split() for epoch in range(2)]
    expected = sorted(b"".join(unit).strip() for unit in units)
    assert [sorted(epoch) for epoch in epochs] == [expected, expected]
    assert epochs[0] != epochs[1]

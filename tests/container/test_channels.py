from __future__ import annotations

import gzip
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from optml.algorithms.base import ChannelSpec
from optml.container.channels import Channel
from optml.container.fifo import StoppedError
from optml.errors import PlatformError, UserError
from optml.formats.content_type import ContentType
from optml.formats.recordio import frame

TRAIN = ChannelSpec("train", "train", required=True)
WITH_DEFAULT = ChannelSpec("train", "train", default_content_type="application/x-recordio-protobuf")
LIBSVM = ChannelSpec(
    "train", "train", content_types=("text/libsvm", "text/csv"), default_content_type="text/libsvm"
)
CSV = ContentType("text/csv")


def channel(data: Path, mode: str = "File", spec: ChannelSpec = TRAIN, **more: object) -> Channel:
    more.setdefault("content_type", CSV)
    return Channel("train", spec, data / "train", mode, **more)  # type: ignore[arg-type]


def put(data: Path, **files: bytes) -> None:
    for name, content in files.items():
        path = data / "train" / name.replace("__", "/").replace("DOT", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def contents(channel: Channel) -> list[tuple[str, bytes]]:
    return [(source, stream.read()) for source, stream in channel.streams()]


class Platform:
    """Serves FIFOs as the platform does: makes n, streams everything into it, closes, makes n + 1."""

    def __init__(self, data: Path, epochs: Iterable[bytes], *, delay: float = 0, pause: float = 0) -> None:
        self.broken = 0
        self._thread = threading.Thread(target=self._serve, args=(data, epochs, delay, pause), daemon=True)
        self._thread.start()

    def _serve(self, data: Path, epochs: Iterable[bytes], delay: float, pause: float) -> None:
        for number, content in enumerate(epochs):
            time.sleep(delay)
            path = data / f"train_{number}"
            os.mkfifo(path)
            try:
                with path.open("wb", buffering=0) as fifo:
                    half = len(content) // 2
                    fifo.write(content[:half])
                    time.sleep(pause)
                    rest = memoryview(content)[half:]
                    while rest:
                        rest = rest[fifo.write(rest) :]
            except BrokenPipeError:
                self.broken += 1

    def join(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()


def test_files_come_in_the_order_of_their_keys_from_nested_folders(tmp_path: Path) -> None:
    put(tmp_path, b__2DOTcsv=b"3", aDOTcsv=b"1", b__10DOTcsv=b"2", c=b"4")
    (tmp_path / "train" / "b-1.csv").write_bytes(b"first of b: '-' sorts before '/'")
    assert [source for source, _ in contents(channel(tmp_path))] == [
        "train/a.csv",
        "train/b-1.csv",
        "train/b/10.csv",
        "train/b/2.csv",
        "train/c",
    ]


def test_fast_file_mode_is_read_like_file_mode(tmp_path: Path) -> None:
    put(tmp_path, aDOTcsv=b"1,2\n")
    assert contents(channel(tmp_path, "FastFile")) == [("train/a.csv", b"1,2\n")]


def test_hidden_underscored_and_empty_files_are_skipped_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, DOThidden=b"x", _SUCCESS=b"", a=b"1", empty=b"", _temporary__part=b"x", DOTpartDOTcrc=b"x")
    os.mkfifo(tmp_path / "train" / "pipe")
    with caplog.at_level(logging.INFO):
        read = channel(tmp_path)
        assert contents(read) == contents(read) == [("train/a", b"1")]
    assert caplog.messages == [
        "Skipping train/.hidden: hidden",
        "Skipping train/.part.crc: hidden",
        "Skipping train/_SUCCESS: hidden",
        "Skipping train/_temporary/: hidden",
        "Skipping train/empty: empty",
        "Skipping train/pipe: not a file",
    ]


def test_files_deeper_than_the_algorithm_reads_are_skipped_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, a=b"1", b__c__d=b"2", b__c__e__f=b"3")
    shallow = replace(TRAIN, depth=3)
    assert [name for name, _ in contents(channel(tmp_path, spec=shallow))] == ["train/a", "train/b/c/d"]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "Skipping train/b/c/e/f: deeper than 3 folders")
    ]
    assert len(contents(channel(tmp_path))) == 3


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    put(tmp_path, a__b=b"1")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "c").write_bytes(b"2")
    (tmp_path / "train" / "a" / "up").symlink_to(tmp_path / "train")
    (tmp_path / "train" / "z").symlink_to(tmp_path / "elsewhere")
    assert contents(channel(tmp_path)) == [("train/a/b", b"1"), ("train/z/c", b"2")]


def test_gzip_is_told_by_its_magic(tmp_path: Path) -> None:
    put(tmp_path, plain=b"1,2\n", packed=gzip.compress(b"3,4\n"))
    assert contents(channel(tmp_path)) == [("train/packed", b"3,4\n"), ("train/plain", b"1,2\n")]


def test_reading_never_writes_to_the_folder(tmp_path: Path) -> None:
    put(tmp_path, aDOTcsv=b"1,2\n")
    (tmp_path / "train").chmod(0o555)
    before = (tmp_path / "train").stat().st_mtime_ns
    contents(channel(tmp_path))
    assert (tmp_path / "train").stat().st_mtime_ns == before


def test_a_channel_without_files_is_empty(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        contents(channel(tmp_path))
    assert str(caught.value) == f"channel 'train' is empty: no files under {tmp_path}/train"


def test_an_empty_channel_tells_what_was_skipped(tmp_path: Path) -> None:
    put(tmp_path, _SUCCESS=b"", aDOTcsv=b"")
    with pytest.raises(UserError, match=r"skipped _SUCCESS \(hidden\), a\.csv \(empty\)$"):
        contents(channel(tmp_path))


def test_a_manifest_alone_explains_what_local_mode_lacks(tmp_path: Path) -> None:
    put(tmp_path, DOTamazonDOTmanifest=b'[{"prefix": "s3://b/p/"}, "matrix_0.pbr"]')
    with pytest.raises(UserError) as caught:
        contents(channel(tmp_path))
    assert str(caught.value) == (
        "channel 'train' holds only .amazon.manifest: local mode does not expand manifests; "
        "set s3_data to the prefix and s3_data_type='S3Prefix', or use the local control plane"
    )


def test_an_unreadable_file_is_the_platforms_fault(tmp_path: Path) -> None:
    put(tmp_path, a=b"1")
    read = channel(tmp_path)
    assert read.files
    (tmp_path / "train" / "a").unlink()
    with pytest.raises(PlatformError, match="train/a cannot be read: No such file"):
        contents(read)


def test_each_pass_of_a_pipe_takes_the_next_fifo(tmp_path: Path) -> None:
    platform = Platform(
        tmp_path, [b"1,2\n", b"3,4\n" * 100_000, gzip.compress(b"5,6\n")], delay=0.1, pause=0.05
    )
    read = channel(tmp_path, "Pipe")
    assert contents(read) == [("train_0", b"1,2\n")]
    assert contents(read) == [("train_1", b"3,4\n" * 100_000)]
    assert contents(read) == [("train_2", b"5,6\n")]
    platform.join()


def test_a_resumed_job_begins_again_at_fifo_0(tmp_path: Path) -> None:
    Platform(tmp_path, [b"1\n"])
    assert contents(channel(tmp_path, "Pipe")) == [("train_0", b"1\n")]


def test_a_pass_that_is_closed_early_breaks_the_writers_pipe(tmp_path: Path) -> None:
    platform = Platform(tmp_path, [b"1,2\n" * 2_000_000, b"3\n"])
    read = channel(tmp_path, "Pipe")
    with closing(read.streams()) as streams:  # type: ignore[type-var]
        _, stream = next(streams)
        assert stream.read(4) == b"1,2\n"
    assert contents(read) == [("train_1", b"3\n")]
    platform.join()
    assert platform.broken == 1


def test_a_pipe_that_never_comes_is_warned_about_and_given_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optml.container.fifo.WARN_AFTER_S", 0.0)
    with pytest.raises(UserError) as caught:
        contents(channel(tmp_path, "Pipe", pipe_timeout=1))
    assert str(caught.value).startswith(f"no data came through the FIFO {tmp_path}/train_0 within 1 s;")
    assert "OPTML_PIPE_TIMEOUT_S" in str(caught.value)
    assert caplog.messages == [f"Waiting for data from {tmp_path}/train_0; giving up after 1 s"]


def test_a_fifo_without_a_writer_is_given_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train_0")
    with pytest.raises(UserError, match=r"no data came through .* within 0\.2 s"):
        contents(channel(tmp_path, "Pipe", pipe_timeout=0.2))


def test_a_wait_for_a_fifo_or_for_its_writer_can_be_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(StoppedError):
        list(channel(tmp_path, "Pipe").streams(stop))
    os.mkfifo(tmp_path / "train_0")
    with pytest.raises(StoppedError):
        list(channel(tmp_path, "Pipe").streams(stop))


def test_a_writer_that_closes_without_data_ends_the_pass(tmp_path: Path) -> None:
    Platform(tmp_path, [b""])
    assert contents(channel(tmp_path, "Pipe")) == []


def test_pipe_mode_reads_files_where_there_are_files(tmp_path: Path) -> None:
    put(tmp_path, aDOTcsv=b"1,2\n")
    assert contents(channel(tmp_path, "Pipe")) == [("train/a.csv", b"1,2\n")]


def test_file_mode_reads_a_fifo_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    platform = Platform(tmp_path, [b"1,2\n"])
    while not (tmp_path / "train_0").exists():
        time.sleep(0.01)
    assert contents(channel(tmp_path, "File")) == [("train_0", b"1,2\n")]
    platform.join()


def test_wrapped_objects_are_unwrapped_one_by_one(tmp_path: Path) -> None:
    Platform(tmp_path, [frame(b"1,2\n") + frame(gzip.compress(b"3,4")) + frame(b"") + frame(b"5,6\n")])
    assert contents(channel(tmp_path, "Pipe", wrapper="RecordIO")) == [
        ("object 1 of train_0", b"1,2\n"),
        ("object 2 of train_0", b"3,4"),
        ("object 3 of train_0", b""),
        ("object 4 of train_0", b"5,6\n"),
    ]


def test_a_truncated_wrapper_names_the_record(tmp_path: Path) -> None:
    Platform(tmp_path, [frame(b"1,2\n") + frame(b"3,4\n")[:-2]])
    with pytest.raises(UserError, match="train_0 is cut off: record 2"):
        contents(channel(tmp_path, "Pipe", wrapper="RecordIO"))


def test_an_augmented_manifest_gives_its_attributes_together(tmp_path: Path) -> None:
    Platform(tmp_path, [b"".join(map(frame, (b"image 0", b"0", b"image 1", b"")))])
    read = channel(tmp_path, "Pipe", wrapper="RecordIO")
    assert list(read.examples(2)) == [(b"image 0", b"0"), (b"image 1", b"")]


def test_an_incomplete_example_is_named(tmp_path: Path) -> None:
    Platform(tmp_path, [b"".join(map(frame, (b"image 0", b"0", b"image 1")))])
    read = channel(tmp_path, "Pipe", wrapper="RecordIO")
    with pytest.raises(UserError, match="ends after 1 of the 2 records of example 2"):
        list(read.examples(2))


@pytest.mark.parametrize(
    ("spec", "head", "expected"),
    [
        (WITH_DEFAULT, frame(b"abc"), "application/x-recordio-protobuf"),
        (WITH_DEFAULT, b"1.5,2\n", "text/csv"),
        (WITH_DEFAULT, gzip.compress(b"1.5,2\n"), "text/csv"),
        (WITH_DEFAULT, b"\x0b" + frame(b"abc")[1:], "application/x-recordio-protobuf"),
        (TRAIN, b"1.5,2\n", "text/csv"),
        (LIBSVM, b"1 0:2 3:4\n", "text/libsvm"),
        (LIBSVM, b"1,2\n", "text/libsvm"),
    ],
)
def test_a_content_type_that_is_not_given_is_found_out_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spec: ChannelSpec, head: bytes, expected: str
) -> None:
    put(tmp_path, a=head)
    read = channel(tmp_path, spec=spec, content_type=None)
    with caplog.at_level(logging.INFO):
        assert contents(read)
        assert contents(read)
    assert str(read.content_type) == expected
    assert caplog.messages == [f"Channel 'train' has no content type; train/a is read as {expected}"]


def test_the_content_type_of_a_pipe_is_found_out_without_losing_a_byte(tmp_path: Path) -> None:
    Platform(tmp_path, [b"1.5,2\n" * 3], pause=0.1)
    read = channel(tmp_path, "Pipe", spec=WITH_DEFAULT, content_type=None)
    assert contents(read) == [("train_0", b"1.5,2\n" * 3)]
    assert read.content_type == CSV


def test_content_of_an_unsupported_kind_lists_what_is_supported(tmp_path: Path) -> None:
    put(tmp_path, a=b"PAR1....")
    with pytest.raises(UserError) as caught:
        contents(channel(tmp_path, spec=WITH_DEFAULT, content_type=None))
    assert str(caught.value) == (
        "channel 'train' has no content type and train/a looks like application/x-parquet; "
        "set its ContentType to one of application/x-recordio-protobuf, text/csv"
    )


def test_sigterm_is_handled_while_a_pipe_is_silent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train_0")
    program = textwrap.dedent(f"""
        import signal, sys, threading
        from pathlib import Path
        from optml.algorithms.base import ChannelSpec
        from optml.container.channels import Channel
        from optml.container.readahead import read_ahead
        stopped = []
        signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
        channel = Channel("train", ChannelSpec("train", "train"), Path({str(tmp_path)!r}) / "train", "Pipe")
        print("waiting", flush=True)
        print(list(read_ahead(channel.streams, stopped=lambda: bool(stopped))), threading.active_count())
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "waiting\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "[] 1\n"
        assert process.wait(60) == 0


@pytest.fixture(autouse=True)
def _no_reader_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


def test_bytes_of_no_format_are_not_called_csv(tmp_path: Path) -> None:
    put(tmp_path, a=b"\x01\0\xff\0" * 50)
    with pytest.raises(UserError, match="train/a is of no format known here; set its ContentType to one of"):
        contents(channel(tmp_path, content_type=None))


def test_a_file_where_the_folder_of_a_channel_should_be_is_the_users_to_move(tmp_path: Path) -> None:
    (tmp_path / "train").write_text("1,2\n")
    with pytest.raises(UserError, match="train is a file; a channel is a folder"):
        channel(tmp_path).problem()

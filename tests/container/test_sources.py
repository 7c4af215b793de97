"""A channel as algorithms with data of their own are handed it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from optml.algorithms.base import ChannelSpec
from optml.container.channels import Channel
from optml.container.sources import Source
from optml.formats.content_type import ContentType
from optml.local.feeder import Feeder

SPEC = ChannelSpec("train", "train", content_types=("text/plain",), default_content_type="text/plain")


def test_what_is_known_of_a_channel_of_files(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.txt").write_text("one line\n")
    source = Source(Channel("train", SPEC, tmp_path / "train"), lambda: False)
    assert [(name, stream.read()) for name, stream in source.streams()] == [("train/a.txt", b"one line\n")]
    assert (source.name, source.media, source.mode, source.wrapper) == ("train", "text/plain", "File", "None")


def test_a_stop_ends_the_wait_for_a_silent_fifo(tmp_path: Path) -> None:
    stopped = threading.Event()
    with Feeder(tmp_path, "train", []):
        channel = Channel("train", SPEC, tmp_path / "train", mode="Pipe", pipe_timeout=60)
        (tmp_path / "train_0").unlink()  # nobody will ever write to the one that is waited for
        threading.Timer(0.2, stopped.set).start()
        assert list(Source(channel, stopped.is_set).streams()) == []


def test_files_of_a_channel_are_named_for_random_access(tmp_path: Path) -> None:
    folder = tmp_path / "train"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "1.jpg").write_bytes(b"x")
    (folder / "b.jpg").write_bytes(b"y")
    content_type = ContentType.parse("application/x-image; label-format=class-id")
    source = Source(Channel("train", SPEC, folder, content_type=content_type), lambda: False)
    assert source.files() == [("train/a/1.jpg", folder / "a/1.jpg"), ("train/b.jpg", folder / "b.jpg")]
    assert source.parameters == {"label-format": "class-id"}


def test_a_pipe_has_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train_0")
    assert Source(Channel("train", SPEC, tmp_path / "train", mode="Pipe"), lambda: False).files() is None

"""Records of augmented manifests, and text as people's programs leave it."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optml.algorithms.base import Setting
from optml.algorithms.blazingtext.classification import Classification
from optml.algorithms.blazingtext.data import TrainChannel
from optml.algorithms.blazingtext.embedding import Embedding
from optml.algorithms.blazingtext.hyperparameters import Hyperparameters
from optml.algorithms.blazingtext.manifest import line_of_records
from optml.container.group import Alone
from optml.errors import UserError
from optml.serving.models import load as load_served
from tests.algorithms.blazingtext.sample import channel
from tests.algorithms.blazingtext.test_data import corpus, words


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (b"1", b"__label__1"),
        (b"positive", b"__label__positive"),
        (b"true", b"__label__true"),
        (b'["a", 2]', b"__label__a __label__2"),
        (b"very good", b"__label__very_good"),
        (b"__label__x", b"__label__x"),
    ],
)
def test_a_label_is_a_number_a_text_or_a_list(label: bytes, expected: bytes) -> None:
    assert line_of_records(b"good film", label, "example 1") == expected + b" good film\n"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (b"1", b"good film"),  # label and source
        (b"positive", b"good film"),
        (b'{"class-name": "a"}', b"good film"),  # one attribute too many
        (b"good film", b'{"class-name": "a"}'),
        (b"good film", b"null"),
    ],
)
def test_records_of_other_attributes_are_shown_with_what_to_set(text: bytes, label: bytes) -> None:
    with pytest.raises(UserError, match=r"example 7 has the text .* AttributeNames .* RecordWrapperType"):
        line_of_records(text, label, "example 7")


def test_a_label_that_is_no_whole_number_is_refused_as_in_a_file() -> None:
    with pytest.raises(UserError, match=r"example 1 has the label 1.5; expected a whole number"):
        line_of_records(b"good film", b"1.5", "example 1")


@pytest.mark.parametrize("media", ["application/x-recordio", "text/plain"])
def test_a_stream_without_its_wrapper_says_what_to_set(media: str) -> None:
    source = channel("good film fine0bad film awful1", media=media, mode="Pipe")
    with pytest.raises(UserError, match=r"good film fine0.*AttributeNames .* RecordWrapperType must be"):
        corpus(source)


def test_labels_that_hardly_come_twice_are_suspected(caplog: pytest.LogCaptureFixture) -> None:
    lines = "".join(f"__label__text{number} a\n" for number in range(101))
    with caplog.at_level(logging.WARNING, "optml"):
        corpus(channel(lines))
    assert "has 101 labels for 101 lines: is the text taken for the label?" in caplog.text


@pytest.mark.parametrize("media", ["text/plain", "application/jsonlines"])
def test_a_byte_order_mark_costs_the_first_line_nothing(media: str) -> None:
    lines = {"text/plain": "__label__a x\n__label__b y\n"}
    objects = '{"source": "x", "label": "a"}\n{"source": "y", "label": "b"}\n'
    source = channel(b"\xef\xbb\xbf" + lines.get(media, objects).encode(), media=media)
    assert words(corpus(source)) == [["__label__a", "x"], ["__label__b", "y"]]


def test_utf16_is_named() -> None:
    with pytest.raises(UserError, match=r"train/a.txt is UTF-16; save it as UTF-8"):
        corpus(channel("__label__a x\n".encode("utf-16")))


def test_carriage_returns_alone_end_lines(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "optml"):
        assert words(corpus(channel("__label__a x\r__label__b y\r"))) == [
            ["__label__a", "x"],
            ["__label__b", "y"],
        ]
    assert "train/a.txt has carriage returns and no line feeds" in caplog.text


def test_carriage_returns_before_line_feeds_are_blanks() -> None:
    assert words(corpus(channel("__label__a x\r\n__label__b y\r\n"))) == [
        ["__label__a", "x"],
        ["__label__b", "y"],
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("__label__a x\n__label__a y\n", "has one label only, '__label__a'"),
        ("__label__ a x\n__label__b y\n", "has 1 labels without a name"),
    ],
)
def test_labels_that_tell_nothing_apart_are_warned_of(
    text: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "optml"):
        corpus(channel(text))
    assert told in caplog.text


def setting(tuned: str, channels: tuple[str, ...], **given: Any) -> Setting:
    return Setting(Hyperparameters(**given), Alone(), channels=channels, tuned=tuned)


def test_an_objective_that_is_never_measured_is_refused_before_training() -> None:
    with pytest.raises(UserError, match=r"mean_rho' does not go with mode 'supervised'.*validation:accuracy"):
        Classification(setting("train:mean_rho", ("train",), mode="supervised"))
    with pytest.raises(UserError, match=r"mean_rho' needs evaluation=True and the channel 'evaluation'"):
        Embedding(setting("train:mean_rho", ("train",), mode="skipgram"))
    fitting = setting("train:mean_rho", ("train", "evaluation"), mode="skipgram", min_count=1, vector_dim=8)
    Embedding(replace(fitting, train=TrainChannel(channel("a b c\n"), fitting)))


def test_vectors_of_the_c_program_are_named_with_what_is_served(tmp_path: Path) -> None:
    numbers = np.zeros(3, np.float32).tobytes()
    (tmp_path / "model.bin").write_bytes(b"2 3\ngood " + numbers + b"\nbad " + numbers + b"\n")
    with pytest.raises(UserError, match=r"model.bin holds vectors in the binary format of word2vec's C prog"):
        load_served(tmp_path, "cpu")  # by its content


def test_a_model_in_an_inner_folder_of_the_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "vectors.txt").write_text("1 2\na 0 1\n")
    with pytest.raises(UserError, match=r"in the inner folder inner: .*`tar -C inner -czf model.tar.gz \.`"):
        load_served(tmp_path, "cpu", "blazingtext")

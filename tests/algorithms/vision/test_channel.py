"""One data set in every form that a channel may have: the same images, labels and pixels."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from optml.algorithms.kernels.pixels.terms import Finish
from optml.algorithms.vision.augment import Crop
from optml.algorithms.vision.channel import read
from optml.algorithms.vision.index import ImageIndex
from optml.algorithms.vision.labels import classes, multi_hot
from optml.algorithms.vision.loader import Loader
from optml.algorithms.vision.order import Order
from optml.container.sources import Source
from optml.errors import UserError
from optml.formats.recordio import frame
from tests.algorithms.vision.pictures import jpeg, write_rec
from tests.algorithms.vision.sources import channel, write

CONTENTS = [jpeg(number, (30, 36)) for number in range(7)]
LABELS = [0, 1, 2, 1, 0, 2, 1]


def as_records(folder: Path) -> ImageIndex:
    write_rec(folder / "train/a.rec", CONTENTS[:3], [[label] for label in LABELS[:3]])
    write_rec(folder / "train/b.rec", CONTENTS[3:], [[label] for label in LABELS[3:]])
    return read(channel(folder))


def as_list(folder: Path) -> ImageIndex:
    write(folder, {f"train/{label}/{i}.jpg": CONTENTS[i] for i, label in enumerate(LABELS)})
    rows = "".join(f"{100 - i}\t{label}.0\t {label}/{i}.jpg\r\n" for i, label in enumerate(LABELS))
    write(folder, {"train_lst/any.lst": rows.encode()})
    return read(channel(folder), channel(folder, "train_lst"))


def as_manifest(folder: Path) -> ImageIndex:
    write(folder, {f"train/part/{i}.jpg": content for i, content in enumerate(CONTENTS)})
    lines = [
        {
            "source-ref": f"s3://bucket/data/part/{i}.jpg",
            "class": str(label),
            "class-metadata": {"class-name": f"name{label}", "type": "groundtruth/image-classification"},
        }
        for i, label in enumerate(LABELS)
    ]
    write(folder, {"train/train.manifest": "\n".join(map(json.dumps, lines)).encode()})
    return read(channel(folder))


def piped(folder: Path, stream: bytes, **about: object) -> ImageIndex:
    folder.mkdir(exist_ok=True)
    os.mkfifo(folder / "train_0")
    writer = threading.Thread(target=(folder / "train_0").write_bytes, args=(stream,))
    writer.start()
    try:
        return read(channel(folder, mode="Pipe", **about))
    finally:
        writer.join()


def as_piped_records(folder: Path) -> ImageIndex:
    path = write_rec(folder / "a.rec", CONTENTS, [[label] for label in LABELS])
    return piped(folder / "data", path.read_bytes())


def as_piped_manifest(folder: Path) -> ImageIndex:
    texts = [str(label) if i % 2 else f'"{label}"' for i, label in enumerate(LABELS)]
    pairs = zip(CONTENTS, texts, strict=True)
    stream = b"".join(frame(content) + frame(text.encode()) for content, text in pairs)
    return piped(folder, stream, wrapper="RecordIO", attributes=("source-ref", "class"))


FORMS = [as_records, as_list, as_manifest, as_piped_records, as_piped_manifest]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_images_labels_and_pixels(form, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    index = form(tmp_path)
    assert len(index) == len(CONTENTS)
    assert [index.encoded(i) for i in range(len(index))] == CONTENTS
    assert classes(index, 3).tolist() == LABELS
    (batch,) = batches(index)
    (expected,) = batches(ImageIndex([str(i) for i in range(7)], CONTENTS))
    np.testing.assert_array_equal(batch.pixels, expected.pixels)


def batches(index: ImageIndex) -> list[object]:
    order, draw = Order(len(index), 7, seed=0), Crop((24, 24), level="crop")
    loader = Loader(index, order, draw, shape=(24, 24, 3), finish=Finish.of("raw"), seed=0, threads=2)
    return list(loader.epoch(0))


def test_names_lead_to_the_place(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    assert as_records(tmp_path / "1").names[4] == "record 2 of train/b.rec"
    (tmp_path / "2").mkdir()
    assert as_list(tmp_path / "2").names[4] == "train/0/4.jpg (line 5 of train_lst/any.lst)"
    (tmp_path / "3").mkdir()
    index = as_manifest(tmp_path / "3")
    assert index.names[4] == "train/part/4.jpg (line 5 of train/train.manifest)"
    assert index.class_names == {0: "name0", 1: "name1", 2: "name2"}


def test_images_that_a_list_misses_are_counted_and_named(tmp_path: Path) -> None:
    write(tmp_path, {"train/a.jpg": CONTENTS[0], "train/empty.jpg": b""})
    rows = b"1\t0\ta.jpg\n2\t0\tempty.jpg\n3\t0\t../train_lst/x.lst\n4\t1\tb.jpg\n"
    write(tmp_path, {"train_lst/x.lst": rows})
    with pytest.raises(
        UserError, match=r"2 of 4 images of train_lst/x\.lst.*x\.lst \(line 3 .*b\.jpg \(line 4"
    ):
        read(channel(tmp_path), channel(tmp_path, "train_lst"))


def test_empty_and_hidden_files_of_a_list_are_images_that_may_be_unreadable(tmp_path: Path) -> None:
    write(tmp_path, {"train/_sub/a.jpg": CONTENTS[0], "train/sub/b.jpg": CONTENTS[1], "train/empty.jpg": b""})
    write(tmp_path, {"train_lst/x.lst": b"1\t0\t_sub/a.jpg\n2\t0\tempty.jpg\n3\t1\tsub/b.jpg\n"})
    index = read(channel(tmp_path), channel(tmp_path, "train_lst"))
    assert [index.encoded(i) for i in range(3)] == [CONTENTS[0], b"", CONTENTS[1]]
    with pytest.raises(
        UserError, match=r"1 of 3 images cannot be read.*(?s:.*)train/empty\.jpg \(line 2 of .*0 bytes"
    ):
        batches(index)


def test_two_lists_or_none_are_refused(tmp_path: Path) -> None:
    write(tmp_path, {"train/a.jpg": CONTENTS[0], "train_lst/x.txt": b"1\t0\ta.jpg\n"})
    with pytest.raises(UserError, match=r"must hold one \.lst file; it has none: train_lst/x\.txt"):
        read(channel(tmp_path), channel(tmp_path, "train_lst"))
    write(tmp_path, {"train_lst/y.lst": b"1\t0\ta.jpg\n", "train_lst/z.lst": b"1\t0\ta.jpg\n"})
    with pytest.raises(UserError, match=r"it has 2: train_lst/y\.lst, train_lst/z\.lst"):
        read(channel(tmp_path), channel(tmp_path, "train_lst"))


def test_a_channel_without_records_says_what_it_has(tmp_path: Path) -> None:
    write(tmp_path, {"train/a.jpg": CONTENTS[0]})
    with pytest.raises(UserError, match=r"'train' holds no \.rec file.* train/a\.jpg.*'train_lst'"):
        read(channel(tmp_path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"no json", "line 1 of train/a.manifest is no JSON"),
        (b"[1]", "line 1 of train/a.manifest is no object"),
        (b'{"class": 1}', "names no image and label"),
        (b'{"source-ref": "s3://b/none.jpg", "class": 1}', "1 of 1 files of the manifest are not in channel"),
        (b'{"source-ref": "s3://b/a.jpg", "class": "cat"}', 'a.jpg .* has the label "cat"; expected a class'),
    ],
)
def test_a_line_of_a_manifest_that_is_wrong_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    write(tmp_path, {"train/a.jpg": CONTENTS[0], "train/a.manifest": line})
    with pytest.raises(UserError, match=message):
        read(channel(tmp_path))


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"", "Got empty batch from pipe"),
        (
            frame(b"0") + frame(CONTENTS[0]),
            "example 1 of channel 'train' begins with b'0', which is no image",
        ),
        (frame(CONTENTS[0]) + frame(b"0") + frame(CONTENTS[0]), "example 2 .* has 1 of its 2 records"),
    ],
)
def test_a_piped_manifest_in_another_order_is_told(tmp_path: Path, stream: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        piped(tmp_path, stream, wrapper="RecordIO")


def test_a_list_of_classes_or_a_multi_hot_vector(tmp_path: Path) -> None:
    stream = b"".join(frame(CONTENTS[i]) + frame(text) for i, text in enumerate([b"[0, 2]", b'"[1]"', b"[]"]))
    index = piped(tmp_path, stream, wrapper="RecordIO")
    expected = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0]], bool)
    np.testing.assert_array_equal(multi_hot(index, 3, "class-id"), expected)
    path = write_rec(tmp_path / "rec/train/a.rec", CONTENTS[:2], [[1, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(multi_hot(read(channel(path.parents[1])), 3), expected[:2])
    with pytest.raises(UserError, match=r"Mismatch between number of labels .* \(3\) and the num_classes"):
        multi_hot(read(channel(path.parents[1])), 4)


def test_labels_off_by_one_are_told(tmp_path: Path) -> None:
    write_rec(tmp_path / "train/a.rec", CONTENTS[:3], [[1], [3], [2]])
    index = read(channel(tmp_path))
    with pytest.raises(UserError, match=r"record 2 of train/a\.rec.*all are from 1 to 3: take 1 away"):
        classes(index, 3)
    with pytest.raises(UserError, match=r"label such as 3; .*num_classes would be 4"):
        classes(index, 2)
    write_rec(tmp_path / "train/a.rec", CONTENTS[:1], [[0.5]])
    with pytest.raises(UserError, match=r"label such as 0\.5; expected a whole number from 0 to 1"):
        classes(read(channel(tmp_path)), 2)


def test_the_source_tells_the_attributes(tmp_path: Path) -> None:
    source: Source = channel(tmp_path, attributes=("source-ref", "class"))
    assert source.attributes == ("source-ref", "class")

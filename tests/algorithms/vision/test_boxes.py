from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optml.algorithms.vision.augment import Crop, View, stretched
from optml.algorithms.vision.boxes import boxes, moved
from optml.algorithms.vision.index import ImageIndex, of_records
from optml.algorithms.vision.pairs import of_annotations
from optml.errors import UserError
from optml.formats.images.decode import Encoded
from optml.formats.images.header import Header
from optml.formats.images.vectors import Vectors
from tests.algorithms.vision.pictures import jpeg
from tests.algorithms.vision.sources import channel, write
from tests.shared import SHARED, needs_shared


def packed(*labels: list[float]) -> ImageIndex:
    names = [f"record {number + 1} of train/a.rec" for number in range(len(labels))]
    return ImageIndex(names, [b""] * len(labels), Vectors.of(labels))


def annotation(**about: Any) -> dict[str, Any]:
    return {"class_id": 1, "left": 100, "top": 40, "width": 200, "height": 100} | about


def document(*annotations: dict[str, Any], size: tuple[int, int] = (400, 500), **more: Any) -> bytes:
    about = [{"width": size[1], "height": size[0], "depth": 3}]
    return json.dumps({"image_size": about, "annotations": annotations, **more}).encode()


def test_packed_labels_of_five_and_six_numbers() -> None:
    labels = boxes(
        packed([2, 5, 0, 0.1, 0.2, 0.5, 0.6], [3, 6, 9, 1, 0, 0, 1, 1, 1, 0, 0.2, 0.2, 0.4, 0.4, 0], [2, 5]),
        2,
    )
    np.testing.assert_allclose(labels[0], [[0, 0.1, 0.2, 0.5, 0.6, 0]])
    np.testing.assert_allclose(labels[1], [[1, 0, 0, 1, 1, 1], [0, 0.2, 0.2, 0.4, 0.4, 0]])
    assert len(labels[2]) == 0
    assert labels.most == 2


def test_objects_of_padding_are_none() -> None:
    labels = boxes(packed([2, 5, 0, 0.1, 0.2, 0.5, 0.6, -1, -1, -1, -1, -1]), 1)
    assert len(labels[0]) == 1


@needs_shared("golden/image-recordio")
def test_a_file_of_mxnet_is_read() -> None:
    folder = SHARED / "golden/image-recordio"
    expected = json.loads((folder / "expected.json").read_text())["detection.rec"]
    labels = boxes(of_records([("detection.rec", folder / "detection.rec")]), 20)
    for i, record in enumerate(expected):
        np.testing.assert_allclose(labels[i][:, :5], np.reshape(record["label"][2:], (-1, 5)), rtol=1e-6)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (
            [3],
            "Not enough label packed in img_list or rec file.*a class as image classification.*--pack-label",
        ),
        ([2, 5, 0, 0.1, 0.2, 0.5], "record 1 of train/a.rec has a label of 6 numbers, 2, 5, 0"),
        ([2, 4, 0, 0.1, 0.2, 0.5], "the width of its header"),
        ([1, 0, 1], "has a label of 3 numbers, 1, 0, 1"),
        ([2, 5, 0, 11, 20, 50, 60], "object 0 of record 1 .* the corner 11; .* are these pixels"),
        ([2, 5, 0, -0.1, 0.2, 0.5, 0.6], "the corner -0.1; expected fractions from 0 to 1$"),
        ([2, 5, 7, 0.1, 0.2, 0.5, 0.6], "a class such as 7; expected a whole number from 0 to 3"),
        ([2, 5], "none of the images has a box"),
    ],
)
def test_a_label_that_holds_no_boxes_is_named(label: list[float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        boxes(packed(label), 4)


def test_classes_from_one_on_are_told() -> None:
    labels = [[2, 5, number, 0.1, 0.2, 0.5, 0.6] for number in (1, 2, 3)]
    with pytest.raises(UserError, match="all are from 1 to 3: take 1 away"):
        boxes(packed(*labels), 3)


def test_a_few_boxes_without_an_extent_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    good, flat = [0, 0.1, 0.2, 0.5, 0.6], [0, 0.1, 0.2, 0.1, 0.6]
    with caplog.at_level(logging.WARNING):
        labels = boxes(packed([2, 5, *good, *flat], [2, 5, *good]), 1)
    assert [len(labels[i]) for i in range(2)] == [1, 1]
    assert "1 of 3 boxes have no width or height within the image (record 1 of" in caplog.text
    with pytest.raises(UserError, match="2 of 3 boxes have no width or height"):
        boxes(packed([2, 5, *flat, *flat], [2, 5, *good]), 1)


def test_json_of_pixels_becomes_fractions() -> None:
    text = document(annotation(), annotation(class_id="0", left=-10, width=20), categories=[{"class_id": 9}])
    labels = boxes(ImageIndex(["a.jpg"], [b""], documents=[text]), 2)
    np.testing.assert_allclose(
        labels[0], [[1, 0.2, 0.1, 0.6, 0.35, 0], [0, 0, 0.1, 0.02, 0.35, 0]], rtol=1e-6
    )
    labels.require_size(0, (200, 250), "a.jpg")
    with pytest.raises(UserError, match=r"a\.jpg is 400 x 250 pixels, its annotation is about 500 x 400"):
        labels.require_size(0, (250, 400), "a.jpg")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{}", "a.jpg lacks image_size or annotations"),
        (b"[]", "a.jpg lacks image_size or annotations"),
        (b"no json", "a.jpg lacks image_size or annotations"),
        (document(size=(0, 5)), "a.jpg has the image_size"),
        (document({"class_id": 1, "left": 3}), "annotation 0 of a.jpg has no number 'top'"),
        (document(annotation(class_id="dog")), "annotation 0 of a.jpg has no number 'class_id'"),
        (document(annotation(class_id=2)), "a class such as 2; expected a whole number from 0 to 1"),
    ],
)
def test_json_that_holds_no_boxes_is_named(text: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        boxes(ImageIndex(["a.jpg"], [b""], documents=[text]), 2)


def test_annotations_are_paired_by_file_and_by_stem(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, {f"train/{name}.jpg": jpeg(0) for name in ("sub/a", "b", "c")})
    texts = {"x": document(annotation(), file="sub/a.jpg"), "b": document(annotation())}
    write(tmp_path, {f"train_annotation/{name}.json": text for name, text in texts.items()})
    with caplog.at_level(logging.WARNING):
        index = of_annotations(channel(tmp_path), channel(tmp_path, "train_annotation"))
    assert sorted(index.names) == ["train/b.jpg", "train/sub/a.jpg"]
    assert "1 of 3 files of channel 'train' have no counterpart" in caplog.text
    assert len(boxes(index, 2)) == 2
    write(tmp_path, {"train_annotation/y.json": texts["x"]})
    with pytest.raises(UserError, match=r"x\.json and .*y\.json are both about train/sub/a\.jpg"):
        of_annotations(channel(tmp_path), channel(tmp_path, "train_annotation"))


def test_json_that_is_none_names_its_file(tmp_path: Path) -> None:
    write(tmp_path, {"train/a.jpg": jpeg(0), "train_annotation/a.json": b"{"})
    with pytest.raises(UserError, match=r"train_annotation/a\.json is no JSON"):
        of_annotations(channel(tmp_path), channel(tmp_path, "train_annotation"))


def test_boxes_move_with_their_image() -> None:
    values = np.array([[1, 0.25, 0.5, 0.5, 1, 0]], np.float32)
    np.testing.assert_allclose(moved(values, stretched((40, 80), (10, 10)), (40, 80), (10, 10)), values)
    crop = View(np.array([[1.0, 0, 20], [0, 1, 10]]))  # of 40 x 20 out of 80 x 40
    result = moved(values, crop, (40, 80), (20, 40))
    np.testing.assert_allclose(result, [[1, 0, 0.5, 0.5, 1.5, 0]])
    mirror = View(np.array([[-1.0, 0, 80], [0, 1, 0]]))
    np.testing.assert_allclose(moved(values, mirror, (40, 80), (40, 80)), [[1, 0.5, 0.5, 0.75, 1, 0]])


@given(st.integers(0, 500))
def test_moved_boxes_enclose_the_moved_corners(seed: int) -> None:
    image = Encoded(b"", Header("PNG", 60, 70), "a")
    view = Crop((30, 40), level="crop_color_transform")(image, np.random.default_rng(seed))
    values = np.array([[0, 0.2, 0.3, 0.6, 0.9, 0]], np.float32)
    (box,) = moved(values, view, (60, 70), (30, 40)).tolist()
    for x, y in ((0.2, 0.3), (0.6, 0.3), (0.2, 0.9), (0.6, 0.9)):
        column, row = np.linalg.solve(
            view.matrix[:, :2], [x * 70 - view.matrix[0, 2], y * 60 - view.matrix[1, 2]]
        )
        assert box[1] - 1e-5 <= column / 40 <= box[3] + 1e-5
        assert box[2] - 1e-5 <= row / 30 <= box[4] + 1e-5

from __future__ import annotations

import io
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from optml.algorithms.kernels.pixels.terms import Finish
from optml.algorithms.vision.augment import Crop, View
from optml.algorithms.vision.channel import read
from optml.algorithms.vision.index import ImageIndex
from optml.algorithms.vision.loader import Loader
from optml.algorithms.vision.masks import LabelMap, Masks
from optml.algorithms.vision.order import Order
from optml.algorithms.vision.pairs import of_masks
from optml.errors import UserError
from optml.formats.images.mask import Mask
from tests.algorithms.vision.pictures import jpeg, pixels, png
from tests.algorithms.vision.sources import channel, write

SIZE = (40, 50)
VALUES = np.random.default_rng(0).integers(0, 3, SIZE).astype(np.uint8)


def palette(values: np.ndarray, colours: Sequence[int] = (200, 0, 0, 0, 200, 0, 0, 0, 200)) -> bytes:
    picture = Picture.fromarray(values, "L").convert("P")
    picture.putdata(values.reshape(-1).tolist())
    picture.putpalette(list(colours))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def indexed(mask: bytes) -> ImageIndex:
    return ImageIndex(["train/a.jpg"], [jpeg(0, SIZE)], masks=[mask], beside=["train_annotation/a.png"])


def label_map(**document: object) -> LabelMap:
    return LabelMap.of(json.dumps(document).encode(), "label_map/train_label_map.json")


def test_palette_grey_scale_and_map_of_the_same_labels_are_the_same() -> None:
    forms = [
        (png(VALUES[..., None]), LabelMap.of(None, "")),
        (palette(VALUES), LabelMap.of(None, "")),
        (png(3 * VALUES[..., None]), label_map(scale="3")),
        (png(VALUES[..., None] * 100), label_map(map={"0": 0, "1": "100", "2": 200})),
    ]
    for content, mapping in forms:
        np.testing.assert_array_equal(Masks(indexed(content), mapping, 3).labels(0, SIZE), VALUES)


def test_label_maps_are_those_of_the_guide() -> None:
    assert label_map(scale=3).table[[0, 3, 6, 255]].tolist() == [0, 1, 2, 255]
    assert label_map(map={"0": 5, "1": 0, "2": 2}).table[[0, 5, 2, 3, 255]].tolist() == [1, 0, 2, 255, 255]
    assert label_map(map={"0": 0, "1": 128, "2": 255}, scale=9).table[[0, 128, 255]].tolist() == [0, 1, 2]
    assert LabelMap.of(None, "").text == "{'scale': 1}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "is no JSON"),
        (b"[]", "expected"),
        (b'{"scales": 3}', "expected"),
        (b'{"scale": 0}', "has the scale 0"),
        (b'{"map": [1]}', "has the map"),
        (b'{"map": {"a": 1}}', 'maps "a" to 1'),
        (b'{"map": {"1": 256}}', 'maps "1" to 256'),
    ],
)
def test_a_label_map_that_is_none_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(UserError, match=f"map.json {message}|map.json .*{message}"):
        LabelMap.of(text, "map.json")


def test_a_bit_a_pixel_is_two_classes() -> None:
    values = (VALUES > 0).astype(np.uint8)
    content = png(255 * values[..., None], mode="1")
    np.testing.assert_array_equal(Mask.of(content, "a").values(), values)
    assert Mask.of(palette(VALUES), "a").palette() is not None
    assert Mask.of(content, "a").palette() is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(pixels(0, SIZE)), r"train_annotation/a\.png has the mode RGB"),
        (png(VALUES.astype(np.uint16) * 300), "has the mode I;16"),
        (jpeg(0, SIZE), "is JPEG; a mask must be PNG"),
        (png(VALUES[:-1, :, None]), r"is 50 x 39 pixels, its image 50 x 40"),
        (
            png(VALUES[..., None] + 1),
            r"pixels of no class, such as 3 \(label 3\); expected labels from 0 to 2",
        ),
    ],
)
def test_a_mask_that_is_none_is_named(content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Masks(indexed(content), LabelMap.of(None, ""), 3).labels(0, SIZE)


def test_masks_are_seen_as_their_images_are() -> None:
    index = indexed(png(VALUES[..., None]))
    draw = Crop((24, 24), level="crop")
    masks = Masks(index, LabelMap.of(None, ""), 3)
    shape, finish = (24, 24, 3), Finish.of("raw")
    loader = Loader(index, Order(1, 1, 0), draw, shape=shape, finish=finish, seed=0, threads=1, masks=masks)
    for epoch in range(6):
        (batch,) = loader.epoch(epoch)
        assert batch.masks is not None
        left, top = batch.views[0].matrix[:, 2].astype(int)
        mirrored = batch.views[0].matrix[0, 0] < 0
        part = VALUES[top : top + 24, left - 24 * mirrored :][:, :24]
        np.testing.assert_array_equal(batch.masks[0], part[:, ::-1] if mirrored else part)
        assert batch.sizes.tolist() == [list(SIZE)]


def test_beside_the_mask_all_is_ignored() -> None:
    out = np.empty((4, 60), np.uint8)
    view = View(np.array([[1.0, 0, -5], [0, 1, 0]]))
    Masks(indexed(png(VALUES[..., None])), LabelMap.of(None, ""), 3).seen(0, SIZE, view, out)
    assert (out[:, :5] == 255).all()
    np.testing.assert_array_equal(out[:, 5:55], VALUES[:4])
    assert (out[:, 55:] == 255).all()


def test_images_and_masks_are_paired_by_stem(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, {f"train/{name}.jpg": jpeg(0) for name in ("a", "b", "c")} | {"train/notes.txt": b"x"})
    write(tmp_path, {f"train_annotation/{name}.png": png(VALUES[..., None]) for name in ("b", "a", "z")})
    with caplog.at_level(logging.WARNING):
        index = of_masks(channel(tmp_path), channel(tmp_path, "train_annotation"))
    assert list(index.names) == ["train/a.jpg", "train/b.jpg"]
    assert index.beside == ["train_annotation/a.png", "train_annotation/b.png"]
    assert "1 of 3 files of channel 'train' have no counterpart" in caplog.text
    assert "1 of 3 files of channel 'train_annotation' have no counterpart" in caplog.text
    assert "train/notes.txt" in caplog.text


def test_no_pair_at_all_shows_both_sides(tmp_path: Path) -> None:
    write(tmp_path, {"train/a.jpg": jpeg(0), "train_annotation/b.png": png(VALUES[..., None])})
    with pytest.raises(UserError, match=r"no image of channel 'train' .* there are a and b"):
        of_masks(channel(tmp_path), channel(tmp_path, "train_annotation"))


def test_two_images_of_one_stem_are_refused(tmp_path: Path) -> None:
    write(tmp_path, {"train/a.jpg": jpeg(0), "train/a.png": jpeg(0)})
    write(tmp_path, {"train_annotation/a.png": png(VALUES[..., None])})
    with pytest.raises(UserError, match=r"has both a\.jpg and a\.png"):
        of_masks(channel(tmp_path), channel(tmp_path, "train_annotation"))


def test_colours_of_ground_truth_are_classes(tmp_path: Path) -> None:
    known = {"0": "#ffffff", "1": "#2acf59", "2": "#0000ff"}
    colours = np.array([[255, 255, 255], [0x2A, 0xCF, 0x59], [0, 0, 255], [1, 2, 3]], np.uint8)
    values = VALUES.copy()
    values[0, 0] = 3
    metadata = {key: {"class-name": f"class {key}", "hex-color": colour} for key, colour in known.items()}
    line = {
        "source-ref": "s3://bucket/a.jpg",
        "city-streets-ref": "s3://bucket/masks/a.png",
        "city-streets-ref-metadata": {"internal-color-map": metadata},
    }
    for form in (png(colours[values]), palette(values, colours.ravel().tolist())):
        write(tmp_path, {"train/a.jpg": jpeg(0, SIZE), "train/masks/a.png": form})
        write(tmp_path, {"train/all.manifest": json.dumps(line).encode()})
        index = read(channel(tmp_path))
        assert index.class_names == {0: "class 0", 1: "class 1", 2: "class 2"}
        labels = Masks(index, LabelMap.of(None, ""), 3).labels(0, SIZE)
        assert labels[0, 0] == 255
        np.testing.assert_array_equal(labels.ravel()[1:], VALUES.ravel()[1:])
    metadata["1"] = {"hex-color": "green"}
    write(tmp_path, {"train/all.manifest": json.dumps(line).encode()})
    with pytest.raises(UserError, match=r"line 1 of train/all\.manifest has .*internal-color-map"):
        read(channel(tmp_path))

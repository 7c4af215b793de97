"""Channels of images and masks: pairs, label maps, manifests, palettes, shares of hosts, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("simplejpeg")

from optml.algorithms.base import Setting
from optml.algorithms.semantic_segmentation import ALGORITHM
from optml.algorithms.semantic_segmentation.data import Batch, Images, data
from optml.algorithms.sources import Source
from optml.container.channels import Channel
from optml.container.group import Alone
from optml.container.sources import Source as Files
from optml.errors import UserError
from tests.algorithms.semantic_segmentation.shapes import PALETTE, encoded, shapes, write

SIZE = (48, 64)


def source(folder: Path, name: str) -> Source:
    spec = ALGORITHM.training.channel(name)
    assert spec is not None
    return Files(Channel(name, spec, folder / name), stopped=lambda: False)


def images(folder: Path, name: str = "train", cluster: Any = None, **given: Any) -> Images:
    """A channel as a job reads it, with the auxiliary channels that lie in the folder."""
    settings = {
        "num_classes": 4,
        "num_training_samples": 6,
        "crop_size": 32,
        "base_size": 64,
        "mini_batch_size": 4,
    }
    auxiliary = {path.name: source(folder, path.name) for path in folder.iterdir() if path.name != name}
    hyperparameters = ALGORITHM.hyperparameters(**settings | given)
    own: Images = data(
        source(folder, name), Setting(hyperparameters, cluster or Alone(), auxiliary=auxiliary)
    )
    return own


def relabel(folder: Path, table: np.ndarray, name: str = "train") -> None:
    """Write the masks of a channel anew, grey, through a table."""
    for number, path in enumerate(sorted((folder / f"{name}_annotation").iterdir())):
        path.write_bytes(encoded(table[shapes(number, SIZE)[1]]))


def masks(own: Images) -> np.ndarray:
    return np.concatenate([batch.masks for batch in own.epoch(0)])


def test_batches_hold_pixels_and_masks_seen_alike(tmp_path: Path) -> None:
    write(tmp_path, "validation", 6)
    (whole,) = images(tmp_path, "validation", crop_size=48, validation_mini_batch_size=8).epoch(0)
    assert (whole.pixels.shape, whole.masks.shape) == ((6, 48, 48, 3), (6, 48, 48))
    for number, (picture, mask) in enumerate(zip(whole.pixels, whole.masks, strict=True)):
        pixels, classes = shapes(number, SIZE)
        assert np.array_equal(mask, classes[:, 8:-8])
        assert np.abs(picture - pixels[:, 8:-8]).mean() < 12  # a JPEG of it
    assert whole.labelled == pytest.approx((whole.masks != 255).mean())


def test_a_scale_a_map_and_plain_values_are_the_same_labels(tmp_path: Path) -> None:
    write(tmp_path, "train", 6)
    expected = masks(images(tmp_path))
    relabel(tmp_path, np.array([0, 1, 2, 3] + [255] * 252, np.uint8))
    assert np.array_equal(masks(images(tmp_path)), expected)
    maps = tmp_path / "label_map"
    maps.mkdir()
    relabel(tmp_path, np.array([0, 3, 6, 9] + [255] * 252, np.uint8))
    (maps / "train_label_map.json").write_text('{"scale": "3"}')
    assert np.array_equal(masks(images(tmp_path)), expected)
    relabel(tmp_path, np.array([5, 255, 0, 2] + [77] * 252, np.uint8))
    (maps / "train_label_map.json").write_text('{"map": {"0": 5, "1": 255, "2": 0, "3": 2}}')
    assert np.array_equal(masks(images(tmp_path)), expected)  # 255 is a class by the map, 77 is none


def test_a_label_map_beside_the_masks_is_read_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "optml")
    write(tmp_path, "train", 6)
    assert images(tmp_path).label_map.text == "{'scale': 1}"
    assert "label maps not provided, using defaults." in caplog.text
    (tmp_path / "train_annotation/label_map.json").write_text('{"scale": 2}')
    assert images(tmp_path).label_map.text == "{'scale': 2}"
    assert "#label_map train :{'scale': 2}" in caplog.text


def test_the_palette_is_that_of_the_labels(tmp_path: Path) -> None:
    write(tmp_path, "train", 6)
    assert images(tmp_path).palette() == PALETTE
    (tmp_path / "label_map").mkdir()
    (tmp_path / "label_map/train_label_map.json").write_text('{"map": {"0": 2, "1": 0}}')
    assert images(tmp_path).palette()[:6] == PALETTE[6:9] + PALETTE[:3]
    relabel(tmp_path, np.arange(256, dtype=np.uint8))
    assert images(tmp_path).palette() == b""


def test_a_manifest_names_images_masks_and_colours(tmp_path: Path) -> None:
    write(tmp_path, "train", 6)
    (tmp_path / "train_annotation").rename(tmp_path / "train/masks")
    about = {
        str(label): {
            "class-name": f"kind {label}",
            "hex-color": f"#{PALETTE[3 * label : 3 * label + 3].hex()}",
        }
        for label in range(4)
    }
    lines = []
    for number in range(6):
        mask = np.frombuffer(PALETTE, np.uint8).reshape(4, 3)[shapes(number, SIZE)[1].clip(0, 3)]
        (tmp_path / f"train/masks/{number:04d}.png").write_bytes(encoded(mask))
        lines.append({
            "source-ref": f"s3://b/{number:04d}.jpg",
            "city-ref": f"s3://b/masks/{number:04d}.png",
            "city-ref-metadata": {"internal-color-map": about},
        })  # fmt: skip
    (tmp_path / "train/a.manifest").write_text("".join(json.dumps(line) + "\n" for line in lines))
    own = images(tmp_path)
    assert own.names == tuple(f"kind {label}" for label in range(4))
    assert own.palette() == PALETTE
    assert set(np.unique(masks(own))) <= {0, 1, 2, 3, 255}


def test_hosts_have_parts_of_every_batch(tmp_path: Path) -> None:
    write(tmp_path, "train", 7)
    whole = list(images(tmp_path).epoch(0))
    parts = [list(images(tmp_path, cluster=_Host(rank)).epoch(0)) for rank in (0, 1)]
    for batch, one, other in zip(whole, *parts, strict=True):
        assert np.array_equal(batch.masks[0::2], one.masks)
        assert np.array_equal(batch.pixels[1::2], other.pixels)
    assert [len(batch) for batch in whole] == [4, 4]  # the last is filled with images of the next epoch
    assert [len(batch) for batch in images(tmp_path).epoch(1)] == [4, 4]


class _Host(Alone):
    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank, self.size = rank, 2


def test_what_is_missing_or_wrong_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, "train", 6)
    with pytest.raises(UserError, match="'train' has 6 images, fewer than mini_batch_size=7"):
        images(tmp_path, mini_batch_size=7)
    with pytest.raises(UserError, match="mini_batch_size=1 is of all 2 GPUs"):
        images(tmp_path, mini_batch_size=1, cluster=_Host(0))
    with pytest.raises(UserError, match=r"0000\.png has \d+ pixels of no class, such as 3 .*num_classes=3"):
        [images(tmp_path, num_classes=3).masks.labels(i, SIZE) for i in range(6)]
    images(tmp_path, base_size=520)
    assert "set base_size to their longer side" in caplog.text
    annotations = tmp_path / "train_annotation"
    for path in sorted(annotations.iterdir()):
        path.rename(path.with_stem(f"x{path.stem}"))
    with pytest.raises(UserError, match=r"there are 0000, 0001, 0002, 0003, 0004, \.\.\. and x0000"):
        images(tmp_path)
    annotations.rename(tmp_path / "train_notes")
    (tmp_path / "train_notes").rename(tmp_path.parent / f"{tmp_path.name}-notes")
    with pytest.raises(UserError, match="channel 'train_annotation' is required and was not given"):
        images(tmp_path)


def test_a_manifest_with_the_mask_in_front_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "train", 6)
    (tmp_path / "train_annotation").rename(tmp_path / "train/masks")
    line = {"a-ref": "s3://b/masks/0000.png", "b-ref": "s3://b/0000.jpg", "b-ref-metadata": {}}
    (tmp_path / "train/a.manifest").write_text(json.dumps(line) + "\n")
    with pytest.raises(UserError, match="a JPEG as its mask, which is a PNG: AttributeNames must be"):
        images(tmp_path, mini_batch_size=1)


def test_a_blank_batch_counts_nothing() -> None:
    assert Batch.blank(24).labelled == 0
    assert len(Batch.blank(24)) == 1


def test_training_differs_from_epoch_to_epoch(tmp_path: Path) -> None:
    write(tmp_path, "train", 8)
    own = images(tmp_path)
    one, again, other = (np.concatenate([batch.pixels for batch in own.epoch(n)]) for n in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)

"""Every way that boxes come: the same batches; what is wrong in them is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from optml.algorithms.base import Setting
from optml.algorithms.object_detection.data import Batch, data
from optml.container.group import Alone
from optml.errors import UserError
from optml.formats.content_type import ContentType
from tests.algorithms.object_detection.training import hyperparameters
from tests.algorithms.vision.pictures import jpeg, write_rec
from tests.algorithms.vision.sources import channel, write

COUNT, SIZE = 5, (40, 50)  # pictures, and their height and width
PIXELS = [
    (1, 5, 4, 20, 12),
    (0, 10, 8, 25, 20),
]  # class, left, top, width, height; picture i has i mod 3 of them


def packed(number: int, *, width: int = 5) -> list[float]:
    label: list[float] = [2, width]
    for kind, left, top, wide, high in PIXELS[: number % 3]:
        label += [kind, left / 50, top / 40, (left + wide) / 50, (top + high) / 40, 0][:width]
    return label


def document(number: int) -> dict[str, Any]:
    names = ("class_id", "left", "top", "width", "height")
    rows = [dict(zip(names, box, strict=True)) for box in PIXELS[: number % 3]]
    return {"image_size": [{"width": 50, "height": 40, "depth": 3}], "annotations": rows}


def setting(folder: Path, *auxiliary: str, **given: Any) -> Setting:
    sources = {name: channel(folder, name) for name in auxiliary}
    own = hyperparameters(**{"num_training_samples": COUNT, "mini_batch_size": 2} | given)
    return Setting(own, Alone(), auxiliary=sources)


def batches(
    folder: Path, *auxiliary: str, media: str = "application/x-recordio", **given: Any
) -> list[Batch]:
    source = channel(folder, "train", content_type=ContentType.parse(media))
    return list(data(source, setting(folder, *auxiliary, **given)).epoch(0))


def rec(folder: Path, width: int = 5) -> Path:
    labels = [packed(number, width=width) for number in range(COUNT)]
    write_rec(folder / "train/a.rec", [jpeg(number, SIZE) for number in range(COUNT)], labels)
    return folder


def images(folder: Path) -> Path:
    write(folder, {f"train/{number}.jpg": jpeg(number, SIZE) for number in range(COUNT)})
    return folder


def annotated(folder: Path) -> Path:
    write(folder, {f"train_annotation/{n}.json": json.dumps(document(n)).encode() for n in range(COUNT)})
    return images(folder)


def same(one: list[Batch], other: list[Batch]) -> bool:
    return all(
        np.array_equal(a.pixels, b.pixels) and np.allclose(a.truths, b.truths, atol=1e-6)
        for a, b in zip(one, other, strict=True)
    )


def test_every_form_gives_the_same_batches(tmp_path: Path) -> None:
    expected = batches(rec(tmp_path / "a"))
    assert same(batches(rec(tmp_path / "b", 6)), expected)
    assert same(batches(annotated(tmp_path / "c"), "train_annotation", media="image/jpeg"), expected)
    rows = ["\t".join(map(str, [n, *packed(n), f"{n}.jpg"])) for n in range(COUNT)]
    write(images(tmp_path / "d"), {"train/train.lst": "\n".join(rows).encode()})
    assert same(batches(tmp_path / "d", media="application/x-image"), expected)
    lines = [
        json.dumps(
            {
                "source-ref": f"s3://b/{n}.jpg",
                "boxes": document(n),
                "boxes-metadata": {"class-map": {"1": "x"}},
            }
        )
        for n in range(COUNT)
    ]
    write(images(tmp_path / "e"), {"train/train.manifest": "\n".join(lines).encode()})
    assert same(batches(tmp_path / "e", media="application/x-image"), expected)
    source = channel(tmp_path / "e", "train")
    assert data(source, setting(tmp_path / "e")).names == ("", "x")


def test_batches_roll_over_and_a_resumed_job_gets_the_same(tmp_path: Path) -> None:
    made = data(channel(rec(tmp_path)), setting(tmp_path))
    sizes = [[len(batch) for batch in made.epoch(number)] for number in range(3)]
    assert sizes == [[2, 2, 2], [2, 2], [2, 2, 2]]
    whole, rest = list(made.epoch(1)), list(made.epoch_from(1, 1))
    assert same(whole[1:], rest)


def test_validation_sees_each_picture_once_and_whole(tmp_path: Path) -> None:
    rec(tmp_path)
    (tmp_path / "train").rename(tmp_path / "validation")
    made = data(channel(tmp_path, "validation"), setting(tmp_path))
    (first, second, third) = made.epoch(0)
    assert [len(batch) for batch in (first, second, third)] == [2, 2, 1]
    np.testing.assert_allclose(first.truths[1, 0], [1, 0.1, 0.1, 0.5, 0.4, 0], atol=1e-6)
    assert (first.truths[0] == -1).all()
    assert same(list(made.epoch(1)), [first, second, third])


def test_a_label_width_that_is_too_small_grows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rec(tmp_path)
    assert batches(tmp_path)
    assert "label_width" not in caplog.text
    batches(tmp_path, label_width=11)
    assert (
        "label_width is 11, but channel 'train' has an image of 2 objects, whose label takes 12"
        in caplog.text
    )


@pytest.mark.parametrize("width", [12, 350])
def test_a_label_width_that_does_is_not_spoken_of(
    width: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    batches(rec(tmp_path), label_width=width)
    assert "label_width" not in caplog.text


def test_what_does_not_go_together_is_named(tmp_path: Path) -> None:
    rec(tmp_path / "a")
    write(tmp_path / "a", {"train_annotation/x.json": b"{}"})
    with pytest.raises(
        UserError, match=r"channel 'train' holds train/a\.rec, whose records carry their boxes"
    ):
        batches(tmp_path / "a", "train_annotation")
    images(tmp_path / "b")
    with pytest.raises(UserError, match="JSON files of channel 'train_annotation', which was not given"):
        batches(tmp_path / "b", media="image/jpeg")
    write(tmp_path / "b", {"train/a.lst": b"0\t1\t0.jpg", "train/b.lst": b"0\t1\t0.jpg"})
    with pytest.raises(UserError, match=r"must hold one \.lst file; it has 2"):
        batches(tmp_path / "b", media="image/jpeg")


def test_another_picture_than_the_annotation_tells_is_named(tmp_path: Path) -> None:
    annotated(tmp_path)
    wrong = document(1)
    wrong["image_size"][0]["height"] = 50
    write(tmp_path, {"train_annotation/1.json": json.dumps(wrong).encode()})
    with pytest.raises(UserError, match=r"train/1\.jpg is 50 x 40 pixels, its annotation is about 50 x 50"):
        batches(tmp_path, "train_annotation")


def test_hosts_share_a_replicated_channel(tmp_path: Path) -> None:
    from tests.algorithms.hosts import on_hosts

    rec(tmp_path)

    def host(cluster):  # type: ignore[no-untyped-def]
        own = replace(setting(tmp_path), cluster=cluster)
        return [len(batch) for batch in data(channel(tmp_path), own).epoch(0)]

    assert on_hosts(2, host) == [[2, 2], [2]]

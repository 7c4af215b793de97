from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from optml.algorithms.kernels.pixels.terms import Finish
from optml.algorithms.vision.augment import Crop, Draw
from optml.algorithms.vision.index import ImageIndex, of_records
from optml.algorithms.vision.loader import Loader
from optml.algorithms.vision.order import Order
from optml.errors import UserError
from optml.formats.images.vectors import Vectors
from tests.algorithms.vision.pictures import jpeg, pixels, png, write_rec

SHAPE = (24, 24, 3)


def indexed(contents: Sequence[bytes]) -> ImageIndex:
    names = [f"train/{number}.jpg" for number in range(len(contents))]
    return ImageIndex(names, contents, Vectors.of([[number] for number in range(len(contents))]))


def loader(
    index: ImageIndex, *, threads: int = 2, size: int = 4, seed: int = 3, draw: Draw | None = None
) -> Loader:
    draw = draw or Crop(SHAPE[:2], resize=30, level="crop_color_transform")
    order = Order(len(index), size, seed)
    return Loader(index, order, draw, shape=SHAPE, finish=Finish.of("raw"), seed=seed, threads=threads)


def test_batches_are_the_same_bits_for_any_number_of_threads() -> None:
    index = indexed([jpeg(number, (60 + number, 90)) for number in range(11)])
    runs = [list(loader(index, threads=threads).epoch(1)) for threads in (1, 2, 7)]
    assert [len(batch) for batch in runs[0]] == [4, 4, 3]
    for run in runs[1:]:
        for one, other in zip(runs[0], run, strict=True):
            np.testing.assert_array_equal(one.samples, other.samples)
            np.testing.assert_array_equal(one.pixels, other.pixels)


def test_epochs_and_seeds_draw_anew() -> None:
    index = indexed([jpeg(number) for number in range(4)])
    draw = Crop(SHAPE[:2], level="crop")
    first, second = (next(iter(loader(index, draw=draw).epoch(number))) for number in (0, 1))
    other = next(iter(loader(index, draw=draw, seed=4).epoch(0)))
    for batch in (second, other):
        assert not np.array_equal(
            first.pixels[first.samples.argsort()], batch.pixels[batch.samples.argsort()]
        )


def test_a_consumer_that_stops_early_leaves_no_thread_behind() -> None:
    import threading

    batches = loader(indexed([jpeg(number) for number in range(40)])).epoch(0)
    list(islice(batches, 2))
    batches.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("images")]


def test_batches_of_a_gpu_are_those_of_a_cpu_to_rounding(caplog: pytest.LogCaptureFixture) -> None:
    """Without a GPU, by Triton's interpreter (tests/conftest.py)."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("triton")
    contents = [jpeg(number, (60 + number, 90)) for number in range(5)] * 30
    contents[1], contents[3] = png(pixels(1, (70, 80))), contents[3][:300]
    index = indexed(contents)
    device = "cuda:0" if torch.cuda.is_available() else "cpu:0"  # the second takes the way of a GPU
    draw, finish = Crop(SHAPE[:2], resize=30, level="crop_color_transform"), Finish.of("imagenet")
    order = Order(6, 4, 0, shuffle=False)
    loaders = [
        Loader(index, order, draw, shape=SHAPE, finish=finish, seed=1, threads=2, device=where)
        for where in ("cpu", device)
    ]
    for one, other in zip(loaders[0].epoch(0), loaders[1].epoch(0), strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
        np.testing.assert_array_equal(one.sizes, other.sizes)
        assert other.pixels.device.type == device[:-2].rstrip(":")
        difference = np.abs(one.pixels - other.pixels.cpu().numpy())
        assert np.quantile(difference, 0.999) < 1e-3  # but for pixels on the edge of an image
    assert "train/3.jpg" in caplog.text


def test_a_resumed_epoch_reads_no_image_of_the_batches_before() -> None:
    class Contents(list[bytes]):
        def __getitem__(self, i):  # type: ignore[no-untyped-def]
            asked.append(i)
            return super().__getitem__(i)

    asked: list[int] = []
    whole = list(loader(indexed([jpeg(number) for number in range(11)])).epoch(2))
    rest = list(loader(indexed(Contents(jpeg(number) for number in range(11)))).epoch_from(2, 1))
    for one, other in zip(whole[1:], rest, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
    assert sorted(asked) == sorted(set(range(11)) - set(whole[0].samples.tolist()))


def test_a_few_unreadable_images_are_left_out_with_one_warning_each(caplog: pytest.LogCaptureFixture) -> None:
    contents = [jpeg(0)] * 250
    contents[7], contents[90] = contents[7][:200], b""
    data = loader(indexed(contents), size=8)
    with caplog.at_level(logging.WARNING):
        for epoch in range(2):
            samples = np.concatenate([batch.samples for batch in data.epoch(epoch)])
            assert sorted(samples.tolist()) == sorted(set(range(250)) - {7, 90})
    warnings = [record.message for record in caplog.records]
    assert len(warnings) == 2
    assert any("train/7.jpg cannot be decoded as JPEG" in text for text in warnings)
    assert any("train/90.jpg is no JPEG" in text and "0 bytes" in text for text in warnings)


def test_more_than_one_in_a_hundred_is_an_error_that_names_the_first_five() -> None:
    contents = [jpeg(0)] * 100
    for number in range(0, 100, 10):
        contents[number] = b"no picture"
    data = loader(indexed(contents), draw=Crop(SHAPE[:2]))
    with pytest.raises(UserError, match=r"2 of 100 images cannot be read.*1 %") as caught:
        list(data.epoch(0))
    assert str(caught.value).count("is no JPEG") == 2


def test_an_image_that_is_too_small_is_named_with_its_size() -> None:
    data = loader(indexed([jpeg(0, (20, 31))]), draw=Crop((24, 24)))
    with pytest.raises(UserError, match=r"train/0\.jpg is 31 x 20 pixels: smaller than image_shape"):
        list(data.epoch(0))


def test_pixels_arrive_in_the_order_red_green_blue() -> None:
    picture = pixels(5, SHAPE[:2])
    (batch,) = loader(indexed([png(picture)]), draw=Crop(SHAPE[:2])).epoch(0)
    np.testing.assert_array_equal(batch.pixels[0], picture)


def test_records_are_read_at_random(tmp_path: Path) -> None:
    contents = [png(pixels(number, SHAPE[:2])) for number in range(5)]
    path = write_rec(tmp_path / "a.rec", contents, [[number % 2] for number in range(5)])
    index = of_records([("train/a.rec", path)])
    assert index.names[3] == "record 4 of train/a.rec"
    for batch in loader(index, size=2, draw=Crop(SHAPE[:2])).epoch(0):
        for values, sample in zip(batch.pixels, batch.samples.tolist(), strict=True):
            np.testing.assert_array_equal(values, pixels(sample, SHAPE[:2]))

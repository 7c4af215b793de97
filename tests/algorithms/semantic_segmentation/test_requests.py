"""Pictures as requests, masks and probabilities as answers."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("simplejpeg")

from optml.algorithms.answers import Answer  # noqa: E402
from optml.algorithms.semantic_segmentation import sides  # noqa: E402
from optml.algorithms.semantic_segmentation.facts import Facts  # noqa: E402
from optml.algorithms.semantic_segmentation.model import Model  # noqa: E402
from optml.algorithms.semantic_segmentation.requests import decode, encode, join, sample  # noqa: E402
from optml.algorithms.semantic_segmentation.scored import Scored, Tile  # noqa: E402
from optml.algorithms.semantic_segmentation.sides import Cut  # noqa: E402
from optml.algorithms.vision.architecture import Architecture  # noqa: E402
from optml.errors import UserError  # noqa: E402
from optml.formats.content_type import ContentType  # noqa: E402
from optml.formats.record_message import record_class  # noqa: E402
from optml.formats.recordio import payloads  # noqa: E402
from tests.algorithms.semantic_segmentation.shapes import PALETTE, encoded, shapes  # noqa: E402
from tests.algorithms.semantic_segmentation.test_networks import network  # noqa: E402

JPEG, PROTOBUF = ContentType("image/jpeg"), "application/x-protobuf"


def model(palette: bytes = PALETTE) -> Model:
    facts = Facts(Architecture(18, "post", "deep"), "fcn", 3, crop=32, auxiliary=True, palette=palette)
    own = {name: tensor.numpy() for name, tensor in network("fcn").state_dict().items()}
    own["head.block.4.weight"] = 20 * own["head.block.4.weight"]
    return Model(facts, own)


def answer(own: Model, body: bytes, media: str = "image/png", *, batch: bool = False) -> bytes:
    return bytes(encode(own.predict(decode(body, JPEG, own), {}), media, Answer(batch=batch)))


def probabilities(body: bytes) -> np.ndarray:
    """As the notebook reads them."""
    (payload,) = payloads(io.BytesIO(body), source="answer")
    record = record_class()()
    record.ParseFromString(payload)
    values = np.array(record.features["target"].float32_tensor.values, np.float32)
    shape = list(record.features["shape"].int32_tensor.values)
    return np.squeeze(values.reshape(shape), axis=0)


def picture(size: tuple[int, int], number: int = 0) -> bytes:
    return encoded(shapes(number, size)[0])


def mask(body: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(body)))


@pytest.mark.parametrize("size", [(1, 1), (9, 200), (61, 47), (64, 64)])
def test_the_mask_is_the_argmax_of_the_probabilities(size: tuple[int, int]) -> None:
    own = model()
    chances = probabilities(answer(own, picture(size), PROTOBUF))
    assert chances.shape == (3, *size)
    np.testing.assert_allclose(chances.sum(axis=0), 1, atol=1e-5)
    classes = mask(answer(own, picture(size)))
    assert classes.shape == size
    assert np.array_equal(classes, chances.argmax(axis=0))
    lines = json.loads(answer(own, picture(size), "application/json"))
    assert lines == {"shape": list(size), "predictions": classes.tolist()}


def test_masks_have_the_palette_of_training_or_are_grey() -> None:
    body = picture((20, 30))
    with Image.open(io.BytesIO(answer(model(), body))) as image:
        assert (image.mode, image.size) == ("P", (30, 20))
        assert bytes(image.getpalette()[: len(PALETTE)]) == PALETTE
    with Image.open(io.BytesIO(answer(model(b""), body))) as image:
        assert image.mode == "L"


def test_the_answer_of_one_pixel_and_two_classes_byte_by_byte() -> None:
    one = Scored(1, 1, [Tile(np.zeros((2, 1, 1), np.float32), Cut((0, 1), (0, 1)), Cut((0, 1), (0, 1)))])
    columns: Any = {"scores": np.array([one], object)}
    body = bytes(encode(columns, "application/x-recordio-protobuf", Answer()))
    assert body == bytes(encode(columns, PROTOBUF, Answer()))
    target = b"\n\x06target\x12\x0c\x12\x0a\n\x08" + np.array([0.5, 0.5], "<f4").tobytes()
    shape = b"\n\x05shape\x12\x08\x3a\x06\n\x04\x01\x02\x01\x01"
    payload = b"\n" + bytes([len(target)]) + target + b"\n" + bytes([len(shape)]) + shape
    length = len(payload).to_bytes(4, "little")
    assert body == b"\x0a\x23\xd7\xce" + length + payload + bytes(-len(payload) % 4)
    assert probabilities(body).argmax(axis=0) == 0


def test_large_pictures_are_answered_by_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sides, "MOST", 96)
    monkeypatch.setattr(sides, "OVERLAP", 64)
    own = model()
    body = picture((140, 90))
    pictures = decode(body, JPEG, own)
    tiled = own.predict(pictures, {})["scores"][0]
    assert len(tiled.tiles) == 3
    assert np.array_equal(tiled.classes(), tiled.probabilities().argmax(axis=0))
    np.testing.assert_allclose(tiled.probabilities().sum(axis=0), 1, atol=1e-5)
    assert tiled.classes().shape == (140, 90)
    monkeypatch.setattr(sides, "MOST", 2048)
    whole = own.predict(pictures, {})["scores"][0]
    assert (whole.classes() == tiled.classes()).mean() > 0.8  # edges of tiles are not those of the picture


def test_a_limited_side_is_answered_in_the_picture_s_size(monkeypatch: pytest.MonkeyPatch) -> None:
    own = model()
    body = encoded(np.repeat(np.repeat(shapes(3, (32, 48))[0], 4, 0), 4, 1))
    small = answer(own, encoded(shapes(3, (32, 48))[0]))
    monkeypatch.setenv("OPTML_MAX_SIDE", "48")
    large = mask(answer(own, body))
    assert large.shape == (128, 192)
    assert (large[2::4, 2::4] == mask(small)).mean() > 0.9


def test_lines_end_only_where_nobody_joins_them() -> None:
    own = model()
    assert answer(own, picture((8, 8)), "application/jsonlines").endswith(b"]]}\n")
    assert answer(own, picture((8, 8)), "application/jsonlines", batch=True).endswith(b"]]}")


def test_requests_are_joined_and_answered_one_by_one() -> None:
    own = model()
    bodies = [picture((20, 30), 1), picture((33, 16), 2)]
    together = own.predict(join([decode(body, JPEG, own) for body in bodies]), {})["scores"]
    for body, one in zip(bodies, together, strict=True):
        assert np.array_equal(one.classes(), mask(answer(own, body)))


def test_the_sample_can_be_answered_and_what_is_no_picture_is_refused() -> None:
    own = model()
    assert mask(answer(own, sample(own, "image/png"))).shape == (32, 32)
    with pytest.raises(UserError, match="the request"):
        decode(b"no picture", JPEG, own)


def test_probabilities_that_no_record_holds_are_refused_before_they_are_made() -> None:
    cut = Cut((0, 1), (0, 1))
    large = np.empty(1, object)
    large[0] = Scored(10_000, 10_000, [Tile(np.zeros((21, 1, 1), np.float32), cut, cut)])
    said = "21 classes at 10000 x 10000 pixels would take 8010 MiB, more than the 511 MiB of a record"
    with pytest.raises(UserError, match=said):
        encode({"scores": large}, PROTOBUF, Answer())

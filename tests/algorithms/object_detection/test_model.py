"""Answers: both shapes, the threshold, what is saved, what is drawn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.answers import Answer  # noqa: E402
from optml.algorithms.object_detection import requests  # noqa: E402
from optml.algorithms.object_detection.model import Model, load, parse_threshold  # noqa: E402
from optml.algorithms.object_detection.requests import Pictures  # noqa: E402
from optml.errors import UserError  # noqa: E402
from optml.formats.content_type import JSON, JSON_LINES, ContentType  # noqa: E402
from tests.algorithms.object_detection.training import SIDE, absorb, channel, learner, small  # noqa: E402
from tests.algorithms.vision.pictures import png  # noqa: E402

TRAIN = channel(8)


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with small():
        state = learner(TRAIN, optimizer="adam", learning_rate=0.002)
        absorb(state, TRAIN, 20)
        yield state.finish()[0]


def pictures(count: int, sizes: tuple[int, int] = (40, 80)) -> Pictures:
    return Pictures(TRAIN.pixels[:count], np.array([sizes] * count))


def texts(model: Model, batch: Pictures, media: str, *, whole: bool = False, **options: str) -> list[Any]:
    columns = model.predict(batch, options)
    return [json.loads(row) for row in requests.encode(columns, media, Answer(batch=whole)).rows]


def test_boxes_are_fractions_best_first(model: Model) -> None:
    (answer,) = texts(model, pictures(1), JSON)
    assert list(answer) == ["prediction"]
    rows = np.array(answer["prediction"])
    assert rows.shape[1] == 6
    assert (np.diff(rows[:, 1]) <= 0).all()
    assert rows[:, 2:].min() >= 0
    assert rows[:, 2:].max() <= 1
    assert rows[0, 0] == TRAIN.truths[0][0, 0]
    np.testing.assert_allclose(rows[0, 2:], TRAIN.truths[0][0, 1:5], atol=0.12)


def test_objects_of_ground_truth_are_pixels_of_the_request(model: Model) -> None:
    plain, answer = (texts(model, pictures(1), JSON, **o)[0] for o in ({}, {"annotation": "1"}))
    assert answer["image_size"] == [{"width": 80, "height": 40, "depth": 3}]
    assert len(answer["annotations"]) == len(plain["prediction"])
    for one, (number, score, left, top, right, bottom) in zip(
        answer["annotations"], plain["prediction"], strict=True
    ):
        assert (one["class_id"], one["score"]) == (number, score)
        assert one["left"] == round(80 * left)
        assert one["top"] == round(40 * top)
        assert one["left"] + one["width"] == round(80 * right)
        assert one["top"] + one["height"] == round(40 * bottom)
        assert all(isinstance(one[name], int) for name in ("class_id", "left", "top", "width", "height"))


def test_nothing_detected_is_an_empty_list(model: Model) -> None:
    none = Model(model.facts, model.arrays)
    none.threshold = 1.0
    assert texts(none, pictures(1), JSON) == [{"prediction": []}]
    assert texts(none, pictures(1), JSON, annotation="1")[0]["annotations"] == []


def test_lines_end_but_for_a_batch_transform_job(model: Model) -> None:
    columns = model.predict(pictures(2), {})
    assert bytes(requests.encode(columns, JSON_LINES, Answer())).count(b"\n") == 2
    assert not bytes(requests.encode(columns, JSON_LINES, Answer(batch=True))).endswith(b"\n")


def test_the_threshold_of_the_environment_holds(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTML_SCORE_THRESHOLD", "0.5")
    scores = np.concatenate(
        [rows[:, 1] for rows in Model(model.facts, model.arrays).detections(TRAIN.pixels)]
    )
    assert scores.min() >= 0.5
    assert 0.01 <= min(rows[:, 1].min() for rows in model.detections(TRAIN.pixels)) < 0.5
    assert parse_threshold(" ") == 0.01
    for text in ("x", "2", "-0.1", "nan"):
        with pytest.raises(UserError, match=f"OPTML_SCORE_THRESHOLD is '{text}'; expected the least score"):
            parse_threshold(text)


def test_a_request_is_stretched_and_keeps_its_size(model: Model) -> None:
    values = np.zeros((20, 30, 3), np.uint8)
    values[:, 15:] = 200
    batch = requests.decode(png(values), ContentType("image/png"), model)
    assert batch.pixels.shape == (1, SIDE, SIDE, 3)
    assert batch.sizes.tolist() == [[20, 30]]
    assert batch.pixels[0, 5, 5, 0] == 0
    assert batch.pixels[0, 5, -5, 0] == 200
    both = requests.join([batch, batch])
    assert len(both) == 2
    one, other = model.detections(both.pixels)
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_what_is_saved_is_loaded_and_says_what_it_is(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path)
    facts = json.loads((tmp_path / "model.json").read_text())["facts"]
    assert facts["base_network"] == "resnet-50"
    assert (facts["layout"], facts["stem"], facts["scaling"]) == ("pre", "7x7", "mean")
    assert (facts["nms_threshold"], facts["nms_topk"], facts["variances"]) == (
        0.45,
        400,
        [0.1, 0.1, 0.2, 0.2],
    )
    assert facts["sizes"][0] == [0.1, pytest.approx(0.141421, abs=1e-6)]
    again = load(tmp_path, "cpu")
    assert again.facts == model.facts
    one, other = (each.detections(TRAIN.pixels[:2]) for each in (model, again))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    document = json.loads((tmp_path / "model.json").read_text())
    document["facts"]["extras"].pop()
    (tmp_path / "model.json").write_text(json.dumps(document))
    with pytest.raises(
        UserError, match="does not describe a detector: ValueError: 5 feature layers, 6 sizes"
    ):
        load(tmp_path, "cpu")


def test_boxes_are_drawn(model: Model, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from optml.algorithms.object_detection.picture import draw

    (batch,) = TRAIN.batches(8)
    assert draw(model, batch, tmp_path / "a.png").startswith("8 pictures with ")
    assert draw(model, pictures(2), tmp_path / "b.png").startswith("2 pictures with ")
    assert (tmp_path / "a.png").stat().st_size > 20_000

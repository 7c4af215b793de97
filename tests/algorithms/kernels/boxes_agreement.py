"""Cases that every path of `kernels/boxes` is held to. A path has the functions of the operation, of tensors
on a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from optml.algorithms.kernels.boxes import reference

VARIANCES = (0.1, 0.1, 0.2, 0.2)
WAYS: list[dict[str, Any]] = [
    {},
    {"topk": 7},
    {"force": True, "nms_threshold": 0.3},
    {"topk": -1, "threshold": 0.5},
    {"nms_threshold": 0.0, "topk": 20},
]


def boxes(rng: np.random.Generator, *shape: int) -> np.ndarray:
    centres, halves = rng.uniform(0, 1, (*shape, 2)), rng.uniform(0.02, 0.3, (*shape, 2))
    return np.concatenate([centres - halves, centres + halves], axis=-1).astype(np.float32)


def truths(rng: np.random.Generator, images: int, most: int, classes: int) -> np.ndarray:
    """(images, most, 5), of the first image none, of the others some."""
    rows = np.full((images, most, 5), -1, np.float32)
    for image in range(1, images):
        number = int(rng.integers(0, most + 1))
        rows[image, :number, 0] = rng.integers(0, classes, number)
        rows[image, :number, 1:] = boxes(rng, number)
    return rows


def targets_agree(path: Any, seed: int, anchors: int = 300, images: int = 3, most: int = 12) -> None:
    """Every choice is the reference's, offsets to float32."""
    rng = np.random.default_rng(seed)
    places, rows = boxes(rng, anchors), truths(rng, images, most, 5)
    labels, offsets = path.assign(torch.from_numpy(places), torch.from_numpy(rows), VARIANCES)
    expected, moves = reference.assign(places, rows, VARIANCES)
    np.testing.assert_array_equal(labels.numpy(), expected)
    np.testing.assert_allclose(offsets.numpy(), moves, rtol=1e-6, atol=1e-6)
    background = rng.random(expected.shape).astype(np.float32).round(2)  # with equal ones
    for ratio in (3.0, 0.7, 1000.0):
        mined = path.mine(labels, torch.from_numpy(background), ratio)
        np.testing.assert_array_equal(mined.numpy(), reference.mine(expected, background, ratio))


def detections_agree(
    path: Any, seed: int, anchors: int, images: int = 2, ways: list[dict[str, Any]] = WAYS
) -> None:
    rng = np.random.default_rng(seed)
    places = boxes(rng, anchors)
    chances = rng.dirichlet(np.full(6, 0.3), (images, anchors)).astype(np.float32).round(2)  # with equal ones
    offsets = rng.normal(size=(images, anchors, 4)).astype(np.float32)
    for way in ways:
        compare(path, chances, offsets, places, **way)


def compare(path: Any, chances: np.ndarray, offsets: np.ndarray, anchors: np.ndarray, **way: Any) -> Any:
    arrays = map(torch.from_numpy, (chances, offsets, anchors))
    answers = path.detect(*arrays, VARIANCES, **way).numpy()
    topk = way.get("topk", 400)
    assert answers.shape == (len(chances), min(topk, len(anchors)) if topk > 0 else len(anchors), 6)
    for rows, own in zip(answers, reference.detect(chances, offsets, anchors, VARIANCES, **way), strict=True):
        assert (rows[len(own) :] == -1).all()
        np.testing.assert_array_equal(rows[: len(own), :2], own[:, :2].astype(np.float32))
        np.testing.assert_allclose(rows[: len(own), 2:], own[:, 2:], rtol=0, atol=1e-6)
    return answers


def pairs_by_hand(path: Any) -> None:
    """Quarters of the image as anchors, and one half: sides are powers of two, so that IoUs are exact."""
    anchors = np.array(
        [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1], [0, 0, 1, 0.5]], np.float32
    )

    def labels(*rows: tuple[float, ...]) -> list[int]:
        given = torch.from_numpy(np.array([rows], np.float32))
        own: list[int] = path.assign(torch.from_numpy(anchors), given, VARIANCES)[0][0].tolist()
        return own

    # Two truths want anchor 0; the first has it, and the other what is best of the rest.
    assert labels((7, 0, 0, 0.5, 0.5), (3, 0, 0, 0.5, 0.5)) == [8, 0, 0, 0, 4]
    # An IoU of just 1/2 is no second one, and no negative either.
    assert labels((2, 0, 0, 0.5, 0.5)) == [3, 0, 0, 0, -1]
    # Equally near anchors, 2 and 3: the lowest.
    assert labels((1, 0.25, 0.5, 0.75, 1)) == [0, 0, 2, 0, 0]
    # A truth beside every anchor gets none.
    assert labels((1, 2, 2, 3, 3)) == [0, 0, 0, 0, 0]
    # Padding in between is passed over; padding alone makes no example.
    assert labels((-1, 0, 0, 1, 1), (0, 0.5, 0.5, 1, 1)) == [0, 0, 0, 1, 0]
    assert labels((-1, 0, 0, 1, 1)) == [-1] * 5
    # More truths than anchors.
    many = labels(*[(float(t), 0.0, 0.0, 1.0, 1.0) for t in range(9)])
    assert sorted(many) == [1, 2, 3, 4, 5]


def suppression_by_hand(path: Any) -> None:
    """IoU of neighbours is 1/2 exactly: a box goes at the threshold; one that has gone takes none along."""
    anchors = np.array([[0, 0, 0.75, 1], [0.25, 0, 1, 1], [0.5, 0, 1.25, 1]], np.float32)
    chances = np.zeros((1, 3, 3), np.float32)
    chances[0, :, 1], chances[0, 2, 1], chances[0, 1, 1] = 0.9, 0.7, 0.8
    still = np.zeros((1, 3, 4), np.float32)
    assert compare(path, chances, still, anchors, nms_threshold=0.5)[0, :, 1].tolist() == [
        np.float32(0.9),
        np.float32(0.7),
        -1,
    ]
    above = compare(path, chances, still, anchors, nms_threshold=0.51)
    assert (above[0, :2, 1] == chances[0, :2, 1]).all()
    chances[0, 1] = [0, 0, 0.8]
    assert (compare(path, chances, still, anchors, nms_threshold=0.5)[0, :, 0] == [0, 1, 0]).all()
    assert (
        compare(path, chances, still, anchors, nms_threshold=0.5, force=True)[0, :, 0] == [0, 0, -1]
    ).all()


def scores_at_the_threshold_stay(path: Any) -> None:
    anchors = np.array([[0, 0, 1, 1], [0, 0, 1, 1]], np.float32)
    chances = np.array([[[0.99, 0.01], [1, np.nextafter(np.float32(0.01), np.float32(0))]]], np.float32)
    assert (compare(path, chances, np.zeros((1, 2, 4), np.float32), anchors)[0, :, 0] == [0, -1]).all()


def nothing_is_detected_in_noise_of_no_number(path: Any) -> None:
    chances, offsets = np.full((1, 4, 3), np.nan, np.float32), np.zeros((1, 4, 4), np.float32)
    anchors = np.tile(np.array([0, 0, 1, 1], np.float32), (4, 1))
    arrays = map(torch.from_numpy, (chances, offsets, anchors))
    assert (path.detect(*arrays, VARIANCES) == -1).all()

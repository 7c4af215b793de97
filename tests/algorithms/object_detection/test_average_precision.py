"""Average precision by hand, and against a plain count on random cases."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.object_detection.average_precision import (  # noqa: E402
    AveragePrecision,
    area,
    eleven_points,
)
from tests.algorithms.hosts import on_hosts  # noqa: E402

A, B, FAR = [0.0, 0, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9], [0.6, 0, 0.9, 0.2]


def found(*rows: tuple[int, float, list[float]]) -> np.ndarray:
    return np.array([[number, score, *box] for number, score, box in rows], np.float32).reshape(-1, 6)


def truths(*rows: tuple[int, list[float]], difficult: tuple[int, ...] = ()) -> np.ndarray:
    values = [[number, *box, place in difficult] for place, (number, box) in enumerate(rows)]
    return np.array(values, np.float32).reshape(-1, 6)


def measured(*images: tuple[np.ndarray, np.ndarray], classes: int = 2) -> AveragePrecision:
    own = AveragePrecision(classes)
    for detections, known in images:
        own.add(detections, known)
    return own


def test_what_is_all_right_is_one() -> None:
    own = measured((found((0, 0.9, A), (1, 0.8, B)), truths((0, A), (1, B))))
    assert own.by_class().tolist() == [1, 1]
    assert own.mean() == 1
    assert own.voc07() == pytest.approx(1)


def test_a_second_box_of_a_truth_is_wrong() -> None:
    own = measured((found((0, 0.9, A), (0, 0.8, A), (0, 0.7, B)), truths((0, A), (0, B))))
    # precisions 1, 1/2, 2/3 at recalls 1/2, 1/2, 1
    assert own.by_class()[0] == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    assert own.voc07() == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)


def test_a_box_of_another_class_or_place_is_wrong_and_a_missed_truth_counts() -> None:
    own = measured((found((1, 0.9, A), (0, 0.8, FAR), (0, 0.5, A)), truths((0, A), (0, B))))
    assert own.by_class()[0] == pytest.approx(1 / 2 * 1 / 2)
    assert np.isnan(own.by_class()[1])  # no truth of it anywhere
    assert own.mean() == pytest.approx(1 / 4)
    assert own.voc07() == pytest.approx((6 / 2 / 11 + 0) / 2)  # where a class that was detected counts as 0


def test_difficult_truths_are_passed_over_both_ways() -> None:
    own = measured((found((0, 0.9, A), (0, 0.8, B)), truths((0, A), (0, B), difficult=(0,))))
    assert own.by_class()[0] == 1
    only = measured((found((0, 0.9, A)), truths((0, A), difficult=(0,))))
    assert only.mean() == 0
    assert np.isnan(only.by_class()).all()


def test_pictures_without_truths_count_but_for_mxnets_rules() -> None:
    own = measured((found((0, 0.9, A)), truths()), (found((0, 0.8, A)), truths((0, A))))
    assert own.mean() == pytest.approx(1 / 2)
    assert own.voc07() == pytest.approx(1)


def test_the_overlap_that_counts_is_more_than_the_threshold() -> None:
    half = [0.0, 0, 0.4, 0.2]  # IoU of 1/2 with A, but for rounding of float32
    own = AveragePrecision(1, threshold=0.49)
    own.add(found((0, 0.9, half)), truths((0, A)))
    assert own.mean() == 1
    own = AveragePrecision(1, threshold=0.51)
    own.add(found((0, 0.9, half)), truths((0, A)))
    assert own.mean() == 0


def test_no_truth_at_all_is_zero() -> None:
    assert measured((found((0, 0.9, A)), truths())).mean() == 0
    assert AveragePrecision(3).voc07() == 0


def test_areas_by_hand() -> None:
    recall, precision = np.array([0.25, 0.25, 0.5]), np.array([1.0, 0.5, 2 / 3])
    assert area(recall, precision) == pytest.approx(0.25 + 0.25 * 2 / 3)
    assert eleven_points(recall, precision) == pytest.approx((3 * 1 + 3 * 2 / 3) / 11)
    assert area(np.empty(0), np.empty(0)) == eleven_points(np.empty(0), np.empty(0)) == 0


def plain(images: list[tuple[np.ndarray, np.ndarray]], number: int) -> float:
    """Pascal VOC's count of one class, over all detections by score."""
    rows = [
        (float(row[1]), place, row[2:])
        for place, (own, _) in enumerate(images)
        for row in own
        if row[0] == number
    ]
    known = [[(t[1:5], bool(t[5])) for t in own if t[0] == number] for _, own in images]
    taken = [[False] * len(own) for own in known]
    total = sum(not hard for own in known for _, hard in own)
    if not total:
        return float("nan")
    right, wrong, steps = 0, 0, []
    for _, place, box in sorted(rows, key=lambda row: -row[0]):
        ious = [_iou(box, other) for other, _ in known[place]]
        best = int(np.argmax(ious)) if ious else -1
        if ious and ious[best] > 0.5:
            if known[place][best][1]:
                continue
            right, wrong = (right, wrong + 1) if taken[place][best] else (right + 1, wrong)
            taken[place][best] = True
        else:
            wrong += 1
        steps.append((right / total, right / (right + wrong)))
    value, before = 0.0, 0.0
    for place, (recall, _) in enumerate(steps):
        value += (recall - before) * max(p for _, p in steps[place:])
        before = recall
    return value


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one.astype(float), other.astype(float)
    width, height = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    both = max(width, 0) * max(height, 0)
    return float(both / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - both))


def random_images(seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(seed)
    images = []
    for _ in range(int(random.integers(1, 5))):
        corners = random.uniform(0, 0.7, (int(random.integers(0, 5)), 2))
        boxes = np.concatenate([corners, corners + random.uniform(0.1, 0.3, corners.shape)], axis=1)
        known = np.column_stack([random.integers(0, 3, len(boxes)), boxes, random.random(len(boxes)) < 0.2])
        near = boxes[random.integers(0, len(boxes), 8)] if len(boxes) else random.uniform(0, 1, (0, 4))
        near = near + random.normal(0, 0.03, near.shape)
        scores = np.sort(random.random(len(near)))[::-1]
        images.append((np.column_stack([random.integers(0, 3, len(near)), scores, near]), known))
    return [(a.astype(np.float32), b.astype(np.float32)) for a, b in images]


def test_it_is_pascals_count_on_200_random_cases() -> None:
    for seed in range(200):
        images = random_images(seed)
        expected = [plain(images, number) for number in range(3)]
        np.testing.assert_allclose(measured(*images, classes=3).by_class(), expected, atol=1e-12)


def test_hosts_measure_what_one_would() -> None:
    images = random_images(3) + random_images(4)

    def host(cluster):  # type: ignore[no-untyped-def]
        own = measured(*images[cluster.rank :: 2], classes=3)
        own.gather(cluster)
        return own.mean(), own.voc07()

    alone = measured(*images, classes=3)
    for value, voc07 in on_hosts(2, host):
        assert (value, voc07) == (pytest.approx(alone.mean()), pytest.approx(alone.voc07()))

"""Boxes of a detector on a CPU against their definition."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.kernels import boxes  # noqa: E402
from optml.algorithms.kernels.boxes import reference  # noqa: E402
from optml.algorithms.kernels.machine import threads  # noqa: E402
from tests.algorithms.kernels import boxes_agreement as agreement  # noqa: E402


def test_targets_and_negatives_are_the_references_on_200_random_cases() -> None:
    for seed in range(200):
        agreement.targets_agree(boxes, seed, anchors=250 + seed)


def test_detections_are_the_references_on_200_random_cases() -> None:
    for seed in range(200):
        agreement.detections_agree(boxes, seed, anchors=1 + seed)


def test_pairs_come_out_as_by_hand() -> None:
    agreement.pairs_by_hand(boxes)


def test_suppression_comes_out_as_by_hand() -> None:
    agreement.suppression_by_hand(boxes)


def test_a_score_of_just_the_threshold_stays() -> None:
    agreement.scores_at_the_threshold_stay(boxes)


def test_probabilities_that_are_no_numbers_detect_nothing() -> None:
    agreement.nothing_is_detected_in_noise_of_no_number(boxes)


def test_offsets_without_bound_stay_in_the_image() -> None:
    anchors = np.array([[0.25, 0.25, 0.75, 0.75]] * 3, np.float32)
    offsets = np.array([[[0, 0, 1e30, 1e30], [1e30, -1e30, 0, 0], [0, 0, -1e30, -1e30]]], np.float32)
    chances = np.array([[[0.1, 0.9], [0.1, 0.8], [0.1, 0.7]]], np.float32)
    arrays = map(torch.from_numpy, (chances, offsets, anchors))
    rows = boxes.detect(*arrays, agreement.VARIANCES).numpy()
    assert rows[0, :, 2:].tolist() == [[0, 0, 1, 1], [1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5]]


def test_an_image_without_places_for_truths_has_no_examples() -> None:
    labels, offsets = boxes.assign(torch.rand(9, 4), torch.empty(2, 0, 5), agreement.VARIANCES)
    assert (labels == -1).all()
    assert not offsets.any()


def test_iou_by_hand() -> None:
    one, others = (
        np.array([[0.0, 0, 2, 2]]),
        np.array([[1.0, 1, 3, 3], [0, 0, 2, 2], [5, 5, 6, 6], [2, 0, 3, 2]]),
    )
    np.testing.assert_allclose(reference.overlaps(one, others), [[1 / 7, 1, 0, 0]])
    empty = np.zeros((1, 4))
    assert reference.overlaps(empty, empty) == 0


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    anchors = torch.from_numpy(agreement.boxes(rng, 5000))
    rows = torch.from_numpy(agreement.truths(rng, 5, 20, 3))
    chances, offsets = torch.rand(5, 5000, 4), torch.randn(5, 5000, 4)
    answers = []
    for number in (1, 3):
        monkeypatch.setattr(threads, "count", lambda number=number: number)
        found = [*boxes.assign(anchors, rows, agreement.VARIANCES)]
        found.append(boxes.detect(chances, offsets, anchors, agreement.VARIANCES))
        answers.append([part.numpy().tobytes() for part in found])
    assert answers[0] == answers[1]

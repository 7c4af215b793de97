"""Mean average precision of detections, as Pascal VOC and MXNet's example count it.

Of each image the detections of a class, best score first, each take the truth that they overlap most: a true
positive where IoU > threshold and nobody took it before; not counted where that truth is difficult; else a
false one. Over all images, by score, recall and precision follow; the average precision is the area under
precision made monotone ("envelope"), or the mean of its largest values at recalls of 0, .1 ... 1 ("VOC07").
Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", IJCV 2010, section 4.2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from optml.algorithms.cluster import Cluster
from optml.algorithms.kernels.boxes.reference import overlaps

CLASS, SCORE, TRUE, SEEN = range(4)  # columns of a record; SEEN: its image has a truth
Area = Callable[[np.ndarray, np.ndarray], float]


class AveragePrecision:
    """Of so many classes; images are added one by one."""

    def __init__(self, classes: int, threshold: float = 0.5) -> None:
        self._threshold = threshold
        self._records: list[np.ndarray] = [np.empty((0, 4))]
        self._counts = np.zeros(classes)  # truths that are not difficult

    def add(self, detections: np.ndarray, truths: np.ndarray) -> None:
        """detections: (k, 6): class, score, box, by score.   truths: (m, 6): class, box, difficult."""
        detections, truths = detections.astype(np.float64), truths.astype(np.float64)
        easy = truths[truths[:, 5] < 1]
        np.add.at(self._counts, easy[:, 0].astype(int), 1)
        records = np.zeros((len(detections), 4))
        records[:, :2] = detections[:, :2]
        records[:, SEEN] = len(truths) > 0
        keep = np.ones(len(detections), bool)
        for number in np.unique(detections[:, 0]).tolist():
            own = np.flatnonzero(detections[:, 0] == number)
            rows = truths[truths[:, 0] == number]
            if not len(rows):
                continue
            iou = overlaps(detections[own, 2:], rows[:, 1:5])
            best = iou.argmax(axis=1)
            close = iou[np.arange(len(own)), best] > self._threshold
            difficult = rows[best, 5] > 0
            keep[own] = ~(close & difficult)
            places = np.flatnonzero(close & ~difficult)
            _, first = np.unique(best[places], return_index=True)
            records[own[places[first]], TRUE] = 1
        self._records.append(records[keep])

    def gather(self, cluster: Cluster) -> None:
        """Join what all hosts have. A collective."""
        self._records = cluster.gather(np.concatenate(self._records))
        cluster.all_sum(self._counts)

    def by_class(self) -> np.ndarray:
        """(classes,) of the envelope; NaN of a class without truths."""
        return self._of(area)

    def mean(self) -> float:
        """Over the classes with truths; 0 where there are none."""
        return _mean(self.by_class())

    def voc07(self) -> float:
        """The mean as MXNet's example has it: images without truths are passed over, and a class without
        truths counts as 0 where it was detected in another image."""
        records = np.concatenate(self._records)
        values = self._of(eleven_points, seen=True)
        detected = np.unique(records[records[:, SEEN] > 0, CLASS].astype(int))
        wrong = [number for number in detected.tolist() if not self._counts[number]]
        values[wrong] = 0.0
        return _mean(values)

    def _of(self, measure: Area, seen: bool = False) -> np.ndarray:
        records = np.concatenate(self._records)
        if seen:
            records = records[records[:, SEEN] > 0]
        values = np.full(len(self._counts), np.nan)
        for number in np.flatnonzero(self._counts).tolist():
            own = records[records[:, CLASS] == number]
            own = own[np.argsort(-own[:, SCORE], kind="stable")]
            true = own[:, TRUE].cumsum()
            values[number] = measure(true / self._counts[number], true / np.arange(1, len(own) + 1))
        return values


def area(recall: np.ndarray, precision: np.ndarray) -> float:
    """Under the monotone envelope; both (k,), in the order of the scores."""
    if not len(recall):
        return 0.0
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * envelope).sum())


def eleven_points(recall: np.ndarray, precision: np.ndarray) -> float:
    """The mean of the largest precision at recalls of at least 0, .1 ... 1."""
    points = np.arange(0.0, 1.1, 0.1)
    return sum(float(precision[recall >= point].max(initial=0.0)) for point in points) / len(points)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0

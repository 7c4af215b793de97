"""Means and standard deviations of features and labels, and how often each class occurs, from the first rows.

Two passes over those rows, in float64, summed over the hosts: no digits are lost however far a feature lies
from 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from optml.algorithms.cluster import Cluster
from optml.algorithms.linear_learner.hyperparameters import Hyperparameters
from optml.formats.records import Features, Records


@dataclass(frozen=True, slots=True)
class Scaler:
    """mean, stdev: (d,) float64 of the features; the population's, 1 where a feature is constant.
    label:  (2,) mean and standard deviation of the labels.
    counts: (classes,) rows of each class; empty of a regressor.
    still:  (d,) bool, features that are constant and not 0.
    """

    mean: np.ndarray
    stdev: np.ndarray
    label: np.ndarray
    counts: np.ndarray
    still: np.ndarray

    @classmethod
    def fit(cls, batches: Sequence[Records], d: int, classes: int, cluster: Cluster) -> Scaler:
        """Of the rows of this host and of all others, at least one together, of d features."""
        rows = np.zeros(1)
        sums, label = np.zeros(d), np.zeros(1)
        counts = np.zeros(classes)
        for batch in batches:
            rows += len(batch)
            sums += _sums(batch.features, d)
            y = _labels(batch)
            label += y.sum()
            if classes:
                counts += np.bincount(y.astype(np.intp), minlength=classes)
        cluster.all_sum(rows, sums, label, counts)
        mean, label_mean = sums / rows, label / rows
        squares, label_squares = np.zeros(d), np.zeros(1)
        for batch in batches:
            squares += _squares(batch, mean)
            label_squares += np.square(_labels(batch) - label_mean).sum()
        cluster.all_sum(squares, label_squares)
        stdev, label_stdev = np.sqrt(squares / rows), np.sqrt(label_squares / rows)
        rounding = 1e-12 * np.abs(mean)  # of a mean of equal numbers
        constant = stdev <= np.maximum(rounding, np.finfo(np.float32).tiny)  # below, 1 / stdev overflows
        stdev[constant] = 1
        spread = label_stdev if label_stdev > 0 else np.ones(1)
        return cls(mean, stdev, np.concatenate([label_mean, spread]), counts, constant & (mean != 0))

    def shift(self, hyperparameters: Hyperparameters) -> np.ndarray:
        """What is subtracted from the features before they are scaled, (d,) float64."""
        unbias = hyperparameters.unbias_data
        centres = hyperparameters.use_bias if unbias == "auto" else unbias
        return self.mean if centres else np.zeros_like(self.mean)

    def scale(self, hyperparameters: Hyperparameters) -> np.ndarray:
        """What features are multiplied by, (d,) float64."""
        return 1 / self.stdev if hyperparameters.normalize_data else np.ones_like(self.stdev)

    def label_shift(self, hyperparameters: Hyperparameters) -> float:
        """What is subtracted from the labels of a regressor; of classes nothing."""
        unbias = hyperparameters.unbias_label
        centres = hyperparameters.use_bias if unbias == "auto" else unbias
        return float(self.label[0]) if centres and _regressor(hyperparameters) else 0.0

    def label_scale(self, hyperparameters: Hyperparameters) -> float:
        """What the labels of a regressor are divided by; of classes 1."""
        return (
            float(self.label[1]) if hyperparameters.normalize_label and _regressor(hyperparameters) else 1.0
        )

    def state_dict(self) -> dict[str, np.ndarray]:
        return {f"scaler_{name}": array for name, array in asdict(self).items()}

    @classmethod
    def of_state_dict(cls, state: Mapping[str, np.ndarray]) -> Scaler:
        return cls(*(np.array(state[f"scaler_{name}"]) for name in cls.__dataclass_fields__))


def _labels(batch: Records) -> np.ndarray:
    assert batch.labels is not None
    labels: np.ndarray = batch.labels[:, 0]
    return labels


def _sums(features: Features, d: int) -> np.ndarray:
    """(d,) float64."""
    if isinstance(features, np.ndarray):
        return np.asarray(features.sum(axis=0, dtype=np.float64))
    return np.bincount(features.indices, weights=features.data, minlength=d)


def _squares(batch: Records, mean: np.ndarray) -> np.ndarray:
    """Sum of squared differences from the mean, (d,) float64; of sparse rows without making them dense."""
    features = batch.features
    if isinstance(features, np.ndarray):
        differences = features - mean
        return np.asarray(np.einsum("ij,ij->j", differences, differences))
    d = len(mean)
    there = np.bincount(features.indices, minlength=d)
    differences = features.data - mean[features.indices]
    of_entries = np.bincount(features.indices, weights=differences * differences, minlength=d)
    return np.asarray(of_entries + (len(batch) - there) * mean * mean)


def _regressor(hyperparameters: Hyperparameters) -> bool:
    return hyperparameters.predictor_type == "regressor"

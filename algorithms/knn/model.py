"""Points with labels that answer for the queries near them; artifacts, which are AWS's own files.

model_algo-1          the index, as FAISS writes it
model_algo-1.labels   (n,) float32, little-endian, in the order of the index
model_algo-1.json     `settings.py`
model.json, model.safetensors   ours: who wrote it, and what a flat index would compute again
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from optml.algorithms import artifact
from optml.algorithms.knn import flat, index, inverted, vote
from optml.algorithms.knn.index import Index
from optml.algorithms.knn.settings import ModelSettings, read
from optml.algorithms.knn.space import Space, require_moderate
from optml.errors import UserError
from optml.formats.records import Columns, Records

INDEX, LABELS, SETTINGS = "model_algo-1", "model_algo-1.labels", "model_algo-1.json"


class Neighbours(NamedTuple):
    """Of q queries, nearest first; m = min(k, n).

    distances: (q, m) float32 as they are answered.   labels: (q, m) float32.   places: (q, m) int64 in the
    index.   there: (q, m) bool, false where inverted lists held no more.
    """

    distances: np.ndarray
    labels: np.ndarray
    places: np.ndarray
    there: np.ndarray


class Model:
    """index: of n points.   labels: (n,) float32."""

    def __init__(
        self,
        index: Index,
        labels: np.ndarray,
        settings: ModelSettings,
        hyperparameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.index = index
        self.labels = labels
        self.settings = settings
        self.hyperparameters = dict(hyperparameters or {})
        reduction = settings.reduction
        self.width = settings.feature_dim or (reduction.input_dim if reduction else index.width)
        # Products of unit vectors are cosines; AWS's files do not name the metric.
        self._metric = ("COSINE" if settings.normalize else "INNER_PRODUCT") if index.inner else "L2"
        self._space = Space(self.width, index.width, reduction, settings.normalize)

    def predict(self, batch: Records, options: Mapping[str, str]) -> Columns:
        """predicted_label (q,) float32; with the option `verbose` also distances and labels (q, m) of the
        neighbours, with `indices` their places in the index, with `scores` the classes that they voted for
        and each one's share. Lists are masked where neighbours are missing."""
        rows = batch.dense()
        if rows.shape[1] != self.width:
            raise UserError(
                f"{batch.where(0)} has {rows.shape[1]} values, but the model was trained with "
                f"{self.width} features"
            )
        require_moderate(rows, batch.where)
        near = self.neighbours(rows)
        columns = {"predicted_label": self.judge(near)}
        if options.get("verbose") == "true":
            columns |= {name: _listed(getattr(near, name), near.there) for name in ("distances", "labels")}
        if options.get("indices") == "true":
            columns["indices"] = _listed(near.places, near.there)
        if options.get("scores") == "true":
            if self.settings.predictor_type != "classifier":
                raise UserError("scores=true asks for shares of votes, but this model is a regressor")
            columns["classes"], columns["scores"] = vote.shares(near.labels, near.there)
        return columns

    def neighbours(self, rows: np.ndarray) -> Neighbours:
        """The k nearest points to rows (q, feature_dim) float32."""
        values, places = self.index.search(self._space.place(rows), self.settings.k)
        there = places != inverted.ABSENT
        if self._metric == "COSINE":
            values = np.maximum(1 - values, 0)
        elif self._metric == "L2" and self.settings.distance_sqrt:
            values = np.sqrt(values)
        return Neighbours(values, self.labels[places], places, there)

    def judge(self, near: Neighbours, k: int | None = None) -> np.ndarray:
        """The answer (q,) float32 of the neighbours, or of the first k of them."""
        labels, there = near.labels[:, :k], near.there[:, :k]
        if self.settings.predictor_type == "regressor":
            return vote.mean(labels, there)
        distances = near.distances[:, :k]
        return vote.majority(labels, -distances if self._metric == "INNER_PRODUCT" else distances, there)

    def save(self, folder: Path) -> None:
        """Write the files that are listed above."""
        artifact.write(folder, "knn", self.index.arrays, self.hyperparameters)
        self.index.save(folder / INDEX)
        (folder / LABELS).write_bytes(np.asarray(self.labels, "<f4").tobytes())
        self.settings.write(folder / SETTINGS)


def load(folder: Path, device: str) -> Model:
    """Map an artifact of ours, or one of AWS's. Raises UserError that says what is wrong with it."""
    hyperparameters: Mapping[str, Any] = {}
    terms: Mapping[str, np.ndarray] = {}
    if artifact.exists(folder):
        ours = artifact.read(folder, "knn")
        hyperparameters, terms = ours.hyperparameters, ours.arrays
    for name in (INDEX, LABELS, SETTINGS):
        if not (folder / name).is_file():
            raise UserError(
                f"{folder / name} is missing: a model of knn is the files {INDEX}, {LABELS} and {SETTINGS}"
            )
    settings = read(folder / SETTINGS)
    points = index.load(folder / INDEX, nprobe=settings.nprobe, device=device, terms=terms)
    labels = np.fromfile(folder / LABELS, "<f4")
    if len(labels) != len(points):
        raise UserError(f"{folder / LABELS} holds {len(labels)} labels, but the index {len(points)} points")
    if not np.isfinite(labels).all():
        raise UserError(
            f"{folder / LABELS} is damaged: label {int(np.isfinite(labels).argmin())} is no number"
        )
    _check(settings, points, folder / SETTINGS)
    return Model(points, labels, settings, hyperparameters)


def recognises(folder: Path) -> bool:
    """Is this what AWS's image writes: an index of FAISS's with labels and settings beside it?"""
    if not all((folder / name).is_file() for name in (INDEX, LABELS, SETTINGS)):
        return False
    return index.code_of(folder / INDEX) in (flat.L2, flat.INNER, *inverted.KINDS)


def _check(settings: ModelSettings, points: Index, path: Path) -> None:
    """Do the settings fit the index?"""
    reduction = settings.reduction
    width = reduction.target_dim if reduction else settings.feature_dim or points.width
    if width > points.width or (settings.pad_dim or points.width) != points.width:
        raise UserError(f"{path}: {width} dimensions, but the points of {INDEX} have {points.width}")
    if reduction and settings.feature_dim not in (None, reduction.input_dim):
        raise UserError(
            f"{path}: key 'feature_dim' is {settings.feature_dim}, but 'dimension_reduction.input_dim' "
            f"{reduction.input_dim}"
        )
    metric = settings.index_metric
    if metric is not None and (metric != "L2") != points.inner:
        raise UserError(
            f"{path}: key 'index_metric' is \"{metric}\", but {INDEX} is an index of "
            f"{'inner products' if points.inner else 'L2 distances'}"
        )
    if metric is not None and (metric == "COSINE") != settings.normalize:
        raise UserError(
            f"{path}: keys 'index_metric' and 'normalize' do not fit: COSINE, and no other, normalizes"
        )


def _listed(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    return values if there.all() else np.ma.array(values, mask=~there)

"""K-Nearest Neighbors: sample the rows in one pass, then index the sample."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from optml import memory
from optml.algorithms.base import Setting
from optml.algorithms.knn import inverted
from optml.algorithms.knn.flat import Flat
from optml.algorithms.knn.hyperparameters import Hyperparameters, require_fewer
from optml.algorithms.knn.index import Index
from optml.algorithms.knn.model import Model
from optml.algorithms.knn.reduction import Reduction
from optml.algorithms.knn.sample import Reservoir, Sample
from optml.algorithms.knn.scores import Scores
from optml.algorithms.knn.settings import ModelSettings
from optml.algorithms.knn.space import Space, require_moderate
from optml.algorithms.metrics import Metric
from optml.errors import UserError
from optml.formats.records import Records

log = logging.getLogger(__name__)

EXACT = 1 << 24  # integers up to which float32 holds every one
CLASSES = 10_000  # distinct labels that look like those of a regression


@dataclass(frozen=True, slots=True)
class Rows:
    """What is left of a batch. features: (n, d) float32.   labels: (n,) float32.   places: (n,) in it."""

    features: np.ndarray
    labels: np.ndarray
    places: np.ndarray


class Learner:
    """State: a reservoir of rows that are reduced already, and how many batches and rows went by."""

    round: int | None = None
    lockstep = False

    def __init__(self, setting: Setting) -> None:
        self.hyperparameters: Hyperparameters = setting.hyperparameters
        self.cluster = setting.cluster
        self.device = setting.device
        self.seed = setting.seed
        self.batches = 0
        self.missing = 0  # rows left out for a NaN
        self.reservoir = Reservoir(self.hyperparameters.sample_size, self.seed, self.cluster.rank)
        self._space: Space | None = None
        self._model: Model | None = None
        self._announce()

    def update(self, batch: Records) -> Iterable[Metric]:
        rows = self._rows(batch)
        self.missing += len(batch) - len(rows.labels)
        if self._space is None:
            self._space = self._make_space(batch.width)
        # Batch j of all hosts' is batch j // H of host j mod H: positions are those of a job on one host.
        batch_number = self.batches * self.cluster.size + self.cluster.rank
        positions = batch_number * self.hyperparameters.mini_batch_size + rows.places
        self.reservoir.absorb(rows.features, rows.labels, positions, self._space.place)
        self.batches += 1
        return ()

    def end_round(self) -> Iterable[Metric]:
        return ()

    def evaluate(self, channel: str, batches: Iterable[Records]) -> Iterable[Metric]:
        """Accuracy and the mean F1 over the labels that occur, or the mean squared error, over all hosts."""
        if self._model is None:
            raise RuntimeError("K-Nearest Neighbors scores a channel after `finish`")
        scores = Scores(self._model, self.hyperparameters.k)
        for batch in batches:
            if batch.width != self._model.width:
                raise UserError(
                    f"{batch.where(0)} has {batch.width} features, but those of channel 'train' have "
                    f"{self._model.width}"
                )
            rows = self._rows(batch)
            log.info("Searching index...")
            began = time.monotonic()
            scores.add(rows.features, rows.labels)
            log.info("...Done searching index in %d second(s)", time.monotonic() - began)
        return scores.metrics(channel, self.cluster)

    def stopping(self) -> None:
        return None

    def state_dict(self) -> dict[str, np.ndarray]:
        counts = {"batches": np.array(self.batches), "missing": np.array(self.missing)}
        width = -1 if self._space is None else self._space.feature_dim
        return counts | {"width": np.array(width)} | self.reservoir.state_dict()

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.batches, self.missing = int(state["batches"]), int(state["missing"])
        self.reservoir.load_state_dict(state)
        self.seed = self.reservoir.seed
        if state["width"] >= 0:
            self._space = self._make_space(int(state["width"]))

    def model(self) -> Model | None:
        sample = self.reservoir.sample()
        try:
            return None if sample is None else self._index(sample)
        except UserError as error:  # too few rows so far
            log.warning("%s", error)
            return None

    def finish(self) -> tuple[Model, Iterable[Metric]]:
        host = self.cluster.host
        width = self._agreed_width()
        log.info("Getting reservoir sample from %s...", host)
        sample = self.reservoir.gather(self.cluster)
        missing = np.array([self.missing])
        self.cluster.all_sum(missing)
        if sample is None:
            raise UserError(
                f"channel 'train' holds no row to learn from: each of its {missing[0]} rows has a NaN"
                if missing[0]
                else "channel 'train' is empty: there are no records in its data"
            )
        log.info(
            "...Got reservoir sample from %s: data=%s, labels=%s, NaNs=%d",
            host,
            sample.rows.shape,
            sample.labels.shape,
            missing[0],
        )
        if missing[0]:
            log.warning("%d rows of channel 'train' hold NaN (or nothing) and are left out", missing[0])
        self._space = self._space or self._make_space(width)  # no row came to this host
        self._model = self._index(sample)
        return self._model, ()

    def _agreed_width(self) -> int:
        """The features of a row, the same on every host that has any; 0 where none has."""
        mine = -1 if self._space is None else self._space.feature_dim
        widths = {int(host[0]) for host in self.cluster.gather(np.array([mine]))} - {-1}
        if len(widths) > 1:
            counts = " and ".join(map(str, sorted(widths)))
            raise UserError(
                f"the hosts of the job have rows of {counts} features: all rows must have as many"
            )
        return widths.pop() if widths else 0

    def _rows(self, batch: Records) -> Rows:
        """The rows without NaN. Raises UserError for labels that are missing and numbers beyond float32."""
        if batch.labels is None:
            raise UserError(
                f"{batch.where(0)} has no label: CSV needs the label first and content type "
                "text/csv;label_size=1, RecordIO-protobuf a label 'values'"
            )
        if batch.labels.shape[1] != 1:
            raise UserError(
                f"{batch.where(0)} has {batch.labels.shape[1]} labels, but a row has one: use label_size=1"
            )
        labels = batch.labels[:, 0]
        finite = np.abs(labels) <= np.finfo(np.float32).max
        if not finite.all():
            row = int(finite.argmin())
            raise UserError(
                f"{batch.where(row)} has no label, or {labels[row]:g} for one: every row needs a finite "
                "float32 (text/csv;label_size=1, or a label 'values')"
            )
        features = batch.dense()
        places = np.arange(len(batch))
        if np.isnan(features).any():
            places = np.flatnonzero(~np.isnan(features).any(axis=1))
            features, labels = features[places], labels[places]
        require_moderate(features, lambda row: batch.where(int(places[row])))
        return Rows(features, labels.astype(np.float32), places)

    def _make_space(self, width: int) -> Space:
        """Raises UserError for a reduction that does not fit so many features."""
        hyperparameters = self.hyperparameters
        target, kind = hyperparameters.dimension_reduction_target, hyperparameters.dimension_reduction_type
        quantizes = hyperparameters.index_type == "faiss.IVFPQ"
        reduction, dimension = None, width
        if target is not None and kind is not None:
            try:
                require_fewer(target, width)
            except ValueError as error:
                raise UserError(str(error)) from None
            dimension = target
        if quantizes:  # whole parts: by a higher target, or by zeros
            parts = inverted.part_count(hyperparameters.faiss_index_pq_m, dimension)
            dimension = -(-dimension // parts) * parts
        if kind is not None:
            reduction = Reduction(kind, self.seed, dimension, width)
        return Space(width, dimension, reduction, hyperparameters.index_metric == "COSINE")

    def _index(self, sample: Sample) -> Model:
        assert self._space is not None
        hyperparameters, space = self.hyperparameters, self._space
        self._warn(sample)
        log.info("Training index...")
        began = time.monotonic()
        inner = hyperparameters.index_metric != "L2"
        index: Index
        if hyperparameters.index_type == "faiss.Flat":
            index = Flat(sample.rows, inner=inner, device=self.device)
        else:
            lists = inverted.list_count(hyperparameters.faiss_index_ivf_nlists, len(sample.rows))
            index = inverted.build(
                sample.rows,
                hyperparameters.index_type,
                inner=inner,
                spherical=space.normalize,
                lists=lists,
                parts=inverted.part_count(hyperparameters.faiss_index_pq_m, space.width),
                nprobe=hyperparameters.faiss_index_nprobe,
                seed=self.seed,
            )
        log.info("...Finished training index in %d second(s)", time.monotonic() - began)
        log.info("Adding data to index...")
        began = time.monotonic()
        if isinstance(index, inverted.Inverted):
            inverted.fill(index, sample.rows)
        log.info("...Finished adding data to index in %d second(s)", time.monotonic() - began)
        settings = ModelSettings(
            k=hyperparameters.k,
            predictor_type=hyperparameters.predictor_type,
            reduction=space.reduction,
            normalize=space.normalize,
            index_type=hyperparameters.index_type,
            index_metric=hyperparameters.index_metric,
            nprobe=index.nprobe,
            feature_dim=space.feature_dim,
            pad_dim=space.width,
        )
        return Model(index, sample.labels, settings, hyperparameters.model_dump(mode="json", by_alias=True))

    def _announce(self) -> None:
        free = 0
        if self.device != "cpu":
            import torch

            free = torch.cuda.mem_get_info(self.device)[0]
        log.info(
            "Using per-worker sample size = %d (Available virtual memory = %d bytes, GPU free memory = %d "
            "bytes, number of workers = %d). If an out-of-memory error occurs, choose a larger instance "
            "type, use dimension reduction, decrease sample_size, and/or decrease mini_batch_size.",
            self.hyperparameters.sample_size,
            memory.free(),
            free,
            self.cluster.size,
        )

    def _warn(self, sample: Sample) -> None:
        for text in _doubts(sample, self.hyperparameters):
            log.warning("%s", text)


def _doubts(sample: Sample, hyperparameters: Hyperparameters) -> Iterator[str]:
    """What looks like a mistake and is none for certain."""
    count, labels = len(sample.labels), sample.labels
    if hyperparameters.k > count:
        yield f"k is {hyperparameters.k}, but the index holds only {count} points: all of them are asked"
    if (np.abs(labels) > EXACT).any():
        yield (
            f"labels go up to {np.abs(labels).max():.0f}, but they are kept as float32, which tells whole "
            f"numbers apart only up to {EXACT}: number them anew if they are ids"
        )
    if hyperparameters.predictor_type == "classifier" and (labels % 1 != 0).any():
        distinct = len(np.unique(labels))
        if distinct > CLASSES:
            yield (
                f"predictor_type is 'classifier', but there are {distinct} distinct labels that are no whole "
                "numbers: this looks like a regression"
            )

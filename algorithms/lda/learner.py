"""LDA in one pass: the documents are kept, and topics are found in them at the end."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import numpy as np
from scipy.sparse import csr_array, vstack

from optml import memory
from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.lda.hyperparameters import Hyperparameters
from optml.algorithms.lda.model import Model
from optml.algorithms.lda.moments import LEAST, Moments, needed
from optml.algorithms.lda.polish import Polish
from optml.algorithms.lda.spectral import Estimate, estimate, warn_of_support
from optml.algorithms.metrics import Metric
from optml.algorithms.topics import cooccurrence, topics, vocabulary
from optml.algorithms.topics.counts import counts, fraction
from optml.algorithms.topics.topics import Topics
from optml.errors import UserError
from optml.formats.records import Records

log = logging.getLogger(__name__)

BATCH_BYTES = 32 << 20  # of documents, were they dense, that are read at a time
BATCH_ROWS = (256, 8192)  # but no fewer, and no more
ENTRY = 20  # bytes of a word of a document: as it is kept, and as EM and the moments copy it


def batch_rows(hyperparameters: Hyperparameters) -> int:
    """Documents that are read at a time."""
    least, most = BATCH_ROWS
    return min(max(BATCH_BYTES // (4 * hyperparameters.feature_dim), least), most)


class Learner:
    """State: the documents, sparse. All else is a function of them, of the hyperparameters and the seed."""

    round: int | None = None
    lockstep = False

    def __init__(self, setting: Setting) -> None:
        h: Hyperparameters = setting.hyperparameters
        self.hyperparameters = h
        self.cluster: Cluster = setting.cluster
        if self.cluster.size > 1:
            raise UserError(
                "LDA trains on one machine, but the job has several processes or hosts "
                f"({self.cluster.size}): set instance_count to 1"
            )
        self.seed = setting.seed
        self.vocabulary: tuple[str, ...] | None = None
        source = setting.auxiliary.get("auxiliary")
        if source is not None:
            self.vocabulary = vocabulary.read(source, h.feature_dim).words
        width = h.feature_dim
        memory.require(
            needed(width, h.components) + 8 * (4 + h.max_restarts) * h.components**3,
            f"the tables of {h.components} components (1.25 num_topics) and {width} words (feature_dim)",
            "lower num_topics or feature_dim",
        )
        self._parts = [csr_array((0, width), dtype=np.float32)]
        self._entries = 0
        self._warned = False
        self._final: Model | None = None

    def update(self, batch: Records) -> Iterable[Metric]:
        documents = counts(batch, self.hyperparameters.feature_dim)
        if not self._warned and (text := fraction(batch, documents)):
            log.warning("%s", text)
            self._warned = True
        self._parts.append(documents)
        self._entries += documents.nnz
        memory.require(
            ENTRY * self._entries,
            f"the {self._entries} words of the documents so far",
            "train on a sample of the documents",
        )
        return ()

    def end_round(self) -> Iterable[Metric]:
        return ()

    def evaluate(self, channel: str, batches: Iterable[Records]) -> Iterable[Metric]:
        """Log likelihood a word over all documents, by their own mixtures."""
        if self._final is None:
            raise RuntimeError("LDA scores a channel after `finish`")
        total = words = 0.0
        seen = 0
        for batch in batches:
            documents = counts(batch, self.hyperparameters.feature_dim)
            total += float(self._final.likelihoods(documents).sum())
            words += float(documents.sum(dtype=np.float64))
            seen += len(batch)
        if seen and not words:
            raise UserError(f"every document of channel '{channel}' is empty: all hold nothing but zeros")
        return [Metric(f"{channel}:pwll", total / max(words, 1.0))] if seen else []

    def stopping(self) -> None:
        return None

    def documents(self) -> csr_array:
        """All so far, (n, words) float32."""
        if len(self._parts) > 1:
            self._parts = [csr_array(vstack(self._parts, format="csr"))]
        return self._parts[0]

    def state_dict(self) -> dict[str, np.ndarray]:
        documents = self.documents()
        return {"bounds": documents.indptr, "words": documents.indices, "counts": documents.data}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        bounds, words, values = (np.array(state[name]) for name in ("bounds", "words", "counts"))
        shape = (len(bounds) - 1, self.hyperparameters.feature_dim)
        self._parts, self._entries = [csr_array((values, words, bounds), shape=shape)], len(words)

    def model(self) -> Model | None:
        """Of the documents so far; None where they are too few."""
        return None if self._trouble() else self._fit()

    def finish(self) -> tuple[Model, Iterable[Metric]]:
        if trouble := self._trouble():
            raise UserError(trouble)
        h, n = self.hyperparameters, self.documents().shape[0]
        log.info("Running LDA for %d topics (%d requested)", h.components, h.num_topics)
        log.info("Loaded all data into matrix with shape: %s", self.documents().shape)
        if h.mini_batch_size != n:
            log.warning(
                "mini_batch_size is %d, the documents are %d: all of them are used", h.mini_batch_size, n
            )
        self._final = self._fit()
        assert self._final.topics is not None
        for line in self._final.topics.lines():
            log.info("%s", line)
        log.info("Serializing LDA model to /opt/ml/model/model_algo-1")
        return self._final, ()

    def _trouble(self) -> str | None:
        """What is wrong with the documents, and how to mend it."""
        documents = self.documents()
        if not documents.shape[0]:
            return "channel 'train' is empty: there are no documents in its data"
        long = int((documents.sum(axis=1, dtype=np.float64) >= LEAST).sum())
        if not long:
            return (
                f"no document of channel 'train' holds {LEAST} words or more, of {documents.shape[0]}: "
                "topics are told by words that occur together; give counts of words (not shares), or longer "
                "documents"
            )
        if long < self.hyperparameters.num_topics:
            return (
                f"num_topics is {self.hyperparameters.num_topics}, but only {long} documents of channel "
                f"'train' hold {LEAST} words or more: lower num_topics or give more documents"
            )
        return None

    def _fit(self) -> Model:
        h, documents = self.hyperparameters, self.documents()
        occupied = csr_array(documents[np.flatnonzero(np.diff(documents.indptr))])
        if h.refine:
            polished = Polish(occupied, h, self.seed).run()
            best, prior = polished.estimate, polished.prior
        else:
            best, prior = _plain(occupied, h, self.seed), 0.0
        words = topics.top(best.beta.T)
        sample = cooccurrence.Sample(h.feature_dim, self.seed, 0)
        sample.add(occupied)
        together = topics.mutual_information(*cooccurrence.joint(sample, words, self.cluster))
        summary = Topics(words, topics.uniqueness(words), None, together, self.vocabulary)
        alpha, beta = (array.astype(np.float32) for array in (best.alpha, best.beta))
        return Model(alpha, beta, prior, summary, h.model_dump(mode="json", by_alias=True))


def _plain(documents: csr_array, hyperparameters: Hyperparameters, seed: int) -> Estimate:
    """AWS's recipe."""
    moments = Moments(documents, hyperparameters.alpha0)
    whitened = moments.whiten(hyperparameters.components, (seed,))
    warn_of_support(whitened, hyperparameters)
    return estimate(whitened, hyperparameters, (seed,))

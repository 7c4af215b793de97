"""Trained topics: the mixtures of documents, and artifacts of ours and of AWS's image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from optml.algorithms import artifact, ndarray
from optml.algorithms.kernels import mixtures
from optml.algorithms.kernels.machine import threads
from optml.algorithms.kernels.mixtures import Documents
from optml.algorithms.topics import topics
from optml.algorithms.topics.counts import counts
from optml.algorithms.topics.topics import Topics
from optml.errors import UserError
from optml.formats.records import Columns, Records

SLUG = "lda"
AWS_FILES = "model_algo-*"
ROUNDS, TOLERANCE = 200, 1e-5  # of a mixture's update
SMALLEST = 1e-3  # share of its words that a topic of a document has; less is 0
FLOOR = 1e-9  # chance of a word, where no prior keeps mixtures of impossible words apart
PIECE = 1 << 22  # numbers of mixtures that are inferred at a time
SHARED = 2 << 30  # bytes of topics up to which they are written for AWS's readers too


class Model:
    """alpha (K,) and beta (K, words) float32, rows of sum 1.   prior: pseudo-counts a topic under which
    mixtures are inferred; 0: by maximum likelihood, as AWS's image does.
    topics: what `topics.txt` says; None: of a model that was loaded.   vocabulary: the words, where known."""

    def __init__(
        self,
        alpha: np.ndarray,
        beta: np.ndarray,
        prior: float,
        topics: Topics | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
        vocabulary: Sequence[str] | None = None,
    ) -> None:
        self.alpha = np.ascontiguousarray(alpha, np.float32)
        self.beta = np.ascontiguousarray(beta, np.float32)
        self.prior = prior
        self.topics = topics
        self.vocabulary = topics.vocabulary if topics else vocabulary
        self.hyperparameters = dict(hyperparameters or {})

    @property
    def width(self) -> int:
        return int(self.beta.shape[1])

    def predict(self, batch: Records, options: Mapping[str, str]) -> Columns:
        """`topic_mixture`, (n, K) float32, a row's sum is 1; topics with less than a thousandth of a
        document's words are 0 exactly. A document without words has alpha's."""
        mixtures = self.mixtures(counts(batch, self.width))
        if not np.isfinite(mixtures).all():
            row = int(np.argmin(np.isfinite(mixtures).all(axis=1)))
            raise UserError(f"{batch.where(row)} holds counts so large that their sum is beyond float32")
        return {"topic_mixture": mixtures}

    def mixtures(self, documents: csr_array) -> np.ndarray:
        """theta (n, K) float32 of counts (n, words)."""
        size = max(1, PIECE // self._table.shape[1])
        parts = [
            self._mixtures(csr_array(documents[start : start + size]))
            for start in range(0, documents.shape[0], size)
        ]
        return np.concatenate(parts) if parts else np.empty((0, len(self.alpha)), np.float32)

    def likelihoods(self, documents: csr_array) -> np.ndarray:
        """(n,) float64: log likelihood of each document by its own mixture, of the words of any topic."""
        known = self._known(documents)
        theta = mixtures.rows(self.mixtures(documents))
        return mixtures.likelihoods(Documents.of(known), self._table, theta)

    def save(self, folder: Path) -> None:
        """Write model.safetensors, model.json, topics.txt, vocab.txt where it was given, and AWS's file where
        that does not get too large."""
        arrays = {"alpha": self.alpha, "beta": self.beta}
        facts = {"theta_prior": self.prior} | (self.topics.facts() if self.topics else {})
        artifact.write(folder, SLUG, arrays, self.hyperparameters, facts)
        if self.topics:
            self.topics.save(folder)
        if self.beta.nbytes <= SHARED:
            (folder / "model_algo-1").write_bytes(ndarray.encode([self.alpha, self.beta]))

    @cached_property
    def _table(self) -> np.ndarray:
        beta = self.beta.astype(np.float64)
        if not self.prior:
            beta = np.maximum(beta, FLOOR)
        return mixtures.rows((beta / beta.sum(axis=1, keepdims=True)).T)

    @cached_property
    def _possible(self) -> np.ndarray:
        """(words,) bool: is it in any topic?"""
        possible: np.ndarray = np.any(self.beta > 0, axis=0)
        return possible

    def _known(self, documents: csr_array) -> csr_array:
        """Without the words of no topic."""
        if self._possible.all():
            return documents
        known = documents.copy()
        known.data = np.where(self._possible[known.indices], known.data, 0)
        known.eliminate_zeros()
        return known

    def _mixtures(self, documents: csr_array) -> np.ndarray:
        known = Documents.of(self._known(documents))
        k = len(self.alpha)
        theta = mixtures.rows(np.full((len(known), k), 1 / k))
        prior = mixtures.rows(np.full((1, k), self.prior))[0]
        mixtures.infer(known, self._table, theta, prior, ROUNDS, TOLERANCE)
        shares = theta.copy()
        mixtures.infer(known, self._table, shares, np.zeros_like(prior), 1)
        answers: np.ndarray = np.where(shares[:, :k] < SMALLEST, 0, theta[:, :k])
        empty = np.diff(known.bounds) == 0
        answers[empty] = self.alpha / self.alpha.sum()
        with np.errstate(invalid="ignore", divide="ignore"):  # `predict` tells of it
            answers /= answers.sum(axis=1, keepdims=True)
        return answers


def load(folder: Path, device: str) -> Model:
    """Load an artifact of ours, or else one of AWS's. Raises UserError that says what is wrong with it."""
    threads.count()  # what it imports, no request should wait for
    if artifact.exists(folder):
        ours = artifact.read(folder, SLUG, ("alpha", "beta"))
        alpha, beta = ours.arrays["alpha"], ours.arrays["beta"]
        _check(alpha, beta, folder / artifact.ARRAYS)
        prior = ours.facts.get("theta_prior", 0.0)
        if not isinstance(prior, int | float) or not 0 <= prior < np.inf:
            raise UserError(
                f"{folder / artifact.DESCRIPTION}: theta_prior is {prior!r}; expected a number >= 0"
            )
        words = topics.read_vocabulary(folder)
        return Model(alpha, beta, float(prior), None, ours.hyperparameters, words)
    files = sorted(folder.glob(AWS_FILES))
    if not files:
        raise UserError(
            f"{folder} holds no LDA model: expected model.json with model.safetensors, or model_algo-1; "
            f"found {artifact.listing(folder)}"
        )
    return Model(*_of_aws(files[0]), 0.0)


def recognises(folder: Path) -> bool:
    """Is this what AWS's image writes: an NDArray list of alpha and beta?"""
    files = sorted(folder.glob(AWS_FILES))
    try:
        return bool(files) and bool(_of_aws(files[0]))
    except UserError:
        return False


def _of_aws(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if data.startswith(b"PK"):
        raise UserError(f"{path} is a ZIP archive, as other algorithms write; LDA writes an NDArray list")
    values, names = ndarray.decode(data, str(path))
    plain = [name.rpartition(":")[2] for name in names]
    if len(values) != 2 or not all(isinstance(value, np.ndarray) for value in values):
        raise UserError(f"{path} is no LDA model: expected two arrays, alpha and beta; found {len(values)}")
    if plain == ["beta", "alpha"]:
        values = values[::-1]
    elif plain and plain != ["alpha", "beta"]:
        raise UserError(f"{path} is no LDA model: expected arrays alpha and beta; found {', '.join(names)}")
    alpha, beta = (np.asarray(value) for value in values)
    alpha = alpha.reshape(-1)
    _check(alpha, beta, path)
    return alpha, beta


def _check(alpha: np.ndarray, beta: np.ndarray, path: Path) -> None:
    """Refuse arrays that do not belong together, or mixtures that would not be finite."""
    if (
        beta.ndim != 2
        or 0 in beta.shape
        or alpha.shape != beta.shape[:1]
        or {alpha.dtype.kind, beta.dtype.kind} != {"f"}
    ):
        raise UserError(
            f"{path}: beta must be floats (num_topics, feature_dim) and alpha as long as it has rows, found "
            f"beta of shape {beta.shape} in {beta.dtype} and alpha of shape {alpha.shape} in {alpha.dtype}"
        )
    for name, array in (("alpha", alpha), ("beta", beta)):
        if not np.isfinite(array).all() or array.min() < 0 or not array.sum() > 0:
            raise UserError(f"{path}: {name} must hold finite numbers >= 0, not all of them 0")
    if not (beta.sum(axis=1) > 0).all():
        raise UserError(f"{path}: a row of beta is all zeros; expected chances of words, of sum 1")

"""A trained topic model: the topics of documents, and artifacts of ours and of AWS's image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from optml.algorithms import artifact
from optml.algorithms.ntm import aws
from optml.algorithms.ntm.parameters import OURS, Parameters
from optml.algorithms.topics import topics
from optml.algorithms.topics.counts import counts
from optml.algorithms.topics.topics import Topics
from optml.errors import UserError
from optml.formats.records import Columns, Records

SLUG = "ntm"
SHARED = 2 << 30  # bytes of parameters up to which they are written for AWS's readers too
LEAST = -80.0  # of a logit below the largest: what is smaller would be no positive float32


class Model:
    """Gives the weights of the topics in each document: softmax(mu), without sampling.

    topics: what `topics.txt` says; None: of a model that was loaded.   vocabulary: the words, where known.
    Answers are computed by NumPy on any device: their cost is that of reading the rows of a few words.
    """

    def __init__(
        self,
        parameters: Parameters,
        topics: Topics | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
        vocabulary: Sequence[str] | None = None,
    ) -> None:
        self.parameters = parameters
        self.topics = topics
        self.vocabulary = topics.vocabulary if topics else vocabulary
        self.hyperparameters = dict(hyperparameters or {})

    @property
    def width(self) -> int:
        return self.parameters.words

    def predict(self, batch: Records, options: Mapping[str, str]) -> Columns:
        """`topic_weights`, (n, topics) float32, positive, a row's sum is 1. Dense rows are taken as sparse
        ones, so every format has the same answer."""
        mu = self.encode(counts(batch, self.width))
        if not np.isfinite(mu).all():
            row = int(np.argmin(np.isfinite(mu).all(axis=1)))
            raise UserError(f"{batch.where(row)} holds counts so large that its topics are beyond float32")
        return {"topic_weights": _softmax(mu)}

    def encode(self, documents: csr_array) -> np.ndarray:
        """mu, (n, topics) float32, of counts (n, words)."""
        (weight, bias), *others = self.parameters.encoder
        words, places = np.unique(documents.indices, return_inverse=True)
        shape = (documents.shape[0], len(words))
        few = csr_array(
            (documents.data, places.astype(documents.indptr.dtype), documents.indptr), shape=shape
        )
        with np.errstate(over="ignore", invalid="ignore"):
            pi = _activate(few @ np.ascontiguousarray(weight[:, words].T) + bias, self.parameters.activation)
            for weight, bias in others:
                pi = _activate(pi @ weight.T + bias, self.parameters.activation)
            weight, bias = self.parameters.mu
            mu: np.ndarray = pi @ weight.T + bias
        return mu

    def save(self, folder: Path) -> None:
        """Write model.safetensors, model.json, topics.txt, vocab.txt where it was given, and AWS's file where
        that does not get too large."""
        arrays = self.parameters.arrays(OURS)
        hyperparameters = self.hyperparameters | {"encoder_layers_activation": self.parameters.activation}
        facts = self.topics.facts() if self.topics else None
        artifact.write(folder, SLUG, arrays, hyperparameters, facts)
        if self.topics:
            self.topics.save(folder)
        if sum(array.nbytes for array in arrays.values()) <= SHARED:
            aws.write(folder / "model_algo-1", self.parameters, hyperparameters)


def load(folder: Path, device: str) -> Model:
    """Load an artifact of ours, or else one of AWS's. Raises UserError that says what is wrong with it."""
    if artifact.exists(folder):
        stored = artifact.read(folder, SLUG)
        activation = stored.hyperparameters.get("encoder_layers_activation")
        if activation not in aws.ACTIVATIONS:
            raise UserError(
                f"{folder / artifact.DESCRIPTION}: encoder_layers_activation is {activation!r}; expected one "
                f"of {', '.join(aws.ACTIVATIONS)}"
            )
        parameters = Parameters.of(stored.arrays, OURS, activation, str(folder / artifact.ARRAYS))
        words = topics.read_vocabulary(folder)
        return Model(parameters, hyperparameters=stored.hyperparameters, vocabulary=words)
    file = aws.find(folder)
    if file is None:
        raise UserError(
            f"{folder} holds no topic model: expected model.json with model.safetensors, or AWS's ZIP "
            f"model_algo-1; found {artifact.listing(folder)}"
        )
    return Model(aws.read(file))


def recognises(folder: Path) -> bool:
    """Is this what AWS's image writes: a ZIP with an encoder and a projection?"""
    file = aws.find(folder)
    try:
        return file is not None and aws.recognises(file)
    except UserError:
        return False


def _activate(values: np.ndarray, name: str) -> np.ndarray:
    outputs: np.ndarray
    if name == "sigmoid":
        outputs = np.reciprocal(1 + np.exp(-values))
    else:
        outputs = np.tanh(values) if name == "tanh" else np.maximum(values, 0)
    return outputs


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(np.maximum(logits - logits.max(axis=1, keepdims=True), LEAST))
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares

"""The topics that a model has found: their words, and how good they are.

With n = 20 top words of each of K topics:

    TU(k)   = mean over its words of 1 / (topics that list the word)
    WETC(k) = mean cosine of the vectors of every two of its words
    NPMI(k) = mean over every two of its first 10 words of log(p_ij / (p_i p_j)) / -log p_ij,
              p: shares of training documents that hold the word, or both; -1 for words never together

TU and WETC are of Ding, Nallapati, Xiang, "Coherence-Aware Neural Topic Modeling", EMNLP 2018
(arXiv 1809.02687); NPMI of Bouma, "Normalized (Pointwise) Mutual Information in
Collocation Extraction", GSCL 2009.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TOP = 20  # words of a topic
PAIRED = 10  # of them, for NPMI
VOCABULARY = "vocab.txt"


@dataclass(frozen=True, slots=True)
class Topics:
    """words (K, n): numbers of the top words, the first one first.   unique, embedded, together (K,): TU,
    WETC and NPMI; None where not known.   vocabulary: the words themselves."""

    words: np.ndarray
    unique: np.ndarray
    embedded: np.ndarray | None = None
    together: np.ndarray | None = None
    vocabulary: Sequence[str] | None = None

    @property
    def alike(self) -> bool:
        """Are topics so much alike that TU is nearer to 1 / K, of K equal topics, than to 1?"""
        least = 1 / len(self.words)
        return len(self.words) > 1 and float(self.unique.mean()) < (least + 1) / 2

    def lines(self) -> Iterator[str]:
        """As AWS prints them."""
        wetc = "" if self.embedded is None else f"wetc {self.embedded.mean():.2f}"
        yield (
            f"Topics from epoch:final (num_topics:{len(self.words)}) [{wetc}, tu {self.unique.mean():.2f}]:"
        )
        for k, text in enumerate(self._texts()):
            wetc = "" if self.embedded is None else f"[{self.embedded[k]:.2f}, {self.unique[k]:.2f}] "
            yield wetc + " ".join(text)

    def facts(self) -> dict[str, Any]:
        """For model.json."""
        scores = {name: round(float(values.mean()), 4) for name, values in self._scores()}
        return scores | {"topics": list(self._texts())}

    def save(self, folder: Path) -> None:
        """Write topics.txt, a topic a line, and vocab.txt where it is known."""
        scores = list(self._scores())
        lines = ["# topic " + " ".join(name for name, _ in scores) + " words"]
        for k, text in enumerate(self._texts()):
            numbers = [f"{values[k]:.2f}" for _, values in scores]
            lines.append(" ".join([str(k), *numbers, *text]))
        (folder / "topics.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        if self.vocabulary is not None:
            (folder / VOCABULARY).write_text("\n".join(self.vocabulary) + "\n", encoding="utf-8")

    def _texts(self) -> Iterator[list[str]]:
        for row in self.words.tolist():
            yield [str(word) if self.vocabulary is None else self.vocabulary[word] for word in row]

    def _scores(self) -> Iterator[tuple[str, np.ndarray]]:
        for name, values in (("wetc", self.embedded), ("tu", self.unique), ("npmi", self.together)):
            if values is not None:
                yield name, values


def read_vocabulary(folder: Path) -> list[str] | None:
    """The words that `Topics.save` has written, by their numbers; None: they are not known."""
    try:
        return (folder / VOCABULARY).read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, UnicodeDecodeError):
        return None


def top(projection: np.ndarray, count: int = TOP) -> np.ndarray:
    """(K, n) the numbers of the words of the largest entries of each column of the projection (V, K)."""
    count = min(count, len(projection))
    some = np.argpartition(-projection, count - 1, axis=0)[:count]
    order = np.argsort(-np.take_along_axis(projection, some, axis=0), axis=0, kind="stable")
    words: np.ndarray = np.take_along_axis(some, order, axis=0).T.copy()
    return words


def uniqueness(words: np.ndarray) -> np.ndarray:
    """TU (K,) of top words (K, n)."""
    _, places, lists = np.unique(words, return_inverse=True, return_counts=True)
    shares: np.ndarray = (1 / lists[places]).reshape(words.shape).mean(axis=1)
    return shares


def cosines(vectors: np.ndarray) -> np.ndarray:
    """WETC (K,) of the vectors (K, n, d) of top words; a vector of zeros has cosine 0 to all others."""
    lengths = np.linalg.norm(vectors, axis=2, keepdims=True)
    units = vectors / np.where(lengths > 0, lengths, 1)
    return _pairs(units @ units.transpose(0, 2, 1))


def mutual_information(joint: np.ndarray, documents: float) -> np.ndarray:
    """NPMI (K,) of joint (K, n, n): documents, of so many, that hold both words; on the diagonal, the one."""
    shares = joint[:, :PAIRED, :PAIRED] / documents
    alone = np.diagonal(shares, axis1=1, axis2=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.log(shares / (alone[:, :, None] * alone[:, None, :])) / -np.log(shares)
    values = np.where(shares == 1, 1.0, np.where(shares > 0, values, -1.0))
    return _pairs(values)


def _pairs(values: np.ndarray) -> np.ndarray:
    """Means (K,) over every two of n, values (K, n, n)."""
    n = values.shape[1]
    rows, columns = np.triu_indices(n, 1)
    if not len(rows):
        return np.zeros(len(values))
    information: np.ndarray = values[:, rows, columns].mean(axis=1)
    return information

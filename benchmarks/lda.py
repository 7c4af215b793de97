"""Latent Dirichlet Allocation on a CPU: topics and processor time, against other libraries in the same run.

    python -m benchmarks.lda

Corpora as `corpora.py` has them. Smoothing was chosen on novels and cooking, prior and steps by a study
of 20 Newsgroups; reviews and captions had no say in anything. Three seeds each; a row has means.

completion   perplexity of hidden halves of test documents given the other halves: ours by the mixtures that a
             server answers, the peers' by the better of their own inference and of 40 EM steps with their
             topics and 0.1 pseudo-counts a topic
npmi         of the top 10 words over training documents;   diversity: distinct words among the top 25
seconds      of processor time, of training alone

gensim: LdaModel, alpha and eta auto, chunks of 2,000, two passes. tomotopy: 100 sweeps of Gibbs sampling with
its defaults. scikit-learn: online, batches of 512, four passes.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from benchmarks.corpora import NAMES, Corpus, corpus
from benchmarks.environment import options, save
from optml.container.group import Alone

SEEDS = range(3)
TOPICS = (20, 50)
Trained = tuple[np.ndarray, Callable[[], np.ndarray] | None]  # topics (K, words); own mixtures of `seen`


def ours(data: Corpus, topics: int, seed: int) -> Trained:
    from optml.algorithms.base import Setting
    from optml.algorithms.lda import ALGORITHM
    from optml.formats.records import Records

    settings = ALGORITHM.hyperparameters(
        num_topics=topics, feature_dim=data.words, mini_batch_size=data.train.shape[0]
    )
    learner = ALGORITHM.training.learner(Setting(settings, Alone(), seed=seed))
    learner.update(Records(data.train))
    model, _ = learner.finish()
    return model.beta, lambda: model.mixtures(data.seen)


def gensim(data: Corpus, topics: int, seed: int) -> Trained:
    from gensim.models import LdaModel

    model = LdaModel(
        _bags(data.train), topics, dict(enumerate(data.vocabulary)), chunksize=2000, passes=2,
        alpha="auto", eta="auto", random_state=seed,
    )  # fmt: skip

    def mixtures() -> np.ndarray:
        gamma, _ = model.inference(_bags(data.seen))
        return np.asarray(gamma / gamma.sum(axis=1, keepdims=True))

    return model.get_topics(), mixtures


def tomotopy(data: Corpus, topics: int, seed: int) -> Trained:
    import tomotopy as library

    model = library.LDAModel(k=topics, seed=seed)
    for words in _texts(data.train, data.vocabulary):
        if words:
            model.add_doc(words)
    model.train(100, workers=1, show_progress=False)
    beta = np.full((topics, data.words), 1e-12)
    numbers = {word: number for number, word in enumerate(data.vocabulary)}
    places = [numbers[word] for word in model.used_vocabs]
    for k in range(topics):
        beta[k, places] = model.get_topic_word_dist(k)

    def mixtures() -> np.ndarray:
        texts = list(_texts(data.seen, data.vocabulary))
        theta = np.full((len(texts), topics), 1 / topics)
        full = [place for place, words in enumerate(texts) if words]
        answers, _ = model.infer([model.make_doc(texts[place]) for place in full], workers=1)
        theta[full] = answers
        return theta

    return beta, mixtures


def scikit_learn(data: Corpus, topics: int, seed: int) -> Trained:
    from sklearn.decomposition import LatentDirichletAllocation

    model = LatentDirichletAllocation(
        topics, learning_method="online", batch_size=512, max_iter=4, random_state=seed
    )
    model.fit(data.train)
    beta = model.components_ / model.components_.sum(axis=1, keepdims=True)
    return beta, lambda: model.transform(data.seen)


WHO: dict[str, Callable[[Corpus, int, int], Trained]] = {
    "ours": ours,
    "gensim": gensim,
    "tomotopy": tomotopy,
    "scikit-learn": scikit_learn,
}


def row(who: str, data: Corpus, topics: int) -> dict[str, Any]:
    """Means over the seeds."""
    values = []
    for seed in SEEDS:
        start = time.process_time()
        beta, own = WHO[who](data, topics, seed)
        seconds = time.process_time() - start
        scores = [completion(data.hidden, beta, own())] if own else []
        if who != "ours":
            scores.append(completion(data.hidden, beta, inferred(data.seen, beta)))
        values.append((min(scores), *coherence(beta, data.train), seconds))
    means = np.mean(values, axis=0).tolist()
    spread = float(np.std([value[0] for value in values]))
    names = ("completion", "npmi", "diversity", "seconds")
    return {"corpus": data.name, "topics": topics, "who": who} | dict(
        zip(names, means, strict=True), deviation=spread
    )


def inferred(counts: csr_array, beta: np.ndarray) -> np.ndarray:
    """Mixtures by 40 EM steps under 0.1 pseudo-counts a topic."""
    from optml.algorithms.kernels import mixtures

    topics = len(beta)
    theta = mixtures.rows(np.full((counts.shape[0], topics), 1 / topics))
    prior = mixtures.rows(np.full((1, topics), 0.1))[0]
    mixtures.infer(mixtures.Documents.of(counts), mixtures.rows(beta.T), theta, prior, 40)
    return theta[:, :topics]


def completion(hidden: csr_array, beta: np.ndarray, theta: np.ndarray) -> float:
    coordinates = hidden.tocoo()
    total = 0.0
    for start in range(0, hidden.nnz, 1 << 16):
        run = slice(start, start + (1 << 16))
        chances = np.einsum("ek,ke->e", theta[coordinates.row[run]], beta[:, coordinates.col[run]])
        total += float(coordinates.data[run] @ np.log(np.maximum(chances, 1e-12)))
    return math.exp(-total / float(hidden.sum()))


def unigram(data: Corpus) -> float:
    frequencies = np.asarray(data.train.sum(axis=0), np.float64) + 0.5
    chances = np.log(frequencies / frequencies.sum())
    return math.exp(-float((data.hidden @ chances).sum()) / float(data.hidden.sum()))


def coherence(beta: np.ndarray, counts: csr_array) -> tuple[float, float]:
    from optml.algorithms.topics import cooccurrence, topics

    sample = cooccurrence.Sample(counts.shape[1], 0, 0)
    sample.add(counts)
    words, many = topics.top(beta.T), topics.top(beta.T, 25)
    npmi = topics.mutual_information(*cooccurrence.joint(sample, words, Alone())).mean()
    return float(npmi), len(np.unique(many)) / many.size


def _bags(counts: csr_array) -> list[list[tuple[int, float]]]:
    edges = counts.indptr.tolist()
    pairs = list(zip(counts.indices.tolist(), counts.data.tolist(), strict=True))
    return [pairs[start:stop] for start, stop in pairwise(edges)]


def _texts(counts: csr_array, vocabulary: tuple[str, ...]) -> list[list[str]]:
    return [[vocabulary[v] for v, n in bag for _ in range(int(n))] for bag in _bags(counts)]


def main() -> int:
    """Run, print the table, and write lda-cpu.json."""
    parser: argparse.ArgumentParser = options(__doc__)
    parser.add_argument("corpora", nargs="*", default=list(NAMES))
    parser.add_argument("--topics", type=int, nargs="*", default=list(TOPICS))
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows: list[dict[str, Any]] = []
    for name in given.corpora:
        data = corpus(name)
        print(f"{name}: unigram {unigram(data):.1f}", flush=True)
        for topics in given.topics:
            for who in WHO:
                rows.append({"unigram": unigram(data)} | row(who, data, topics))
                texts = (f"{v:9.3f}" if isinstance(v, float) else f"{v!s:>13}" for v in rows[-1].values())
                print(" ".join(texts), flush=True)
                save("lda-cpu", rows, folder=given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Corpora of ../shared/data as counts of words, for topic models: train, and test documents cut in halves.

    newsgroups20   posts, as the data's own README has them: 3,072 words, 82 a document
    novels         every 300 words of 52 novels; test: every tenth of them
    cooking        questions of a forum, some six words each
    reviews        sentences of film reviews, some eight words each
    captions       English captions of pictures, some six words each

Of all but the first: words of letters that at least 5 training documents hold, less scikit-learn's stop
words, the most frequent 10,000 at most. Tokens of a test document go to either half by a coin.
"""

from __future__ import annotations

import gzip
import lzma
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array, load_npz

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
WORDS, RARE, CHUNK = 10_000, 5, 300
_WORD = re.compile(r"[a-z]{2,}")


@dataclass(frozen=True, slots=True)
class Corpus:
    """Counts (documents, words) float32; `seen` and `hidden` are the halves of the test documents."""

    name: str
    train: csr_array
    seen: csr_array
    hidden: csr_array
    vocabulary: tuple[str, ...]

    @property
    def words(self) -> int:
        return len(self.vocabulary)


def corpus(name: str) -> Corpus:
    return _READERS[name]()


def _newsgroups() -> Corpus:
    folder = DATA / "newsgroups20"
    parts = []
    for part in ("train", "test_half1", "test_half2"):
        counts = csr_array(load_npz(folder / f"{part}.npz").astype(np.float32))
        counts.sort_indices()
        parts.append(counts)
    vocabulary = (folder / "vocab.txt").read_text().split()
    return Corpus("newsgroups20", *parts, tuple(vocabulary))


def _novels() -> Corpus:
    with lzma.open(DATA / "novels_word2vec" / "corpus.txt.xz", "rt", encoding="utf-8") as file:
        words = [word for line in file for word in line.split()]
    chunks = [words[start : start + CHUNK] for start in range(0, len(words), CHUNK)]
    return _cut("novels", [chunk for i, chunk in enumerate(chunks) if i % 10 < 9], chunks[9::10])


def _cooking() -> Corpus:
    texts = []
    for part in ("train", "valid"):
        with gzip.open(DATA / "cooking_stackexchange" / f"cooking.{part}.gz", "rt", encoding="utf-8") as file:
            texts.append([[w for w in line.split() if not w.startswith("__label__")] for line in file])
    return _cut("cooking", *texts)


def _reviews() -> Corpus:
    with gzip.open(DATA / "rt_polarity" / "rt-polarity.all.gz", "rt", encoding="latin-1") as file:
        lines = [line.split()[1:] for line in file]
    return _cut("reviews", [line for i, line in enumerate(lines) if i % 10 != 9], lines[9::10])


def _captions() -> Corpus:
    texts = []
    for part in ("train", "test_2016_flickr"):
        with gzip.open(DATA / "multi30k_en_de" / f"{part}.en.gz", "rt", encoding="utf-8") as file:
            texts.append([_WORD.findall(line.lower()) for line in file])
    return _cut("captions", *texts)


_READERS = {
    "newsgroups20": _newsgroups,
    "novels": _novels,
    "cooking": _cooking,
    "reviews": _reviews,
    "captions": _captions,
}
NAMES = tuple(_READERS)


def _cut(name: str, train: Sequence[Sequence[str]], test: Sequence[Sequence[str]]) -> Corpus:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    frequencies = Counter(word for document in train for word in set(document) if _WORD.fullmatch(word))
    usual = [w for w, n in frequencies.most_common() if n >= RARE and w not in ENGLISH_STOP_WORDS][:WORDS]
    numbers = {word: number for number, word in enumerate(sorted(usual))}
    rng = np.random.default_rng(0)
    seen: list[list[str]] = []
    hidden: list[list[str]] = []
    for document in test:
        coins = rng.random(len(document)) < 0.5
        seen.append([word for word, coin in zip(document, coins, strict=True) if coin])
        hidden.append([word for word, coin in zip(document, coins, strict=True) if not coin])
    return Corpus(name, *(_counts(texts, numbers) for texts in (train, seen, hidden)), tuple(numbers))


def _counts(documents: Iterable[Sequence[str]], numbers: dict[str, int]) -> csr_array:
    places = [[numbers[word] for word in document if word in numbers] for document in documents]
    bounds = np.cumsum([0, *map(len, places)])
    indices = np.array([place for document in places for place in document], np.int32)
    ones = np.ones(len(indices), np.float32)
    counts = csr_array((ones, indices, bounds), shape=(len(places), len(numbers)))
    counts.sum_duplicates()
    return counts

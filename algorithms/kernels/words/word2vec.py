"""Word vectors by negative sampling: skip-gram, continuous bag of words, and skip-gram in mini-batches.

Mikolov et al. 2013 (1301.3781, 1310.4546); Bojanowski et al. 2016 (1607.04606) for rows of n-grams; Ji et al.
2016 (1604.04661) for the mini-batches. A sentence keeps each word with the probability `keep`; a target's
window is drawn from 1 to `window`, and its context is the words that far to its sides. With s the logistic
function and o the output rows of a word and of `negatives` words drawn from `noise`, a step goes down

    -log s(h.o_word) - sum_k log s(-h.o_k)

    skipgram        h the mean of the rows of each word of the context in turn, word the target
    cbow            h the mean of the rows of all words of the context, word the target
    batch_skipgram  h the row of each context word, word the target; up to `batch` context words share their
                    negatives and take one step together

Every row of h takes the whole gradient. The step size falls linearly from `rate` to 0 over `total` tokens.

Random numbers are a function of the seed and a sentence's place in the text (`machine/draws.py`), so the
result depends on nothing but the number of threads (`machine/replica.py`). NumPy tables are trained on the
CPU (`word2vec_cpu.py`), on a CUDA device by Triton (`word2vec_triton.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from optml.algorithms.kernels.words.terms import BATCH_SKIPGRAM, CBOW, SENTENCE, WordPlan


class Trainer(Protocol):
    """Tables while they are learnt."""

    def learn(self, segments: Sequence[tuple[np.ndarray, int]]) -> int: ...
    def tables(self) -> tuple[np.ndarray, np.ndarray]: ...


def trainer(x: np.ndarray, y: np.ndarray, plan: WordPlan, device: str) -> Trainer:
    """x: (rows, stride) float32 input rows, the words' first; y: (words, stride) output rows
    (`simd.empty`)."""
    if device == "cpu":
        from optml.algorithms.kernels.words import word2vec_cpu

        result: Trainer = word2vec_cpu.Trainer(x, y, plan)
        return result
    from optml.algorithms.kernels.words import word2vec_triton

    on_device: Trainer = word2vec_triton.Trainer(x, y, plan, device)
    return on_device


def draws(seed: int, position: int) -> Any:
    """The random numbers of the sentence whose first token has that place, as Python integers."""
    mask, golden = (1 << 64) - 1, 0x9E3779B97F4A7C15

    def mix(z: int) -> int:
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    key = mix(seed ^ mix(position))
    while True:
        key = (key + golden) & mask
        yield mix(key)


def reference(
    tokens: np.ndarray, position: int, x: np.ndarray, y: np.ndarray, plan: WordPlan, alias: np.ndarray
) -> None:
    """The same in float64, one step after the other; x and y change in place. `alias`: of the noise."""
    at = 0
    while at < len(tokens):
        random = draws(plan.seed, position + at)
        rate = plan.rate * max(1 - (position + at) / plan.total, 0)
        sentence: list[int] = []
        for token in tokens[at : at + SENTENCE].tolist():
            at += 1
            word = plan.end if token < 0 else token
            if word >= 0 and next(random) >> 32 < plan.keep[word]:
                sentence.append(word)
            if token < 0:
                break
        for place, word in enumerate(sentence):
            reach = ((next(random) >> 32) * plan.window >> 32) + 1
            context = sentence[max(0, place - reach) : place] + sentence[place + 1 : place + reach + 1]
            if context and len(alias) > 1:
                _step(word, context, x, y, plan, alias, rate, random)


def _step(
    word: int, context: list[int], x: np.ndarray, y: np.ndarray, plan: WordPlan, alias: np.ndarray,
    rate: float, random: Any,
) -> None:  # fmt: skip
    def outputs(target: int) -> list[int]:
        names = [target]
        while len(names) <= plan.negatives:
            number = next(random)
            other = (number >> 32) * len(alias) >> 32
            if number & 0xFFFFFFFF >= alias[other, 0]:
                other = int(alias[other, 1])
            if other != target:
                names.append(other)
        return names

    def rows(number: int) -> list[int]:
        if not len(plan.starts):
            return [number]
        return list(plan.members[plan.starts[number] : plan.starts[number + 1]].tolist())

    if plan.mode == BATCH_SKIPGRAM:
        for start in range(0, len(context), plan.batch):
            inputs, names = context[start : start + plan.batch], outputs(word)
            labels = np.array([1.0] + [0.0] * plan.negatives)
            step = rate * (labels - _logistic(x[inputs] @ y[names].T))  # (batch, 1 + negatives)
            change = step @ y[names]
            np.add.at(y, names, step.T @ x[inputs])
            np.add.at(x, inputs, change)
        return
    groups = [context] if plan.mode == CBOW else [[number] for number in context]
    pairs = [([row for number in group for row in rows(number)], outputs(word)) for group in groups]
    for bag, names in pairs:
        hidden = x[bag].mean(axis=0)
        labels = np.array([1.0] + [0.0] * plan.negatives)
        step = rate * (labels - _logistic(y[names] @ hidden))
        change = step @ y[names]
        np.add.at(y, names, np.outer(step, hidden))
        np.add.at(x, bag, change)


def _logistic(z: np.ndarray) -> np.ndarray:
    likely: np.ndarray = 1 / (1 + np.exp(-z))
    return likely

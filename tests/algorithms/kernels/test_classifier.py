from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optml.algorithms.kernels.machine import simd
from optml.algorithms.kernels.words import classifier, classifier_cpu, tokens_cpu
from optml.algorithms.kernels.words.tokens_cpu import LINE_END

WORDS, LABELS, WIDTH, BUCKETS = 12, 5, 10, 64
GENERATOR = np.random.default_rng(0)
HASHES = GENERATOR.integers(-(2**31), 2**31, WORDS + 3).astype(np.int32)  # three have no row
SLOTS = WORDS + np.arange(BUCKETS, dtype=np.int32)
END = 0


def lines(count: int, labels: int = 1) -> np.ndarray:
    parts = []
    for _ in range(count):
        words = GENERATOR.integers(1, WORDS + 3, GENERATOR.integers(1, 6))
        own_labels = LINE_END - 1 - GENERATOR.choice(LABELS, labels, replace=False)
        parts.append([*own_labels, *words, LINE_END])
    return np.concatenate(parts).astype(np.int32)


def trainer(rate: float = 0.5) -> tuple[Any, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    x, y = simd.empty(WORDS + BUCKETS + 1, WIDTH), simd.empty(LABELS, WIDTH)
    x[:-1, :WIDTH] = generator.normal(size=(len(x) - 1, WIDTH))
    y[:, :WIDTH] = generator.normal(size=(LABELS, WIDTH))
    rule = {
        "hashes": HASHES, "slots": SLOTS, "words": WORDS, "end": END, "longest": 2, "rate": rate,
        "total": 1e6, "seed": 0,
    }  # fmt: skip
    return classifier.trainer(x, y, "cpu", **rule), x, y


def features(line: np.ndarray) -> np.ndarray:
    numbers = np.where(line == LINE_END, END, line)[line >= LINE_END]
    out = np.empty(50, np.int32)
    count = tokens_cpu.word_ngrams(HASHES[numbers], 0, len(numbers), 2, BUCKETS, out, 0)
    return np.concatenate([numbers[numbers < WORDS], WORDS + out[:count]])


def step(x: np.ndarray, y: np.ndarray, line: np.ndarray, rate: float) -> None:
    bag = features(line)
    hidden = x[bag].mean(axis=0)
    powers = np.exp(y @ hidden)
    gradient = -powers / powers.sum()
    gradient[LINE_END - 1 - line[0]] += 1
    back = rate * gradient @ y / len(bag)
    y += rate * np.outer(gradient, hidden)
    np.add.at(x, bag, back)


def cut(tokens: np.ndarray) -> list[np.ndarray]:
    return np.split(tokens, np.flatnonzero(tokens == LINE_END)[:-1] + 1)


def test_each_line_takes_the_step_of_the_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier_cpu, "count", lambda: 1)
    learner, x, y = trainer()
    expected = x.astype(np.float64), y.astype(np.float64)
    tokens = lines(60)
    assert learner.learn([(tokens, 0)]) == 60
    at = 0
    for line in cut(tokens):
        step(*expected, line, 0.5 * (1 - at / 1e6))
        at += len(line)
    np.testing.assert_allclose(x, expected[0], atol=2e-5)  # float32 over sixty steps
    np.testing.assert_allclose(y, expected[1], atol=2e-5)


def test_lines_without_a_label_are_passed_over() -> None:
    learner, x, _ = trainer()
    before = x.copy()
    assert learner.learn([(np.array([1, 2, LINE_END, 3, LINE_END], np.int32), 0)]) == 0
    assert (x == before).all()


def test_of_several_labels_each_is_drawn() -> None:
    tokens = np.concatenate([[LINE_END - 1, LINE_END - 3, 4, LINE_END]] * 60).astype(np.int32)
    learner, _, y = trainer(rate=0.2)
    learner.learn([(tokens, 0)])
    x = learner.tables()[0]
    scores = y @ x[features(tokens[:4])].mean(axis=0)
    assert set(np.argsort(scores)[-2:]) == {0, 2}


def test_accuracy_counts_lines_whose_best_label_is_among_theirs() -> None:
    learner, x, y = trainer()
    tokens = lines(200, labels=2)
    hits = 0
    for line in cut(tokens):
        best = int(np.argmax(y @ x[features(line)].mean(axis=0)))
        hits += best in (LINE_END - 1 - line[line < LINE_END]).tolist()
    assert learner.accuracy([(tokens, HASHES[np.maximum(tokens, 0)])]) == (hits, 200)


def test_threads_leave_the_same_tables_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier_cpu, "count", lambda: 3)
    segments = [(lines(30), 1000 * at) for at in range(3)]
    tables = []
    for _ in range(2):
        learner, x, y = trainer()
        learner.learn(segments)
        learner.learn(segments[:2])
        tables.append((x.copy(), y.copy()))
    assert all((one == two).all() for one, two in zip(*tables, strict=True))


def test_mini_batches_of_a_gpu_take_the_steps_of_the_formula_together() -> None:
    torch = pytest.importorskip("torch")
    from optml.algorithms.kernels.words import classifier_torch

    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    _, x, y = trainer()
    learner = classifier_torch.Trainer(
        x.copy(), y.copy(), device,
        hashes=HASHES, slots=SLOTS, words=WORDS, end=END, longest=2, rate=1e-3, total=1e6, seed=0,
    )  # fmt: skip
    expected = x.astype(np.float64), y.astype(np.float64)
    before = x.copy()
    tokens = lines(20)
    assert learner.learn([(tokens, 0)]) == 20
    for line in cut(tokens):
        step(*expected, line, 1e-3)
    tables = learner.tables()
    # Together or one after the other: the same up to the square of the rate.
    np.testing.assert_allclose(tables[0] - before, expected[0] - before, atol=2e-5)
    np.testing.assert_allclose(tables[1], expected[1], atol=2e-4)

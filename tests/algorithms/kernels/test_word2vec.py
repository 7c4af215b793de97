from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optml.algorithms.kernels.machine import draws as draws_cpu
from optml.algorithms.kernels.machine import simd
from optml.algorithms.kernels.machine.alias import alias_table
from optml.algorithms.kernels.words import word2vec, word2vec_cpu
from optml.algorithms.kernels.words.terms import BATCH_SKIPGRAM, CBOW, SENTENCE, SKIPGRAM, WordPlan

WORDS, WIDTH = 20, 10
ENDS = np.cumsum([0, *[1 + 2 * (word % 3) for word in range(WORDS)]])  # rows of each word: its own, n-grams
ROWS = WORDS + 15
GENERATOR = np.random.default_rng(0)
MEMBERS = np.concatenate([[w, *GENERATOR.integers(WORDS, ROWS, 2 * (w % 3))] for w in range(WORDS)])
KEEP = (np.linspace(0.3, 1.5, WORDS).clip(max=1) * 2**32).astype(np.int64)
TOKENS = np.where(GENERATOR.random(400) < 0.1, -1, GENERATOR.integers(0, WORDS, 400)).astype(np.int32)


def plan(mode: int, subwords: bool = False, **changes: Any) -> WordPlan:
    values: dict[str, Any] = {
        "mode": mode,
        "keep": KEEP,
        "noise": 1.0 / np.arange(1, WORDS + 1),
        "starts": ENDS if subwords else np.empty(0, np.int64),
        "members": MEMBERS.astype(np.int32) if subwords else np.empty(0, np.int32),
        "window": 4, "negatives": 3, "batch": 5, "end": 0, "rate": 0.03, "total": 1000.0, "seed": 9,
    }  # fmt: skip
    return WordPlan(**(values | changes))


def tables(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    x, y = simd.empty(ROWS, WIDTH), simd.empty(WORDS, WIDTH)
    for table in (x, y):
        table[:, :WIDTH] = generator.normal(size=(len(table), WIDTH)) / 2
    return x, y


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word2vec_cpu, "count", lambda: 1)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("mode", "subwords"),
    [(SKIPGRAM, False), (SKIPGRAM, True), (CBOW, False), (CBOW, True), (BATCH_SKIPGRAM, False)],
)
def test_one_thread_does_what_the_reference_does(mode: int, subwords: bool) -> None:
    x, y = tables()
    words_plan = plan(mode, subwords)
    expected = x.astype(np.float64), y.astype(np.float64)
    word2vec.reference(TOKENS, 100, *expected, words_plan, alias_table(words_plan.noise))
    assert word2vec_cpu.Trainer(x, y, words_plan).learn([(TOKENS, 100)]) > 100
    # A word drawn twice for a pair is updated twice, the second time from what the first has left: of the
    # order of the square of the rate. Beyond 8 the logistic function is taken for 0 or 1, to 3e-4.
    for table, exact in zip((x, y), expected, strict=True):
        assert np.abs(table - exact).max() < 3e-3 * np.abs(exact).max()
    assert (x[:, WIDTH:] == 0).all()


def test_several_threads_leave_the_same_tables_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word2vec_cpu, "count", lambda: 3)
    runs = []
    for _ in range(2):
        x, y = tables()
        trainer = word2vec_cpu.Trainer(x, y, plan(SKIPGRAM))
        for start in (0, 300):
            trainer.learn([(TOKENS[at : at + 100], at) for at in range(start, min(start + 300, 400), 100)])
        runs.append((x.copy(), y.copy()))
    assert all((one == two).all() for one, two in zip(*runs, strict=True))


def test_threads_that_touch_different_rows_do_what_one_would(monkeypatch: pytest.MonkeyPatch) -> None:
    low, high = (np.array([at, at + 1, -1], np.int32) for at in (1, 10))
    results = []
    for threads in (1, 2):
        monkeypatch.setattr(word2vec_cpu, "count", lambda threads=threads: threads)
        x, y = tables()
        words_plan = plan(SKIPGRAM, keep=np.full(WORDS, 1 << 32), end=-1, rate=1e-4)
        trainer = word2vec_cpu.Trainer(x, y, words_plan)
        if threads == 1:
            trainer.learn([(low, 0)])
            trainer.learn([(high, 3)])
        else:
            trainer.learn([(low, 0), (high, 3)])
        results.append((x.copy(), y.copy()))
    for one, two in zip(
        *results, strict=True
    ):  # but for negatives that both drew: of second order in the rate
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_a_sentence_is_cut_at_its_longest() -> None:
    keep = np.full(WORDS, 1 << 32)
    tokens = np.full(SENTENCE + 1, 3, np.int32)
    tokens[-1] = 4  # alone in its sentence: no context, no step
    x, y = tables()
    before = x.copy()
    word2vec_cpu.Trainer(x, y, plan(SKIPGRAM, keep=keep)).learn([(tokens, 0)])
    assert (x[4] == before[4]).all()
    assert (x[3] != before[3]).any()


def test_one_word_has_no_negatives_and_takes_no_step() -> None:
    x, y = (table[:1].copy() for table in tables())
    before = x.copy()
    one = plan(SKIPGRAM, keep=np.array([1 << 32]), noise=np.ones(1))
    word2vec_cpu.Trainer(x, y, one).learn([(np.zeros(50, np.int32), 0)])
    assert (x == before).all()


def test_draws_follow_their_distribution() -> None:
    weights = np.array([5.0, 1.0, 0.0, 4.0])
    alias = alias_table(weights)
    numbers = [draws_cpu.mix(np.uint64(i)) for i in range(20_000)]
    counts = np.bincount([draws_cpu.pick(number, alias) for number in numbers], minlength=4)
    assert counts[2] == 0
    assert np.abs(counts / counts.sum() - weights / weights.sum()).max() < 0.02  # 5 standard deviations


def test_draws_of_the_reference_are_those_of_the_compiled_loop() -> None:
    random = word2vec.draws(7, 3)
    key = draws_cpu.mix(np.uint64(7) ^ draws_cpu.mix(np.uint64(3)))
    with np.errstate(over="ignore"):
        assert next(random) == draws_cpu.mix(np.uint64(key) + draws_cpu.GOLDEN)

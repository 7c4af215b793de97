"""Compiled where there is a GPU; elsewhere Triton interprets the kernel on the CPU (tests/conftest.py)."""

from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.kernels.words.terms import BATCH_SKIPGRAM, CBOW, SKIPGRAM, WordPlan

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore:.*overflow")]

DEVICE = "cuda:0" if torch.cuda.is_available() else "cpu"


def plan(mode: int, words: int, **changes: object) -> WordPlan:
    none = {"starts": np.empty(0, np.int64), "members": np.empty(0, np.int32)}
    values: dict[str, object] = none | {
        "mode": mode, "keep": np.full(words, 1 << 32), "noise": np.ones(words), "window": 1, "negatives": 3,
        "batch": 11, "end": -1, "rate": 0.1, "total": 1e9, "seed": 1,
    }  # fmt: skip
    return WordPlan(**(values | changes))  # type: ignore[arg-type]


def train(
    x: np.ndarray, y: np.ndarray, words_plan: WordPlan, tokens: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    from optml.algorithms.kernels.words import word2vec_triton

    trainer = word2vec_triton.Trainer(x, y, words_plan, DEVICE)
    trainer.learn([(tokens, 0)])
    return trainer.tables()


@pytest.mark.parametrize("mode", [BATCH_SKIPGRAM, CBOW])
def test_a_pair_of_words_takes_the_step_of_the_formula(mode: int) -> None:
    # Of two words each is the other's only context; how many of its negatives are valid is all that is drawn.
    x, y = np.random.default_rng(0).normal(size=(2, 2, 16)).astype(np.float32)
    before = x.astype(np.float64), y.astype(np.float64)
    after = train(x.copy(), y.copy(), plan(mode, 2, rate=1e-3), np.array([0, 1, -1], np.int32))

    def step_of(valid: tuple[int, int]) -> np.ndarray:
        change = np.zeros((2, 2, 16))
        for target, times in enumerate(valid):
            h = before[0][1 - target]
            for row, label, count in ((target, 1.0, 1), (1 - target, 0.0, times)):
                step = 1e-3 * count * (label - 1 / (1 + np.exp(-before[1][row] @ h)))
                change[0, 1 - target] += step * before[1][row]
                change[1, row] += step * h
        return change

    changes = np.stack(after) - np.stack(before)
    # The second target sees what the first has changed: of the order of the square of the rate.
    assert min(np.abs(changes - step_of((i, j))).max() for i in range(4) for j in range(4)) < 3e-5
    assert np.abs(changes).max() > 1e-4


@pytest.mark.slow  # learning, in an interpreter
@pytest.mark.parametrize("mode", [BATCH_SKIPGRAM, CBOW])
def test_words_that_go_together_come_to_lie_together(mode: int) -> None:
    generator = np.random.default_rng(1)
    lines = [np.append(generator.integers(0, 3, 6) + 3 * topic, -1) for topic in (0, 1) * 8]
    tokens = np.concatenate(lines).astype(np.int32)
    x = (generator.random((6, 16), np.float32) - 0.5) / 8
    y = np.zeros((6, 16), np.float32)
    for _ in range(4):
        x, y = train(x, y, plan(mode, 6, window=2, rate=0.5), tokens)
    likely = 1 / (1 + np.exp(-x @ y.T))
    inside, across = likely[:3, :3].mean(), likely[:3, 3:].mean()
    assert inside > across + 0.1


def test_subsampled_words_take_no_step() -> None:
    x, y = np.ones((3, 16), np.float32), np.ones((3, 16), np.float32)
    keep = np.array([0, 1 << 32, 1 << 32])
    after, _ = train(x, y, plan(SKIPGRAM, 3, keep=keep), np.array([0, 1, 0, 2, -1], np.int32))
    assert (after[0] == 1).all()
    assert (after[1] != 1).all()

"""Word2vec on a GPU: words a second, the bytes that implies, and their share of the card's bandwidth.

A corpus of 10 million words drawn from 70,000 by Zipf's law (text8's size), 100 wide, window 5, 5 negatives.
A target moves the rows of its context, and 6 output rows, both ways: that many bytes a word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import save
from benchmarks.kmeans_cuda import peaks, seconds

WORDS, TOKENS, WIDTH, WINDOW, NEGATIVES = 70_000, 10_000_000, 100, 5, 5
LINE = 1000  # tokens


def measure(mode: int, bandwidth: float) -> dict[str, Any]:
    from optml.algorithms.kernels.words import word2vec_triton
    from optml.algorithms.kernels.words.terms import WordPlan

    generator = np.random.default_rng(0)
    share = 1 / np.arange(1, WORDS + 1)
    share /= share.sum()
    tokens = generator.choice(WORDS, TOKENS, p=share).astype(np.int32)
    tokens[LINE::LINE] = -1
    ratio = 1e-4 / share
    keep = np.minimum(np.sqrt(ratio) + ratio, 1.0)
    plan = WordPlan(
        mode=mode, keep=(keep * 2**32).astype(np.int64), noise=share**0.75, starts=np.empty(0, np.int64),
        members=np.empty(0, np.int32), window=WINDOW, negatives=NEGATIVES, batch=11, end=-1, rate=0.05,
        total=1e9, seed=1,
    )  # fmt: skip
    stride = -(-WIDTH // 16) * 16
    x = (generator.random((WORDS, stride), np.float32) - 0.5) / WIDTH
    trainer = word2vec_triton.Trainer(x, np.zeros_like(x), plan, "cuda:0")
    taken = seconds(lambda: trainer.learn([(tokens, 0)]), 3)
    targets = float((keep * share).sum()) * TOKENS
    moved = targets * (WINDOW + 1 + NEGATIVES + 1) * 2 * 4 * stride
    return {
        "mode": ("skipgram", "cbow", "batch_skipgram")[mode],
        "words_per_second": TOKENS / taken,
        "bytes_per_second": moved / taken,
        "share_of_bandwidth": moved / taken / bandwidth,
        "finite": bool(np.isfinite(trainer.tables()[0]).all()),
    }


def cuda(folder: Path) -> Path:
    """Run, print the table, and write blazingtext-cuda.json."""
    bandwidth = peaks()["bandwidth"]
    rows = [measure(mode, bandwidth) for mode in range(3)]
    for row in rows:
        print(row, flush=True)
    path = save("blazingtext-cuda", rows, folder=folder, bandwidth=bandwidth)
    print(f"written: {path}")
    return path

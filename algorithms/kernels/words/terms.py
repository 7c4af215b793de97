"""What the paths of this operation share: its terms and constants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SKIPGRAM, CBOW, BATCH_SKIPGRAM = range(3)

SENTENCE = 1024  # tokens; a longer one is cut


@dataclass(frozen=True, slots=True)
class WordPlan:
    """What is learnt and how; tokens are numbers of words, -1 the end of a line.

    keep:    (words,) int64, the probability that a word stays in a sentence, times 2^32.
    noise:   (words,) weights of the distribution of negatives.
    starts, members: the input rows of word w are members[starts[w]:starts[w + 1]], int64 and int32; empty:
             each word has its own alone.
    end:     the word that the end of a line counts as; -1: none.
    """

    mode: int
    keep: np.ndarray
    noise: np.ndarray
    starts: np.ndarray
    members: np.ndarray
    window: int
    negatives: int
    batch: int
    end: int
    rate: float
    total: float
    seed: int

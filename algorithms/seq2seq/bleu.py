"""BLEU: how many runs of up to four tokens a translation shares with its reference.

Papineni, Roukos, Ward, Zhu, "BLEU: a Method for Automatic Evaluation of Machine Translation", ACL 2002, of a
corpus, in 0..1; a count of 0 matches is taken for 0.01.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

LONGEST = 4
FLOOR = 0.01


def counts(pairs: Iterable[tuple[Sequence[str], Sequence[str]]]) -> np.ndarray:
    """(10,) float64, sums over pairs (translation, reference): matches of runs of 1 to 4 tokens, their
    number, the tokens of the translations and of the references."""
    sums = np.zeros(2 * LONGEST + 2)
    for translation, reference in pairs:
        for size in range(1, LONGEST + 1):
            own, other = _runs(translation, size), _runs(reference, size)
            sums[size - 1] += sum((own & other).values())
            sums[LONGEST + size - 1] += sum(own.values())
        sums[-2:] += len(translation), len(reference)
    return sums


def score(sums: np.ndarray) -> float:
    """BLEU of the sums that `counts` returns."""
    matches, totals = sums[:LONGEST], sums[LONGEST : 2 * LONGEST]
    length, expected = sums[-2:]
    if not length:
        return 0.0
    used = totals > 0
    shares = np.maximum(matches[used], FLOOR) / totals[used]
    brevity = min(0.0, 1.0 - expected / length)
    return math.exp(brevity + float(np.log(shares).mean()))


def _runs(tokens: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(tokens[start:] for start in range(size)), strict=False))

"""Drawing from a distribution in constant time: one look at a table of places, each shared by two numbers.

M. D. Vose, "A Linear Algorithm for Generating Random Numbers with a Given Distribution", 1991.
"""

from __future__ import annotations

import numpy as np

FULL = 1 << 32


def alias_table(weights: np.ndarray) -> np.ndarray:
    """The distribution in proportion to (n,) weights: (n, 2) uint32. A random number with upper half u and
    lower half l falls on place p = u * n >> 32: on p itself where l is below its bound, the first column,
    else on the number in the second."""
    n = len(weights)
    shares = (np.asarray(weights, np.float64) * (n / np.sum(weights, dtype=np.float64))).tolist()
    bounds, others = [FULL - 1] * n, list(range(n))
    small = [i for i, weight in enumerate(shares) if weight < 1]
    large = [i for i, weight in enumerate(shares) if weight >= 1]
    while small and large:
        low, top = small.pop(), large[-1]
        bounds[low], others[low] = int(shares[low] * FULL), top
        shares[top] -= 1 - shares[low]
        if shares[top] < 1:
            small.append(large.pop())
    return np.stack([np.array(bounds, np.uint32), np.array(others, np.uint32)], axis=1)

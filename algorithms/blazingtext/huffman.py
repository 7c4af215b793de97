"""Hierarchical softmax: the tree that fastText builds over label counts, and what it makes of scores."""

from __future__ import annotations

import numpy as np


def paths(counts: np.ndarray) -> list[list[tuple[int, bool]]]:
    """For each label (by falling count) the inner nodes from its leaf's parent to the root, and whether the
    way goes right there.

    The two smallest nodes are merged until one is left; a leaf is taken only where it is strictly smaller.
    """
    leaves = len(counts)
    size = np.concatenate([np.asarray(counts, np.float64), np.full(max(leaves - 1, 0), np.inf)])
    parent = np.full(len(size), -1)
    right = np.zeros(len(size), bool)
    leaf, inner = leaves - 1, leaves
    for node in range(leaves, len(size)):
        pair = []
        for _ in range(2):
            if leaf >= 0 and size[leaf] < size[inner]:
                pair.append(leaf)
                leaf -= 1
            else:
                pair.append(inner)
                inner += 1
        size[node] = size[pair].sum()
        parent[pair] = node
        right[pair[1]] = True
    ways = []
    for label in range(leaves):
        way, node = [], label
        while parent[node] >= 0:
            way.append((int(parent[node]) - leaves, bool(right[node])))
            node = int(parent[node])
        ways.append(way)
    return ways


def probabilities(scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(n, inner nodes or more) scores h.o_node -> (n, labels) float32: the product along a path of s(score)
    to the right and 1 - s(score) to the left."""
    rightwards = 1 / (1 + np.exp(-scores.astype(np.float64).clip(-80, 80)))
    likely = np.ones((len(scores), len(counts)))
    for label, way in enumerate(paths(counts)):
        for node, right in way:
            likely[:, label] *= rightwards[:, node] if right else 1 - rightwards[:, node]
    return likely.astype(np.float32)

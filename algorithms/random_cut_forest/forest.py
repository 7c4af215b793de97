"""From a sample to a forest: which rows each tree gets, and what the log tells of the trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optml.algorithms.kernels.forest.terms import Forest
from optml.algorithms.random_cut_forest.sample import KeyedRows

STREAM = 1  # of random numbers, beside the sample's
LIST_LENGTH = 100  # trees whose sizes the log gives one by one


@dataclass(frozen=True, slots=True)
class Growth:
    """A forest, and the depth of each tree's deepest leaf (T,)."""

    forest: Forest
    depths: np.ndarray

    def info(self) -> str:
        """As AWS's image prints it; averages are cut to integers."""
        forest, depths = self.forest, self.depths
        nodes = 2 * np.diff(forest.first) - 1
        facts = {
            "num_trees": forest.trees,
            "num_samples_in_forest": forest.trees * forest.rows,
            "num_samples_per_tree": forest.rows,
            "sample_dim": forest.points.shape[1],
            "shingle_size": 1,
            "trees_num_nodes": _list(nodes),
            "trees_depth": _list(depths),
            "max_num_nodes": nodes.max(),
            "min_num_nodes": nodes.min(),
            "avg_num_nodes": int(nodes.mean()),
            "max_tree_depth": depths.max(),
            "min_tree_depth": depths.min(),
            "avg_tree_depth": int(depths.mean()),
            "mem_size": forest.nbytes,
        }
        return f"ForestInfo{{{', '.join(f'{name}: {value}' for name, value in facts.items())}}}"


def grow(sample: KeyedRows, trees: int, size: int, seed: int, *, shuffled: bool) -> Growth:
    """Grow `trees` trees of at most `size` rows each, as many as there are; at least one row a tree.

    Tree i gets the i-th run of rows, in order of arrival as at AWS, where no row had to be left out of the
    sample; else, or `shuffled`, in the order of their random keys. The remainder belongs to no tree.
    """
    from optml.algorithms.kernels.forest.growth import Tree, join
    from optml.algorithms.kernels.forest.growth import grow as grow_tree
    from optml.algorithms.kernels.machine.threads import in_parts

    rows = sample.rows
    if shuffled or sample.rows_seen > len(rows):
        rows = rows[np.argsort(sample.keys)]
    size = min(size, len(rows) // trees)

    def part(start: int, stop: int) -> list[Tree]:
        some = []
        for tree in range(start, stop):
            uniforms = np.random.default_rng((seed, STREAM, tree)).random(size - 1)
            some.append(grow_tree(rows[tree * size : (tree + 1) * size], uniforms))
        return some

    all_trees = [tree for some in in_parts(part, trees, 32 * rows[:size].size) for tree in some]
    return Growth(join(all_trees, size), np.array([tree.depth for tree in all_trees]))


def _list(numbers: np.ndarray) -> str:
    more = ", ..." if len(numbers) > LIST_LENGTH else ""
    return f"[{', '.join(map(str, numbers[:LIST_LENGTH].tolist()))}{more}]"

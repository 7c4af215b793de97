"""The forest that training leaves: answers, and the artifact.

AWS's image writes a binary format of its own that is documented nowhere: its models cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import artifact
from optml.algorithms.kernels.forest import score
from optml.algorithms.kernels.forest.terms import Forest
from optml.errors import UserError
from optml.formats.records import Columns, Records

# The arrays of the artifact, by their names in a forest; boxes, twice as large as all that, follow from them.
ARRAYS = {
    "tree_offsets": "first",
    "points": "points",
    "leaf_masses": "masses",
    "children": "children",
    "cut_dimensions": "dimensions",
    "cut_values": "cuts",
}
FORMULA = 1  # version of the score's formula


class Model:
    """A forest, and facts about the training that model.json tells people."""

    def __init__(
        self,
        forest: Forest,
        hyperparameters: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        device: str = "cpu",
    ) -> None:
        self.forest = forest
        self.hyperparameters = dict(hyperparameters or {})
        self.facts = dict(facts or {})
        self.device = device
        self.width = int(forest.points.shape[1])

    def predict(self, batch: Records, options: Mapping[str, str]) -> Columns:
        """The anomaly score of every record: a column of (n,) float32."""
        rows = batch.dense()
        if rows.shape[1] != self.width:
            raise UserError(
                f"{batch.where(0)} has {rows.shape[1]} values, but the model was trained with "
                f"{self.width} features"
            )
        return {"score": self.scores(rows).astype(np.float32)}

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """The scores (n,) float64 of (n, d) float32 rows."""
        if self.device == "cpu":
            return np.asarray(score(rows, self.forest))
        import torch

        return np.asarray(score(torch.tensor(rows, device=self.device), self._on_device).cpu())

    @cached_property
    def _on_device(self) -> Forest:
        return self.forest.on(self.device)

    def save(self, folder: Path) -> None:
        """Write model.safetensors and model.json."""
        arrays = {name: getattr(self.forest, field) for name, field in ARRAYS.items()}
        facts = {"samples_per_tree": self.forest.rows, "score_formula": FORMULA, **self.facts}
        artifact.write(folder, "randomcutforest", arrays, self.hyperparameters, facts=facts)


def load(folder: Path, device: str) -> Model:
    """Load an artifact of ours. Raises UserError that says what is wrong with it."""
    if not artifact.exists(folder):
        raise UserError(
            f"{folder} holds no Random Cut Forest of optml: expected model.json and model.safetensors, "
            f"found {artifact.listing(folder)}. What AWS's image writes is in a format that is not public: "
            "train anew"
        )
    ours = artifact.read(folder, "randomcutforest", tuple(ARRAYS))
    rows = ours.facts.get("samples_per_tree")
    if not isinstance(rows, int) or rows < 1:
        raise UserError(
            f"{folder / artifact.DESCRIPTION}: samples_per_tree is {rows!r}; expected a number >= 1"
        )
    arrays = {field: ours.arrays[name] for name, field in ARRAYS.items()}
    wrong = _wrong(**arrays, rows=rows)
    if wrong:
        raise UserError(f"{folder / artifact.ARRAYS} holds no forest: {wrong}")
    from optml.algorithms.kernels.forest.growth import assemble

    return Model(assemble(**arrays, rows=rows), ours.hyperparameters, ours.facts, device)


def recognises(folder: Path) -> bool:
    """Nothing of AWS's can be read, so nothing is taken for it."""
    return False


def _wrong(
    first: np.ndarray,
    points: np.ndarray,
    masses: np.ndarray,
    children: np.ndarray,
    dimensions: np.ndarray,
    cuts: np.ndarray,
    rows: int,
) -> str:
    """What keeps these arrays from being a forest, for compiled code trusts them; "" where nothing does."""
    dtypes = [array.dtype for array in (first, points, masses, children, dimensions, cuts)]
    kinds = [np.int64, np.float32, np.int32, np.int32, np.int32, np.float32]
    if dtypes != kinds:
        return (
            f"arrays of {', '.join(map(str, dtypes))}; expected {', '.join(np.dtype(k).name for k in kinds)}"
        )
    leaves, trees = len(points), len(first) - 1
    nodes = leaves - trees
    shapes = ((leaves,), (nodes, 2), (nodes,), (nodes,))
    if points.ndim != 2 or points.size == 0 or trees < 1:
        return f"points of shape {points.shape}, {trees} trees"
    if tuple(array.shape for array in (masses, children, dimensions, cuts)) != shapes:
        return f"its arrays do not fit {leaves} leaves of {trees} trees"
    if first[0] != 0 or first[-1] != leaves or (np.diff(first) < 1).any():
        return "tree_offsets are no ascending places of leaves"
    inner = np.diff(first) - 1
    tree = np.repeat(np.arange(trees), inner)[:, None]  # of each internal node
    after = np.arange(nodes)[:, None]  # children come after their parents: every way down ends
    leaf = ~children
    node = (children > after) & (children < first[tree + 1] - tree - 1)
    if not np.where(children >= 0, node, (leaf >= first[tree]) & (leaf < first[tree + 1])).all():
        return "children are not those of their tree"
    if np.bincount(np.where(children >= 0, children, leaf + nodes).ravel(), minlength=1).max() > 1:
        return "a node or a leaf has two parents"
    if ((dimensions < 0) | (dimensions >= points.shape[1])).any() or (masses < 1).any():
        return "cut dimensions or masses out of range"
    if (np.add.reduceat(masses, first[:-1], dtype=np.int64) != rows).any():
        return f"the masses of a tree's leaves do not add up to its {rows} rows"
    if not (np.isfinite(points).all() and np.isfinite(cuts).all()):
        return "points or cuts that are not finite"
    return ""

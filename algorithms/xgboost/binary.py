"""The binary format of XGBoost up to 1.7, checked before treelite reads it: that follows damaged lengths and
links where they lead, into memory that is not there or round and round.

All little-endian. The learner: base_score float32, num_feature uint32, num_class int32, ..., the names of
objective and booster; num_trees int32, ...; for each tree its number of nodes, then nodes of 20 bytes and
statistics of 16 each; last the class of every tree.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from optml.errors import UserError

_LEARNER, _MODEL, _TREE = 136, 160, 148  # bytes of the headers
_STATISTICS = 16  # bytes of a node's statistics: gain, sum of Hessians, weight, leaves
_NODE = np.dtype([("parent", "<i4"), ("left", "<i4"), ("right", "<i4"), ("split", "<u4"), ("value", "<f4")])
_DELETED = 0xFFFFFFFF  # `split` of a node that pruning left behind
_FEATURE = 0x7FFFFFFF  # the bits of `split` that are the feature
_LONGEST = 64  # characters of the name of an objective or a booster


@dataclass(frozen=True, slots=True)
class Header:
    """num_class: 0 where the objective has none."""

    objective: str
    width: int
    num_class: int


def check(content: bytes, source: str) -> Header:
    """Raises UserError for what is no such model, and for one that is damaged."""
    at = len(b"binf") if content.startswith(b"binf") else 0
    try:
        _, width, num_class = struct.unpack_from("<fIi", content, at)
        objective, at = _name(content, at + _LEARNER)
        if ":" not in objective:
            raise ValueError(objective)
    except (struct.error, ValueError):
        raise UserError(
            f"{source} is no XGBoost model: neither JSON, UBJSON, a pickled Booster, nor the binary of "
            "versions before 3.0"
        ) from None
    try:
        booster, at = _name(content, at)
        if booster != "gblinear":  # which treelite refuses
            _check_trees(content, at, width, max(num_class, 1))
    except (struct.error, ValueError) as error:
        raise UserError(f"{source} is a damaged XGBoost model: {error}") from None
    return Header(objective, int(width), max(int(num_class), 0))


def _name(content: bytes, at: int) -> tuple[str, int]:
    """A string and the place behind it."""
    (length,) = struct.unpack_from("<Q", content, at)
    at += 8
    if length > _LONGEST or at + length > len(content):
        raise ValueError(f"a name of {length} characters")
    return content[at : at + length].decode("ascii"), at + length


def _check_trees(content: bytes, at: int, width: int, groups: int) -> None:
    (count,) = struct.unpack_from("<i", content, at)
    if count < 0:
        raise ValueError(f"{count} trees")
    at += _MODEL
    for number in range(count):
        _, nodes, _, _, _, vector = struct.unpack_from("<6i", content, at)
        at += _TREE
        if nodes < 1 or at + nodes * (_NODE.itemsize + _STATISTICS) > len(content):
            raise ValueError(f"tree {number} has {nodes} nodes, more than the file holds, or none")
        _check_tree(np.frombuffer(content, _NODE, nodes, at), width, number)
        at += nodes * (_NODE.itemsize + _STATISTICS)
        if vector:
            (length,) = struct.unpack_from("<Q", content, at)
            if length > len(content):
                raise ValueError(f"tree {number} has a vector of {length} values")
            at += 8 + 4 * length
    if at + 4 * count > len(content):
        raise ValueError("the file ends early")
    classes = np.frombuffer(content, "<i4", count, at)
    if ((classes < 0) | (classes >= groups)).any():
        raise ValueError("a tree is of a class that the model does not have")


def _check_tree(nodes: np.ndarray, width: int, number: int) -> None:
    inner = nodes[(nodes["left"] != -1) & (nodes["split"] != _DELETED)]
    children = np.concatenate([inner["left"], inner["right"]])
    # The root has no parent and no node has two: so every way down ends.
    if ((children < 1) | (children >= len(nodes))).any() or len(np.unique(children)) != len(children):
        raise ValueError(f"the nodes of tree {number} are linked wrongly")
    if nodes["split"][0] == _DELETED or (nodes["split"][children] == _DELETED).any():
        raise ValueError(f"tree {number} leads to a node that is none")
    if ((inner["split"] & _FEATURE) >= width).any():
        raise ValueError(f"tree {number} splits a feature beyond the {width} of the model")

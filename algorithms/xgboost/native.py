"""Models in JSON and UBJSON, of engines from 1.0 on, checked before the library reads them: it trusts
lengths, links and indices, and follows damaged ones into memory that is not there, or round and round."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from optml.algorithms.xgboost import ubjson

_MOST = 1 << 31  # features, outputs and categories are 32 bits wide
_CATEGORIES = 1 << 24  # of a feature: as many as a float32 tells apart
_DELETED = 0x7FFFFFFF  # the split of a node that pruning left behind


def check(content: bytes) -> bytes:
    """The text of the model itself, without the configuration that a pickled Booster has beside it.

    Raises ValueError saying what is wrong.
    """
    binary = content[1:2] in b"LlIiU"
    try:
        document = ubjson.read(content) if binary else _read(content)
        if "Model" in document:
            model = document["Model"]
            content = ubjson.member(content, "Model") if binary else json.dumps(model).encode()
            document = model
        _check_learner(document["learner"])
    except KeyError as error:
        raise ValueError(f"it has no {error}") from None
    except (TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"a part of it is of another kind than it must be: {error}") from None
    return content


def _read(content: bytes) -> Any:
    return json.loads(content.decode(), object_pairs_hook=_members)


def _members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member comes twice")
    return members


def _check_learner(learner: Mapping[str, Any]) -> None:
    parameters = learner["learner_model_param"]
    width = _count(parameters, "num_feature")
    outputs = max(_count(parameters, "num_class"), _count(parameters, "num_target", 1), 1)
    scores = json.loads(parameters["base_score"].lower())
    if isinstance(scores, list) and len(scores) not in (1, outputs):
        raise ValueError(f"{len(scores)} base scores of {outputs} outputs")
    for name in ("feature_names", "feature_types"):
        if len(learner.get(name, ())) not in (0, width):
            raise ValueError(f"{len(learner[name])} {name} of {width} features")
    booster = learner["gradient_booster"]
    if booster["name"] == "gblinear":
        rounds = None
        if len(booster["model"]["weights"]) != (width + 1) * outputs:
            raise ValueError(f"{len(booster['model']['weights'])} weights of {width} features")
    elif booster["name"] == "dart":
        rounds = _check_trees(booster["gbtree"]["model"], width, outputs)
        trees = len(booster["gbtree"]["model"]["trees"])
        _demand(len(booster["weight_drop"]) == trees, "the weights of its trees are not as many as these")
    else:
        rounds = _check_trees(booster["model"], width, outputs)
    best = learner.get("attributes", {}).get("best_iteration")
    if best is not None and rounds is not None:
        _demand(0 <= int(best) < rounds, f"its best round is {best}, of {rounds}")


def _check_trees(model: Mapping[str, Any], width: int, outputs: int) -> int:
    """Returns the number of rounds."""
    trees, parameters = model["trees"], model["gbtree_model_param"]
    count = _count(parameters, "num_trees")
    _demand(len(trees) == count, f"{len(trees)} trees, not {count}")
    ids = _whole([tree["id"] for tree in trees], "ids")
    _demand(np.array_equal(np.sort(ids), np.arange(count)), "its trees are numbered wrongly")
    groups = _whole(model["tree_info"], "tree_info", count)
    _demand(bool(((groups >= 0) & (groups < outputs)).all()), "a tree is of an output that it does not have")
    for tree in trees:
        try:
            _check_tree(tree, width, outputs)
        except ValueError as error:
            raise ValueError(f"tree {tree['id']}: {error}") from None
    if "cats" in model:
        _check_categories(model["cats"], width)
    if "iteration_indptr" not in model:
        each = max(_count(parameters, "num_parallel_tree", 1), 1) * outputs
        _demand(count % each == 0, f"{count} trees are no whole number of rounds")
        return count // each
    rounds = _whole(model["iteration_indptr"], "iteration_indptr")
    _demand(
        len(rounds) > 0 and rounds[0] == 0 and rounds[-1] == count and bool((np.diff(rounds) >= 0).all()),
        "its rounds are divided wrongly",
    )
    return len(rounds) - 1


def _check_tree(tree: Mapping[str, Any], width: int, outputs: int) -> None:
    parameters = tree["tree_param"]
    nodes = _count(parameters, "num_nodes")
    vector = max(_count(parameters, "size_leaf_vector", 1), 1)
    _demand(nodes > 0, "it has no nodes")
    _demand(_count(parameters, "num_feature", width) == width, "it is of other features")
    left, right, parents, splits = (
        _whole(tree[name], name, nodes)
        for name in ("left_children", "right_children", "parents", "split_indices")
    )
    for name in ("loss_changes", "sum_hessian", "split_conditions", "default_left"):
        _demand(len(tree[name]) == nodes, f"{len(tree[name])} {name} of {nodes} nodes")
    _demand(len(tree["base_weights"]) == nodes * vector, f"{len(tree['base_weights'])} base_weights")
    gone = (splits == _DELETED) | (splits == -1)
    _demand(_count(parameters, "num_deleted", 0) == gone.sum(), "it has other deleted nodes than it says")
    _demand(bool(((splits >= 0) & (splits < width))[~gone].all()), f"a split beyond the {width} features")
    _demand(bool(((parents[1:] >= 0) & (parents[1:] < nodes)).all()), "a node of no parent")
    inner = np.flatnonzero((left != -1) & ~gone)
    children = np.concatenate([left[inner], right[inner]])
    # The root has no parent and no node has two: so every way down ends.
    whole = bool(((children >= 1) & (children < nodes)).all()) and len(np.unique(children)) == len(children)
    _demand(whole and not gone[0] and not gone[children].any(), "its nodes are linked wrongly")
    _demand(np.array_equal(parents[children], np.tile(inner, 2)), "its nodes are linked wrongly")
    if vector > 1:
        leaves = np.flatnonzero(left == -1)
        _demand(vector == outputs, f"leaves of {vector} values, where there are {outputs} outputs")
        _demand(len(tree["leaf_weights"]) == len(leaves) * vector, "its leaves have not each their values")
        places = np.sort(right[leaves])
        _demand(np.array_equal(places, np.arange(len(leaves))), "its leaves are numbered wrongly")
    if vector > 1 or "split_type" in tree:  # engines before 1.3 wrote none
        _check_categorical_splits(tree, nodes)


def _check_categorical_splits(tree: Mapping[str, Any], nodes: int) -> None:
    kinds = _whole(tree["split_type"], "split_type")
    _demand(len(kinds) == nodes, f"{len(kinds)} split_type of {nodes} nodes")
    _demand(bool(((kinds == 0) | (kinds == 1)).all()), "a split of unknown kind")
    of_nodes, begins, sizes, values = (
        _whole(tree.get(f"categories{name}", ()), f"categories{name}")
        for name in ("_nodes", "_segments", "_sizes", "")
    )
    _demand(
        len(of_nodes) == len(begins) == len(sizes)
        and np.array_equal(of_nodes, np.flatnonzero(kinds))
        and bool(((begins >= 0) & (sizes >= 0) & (begins <= len(values) - sizes)).all())
        and bool(((values >= 0) & (values < _CATEGORIES)).all()),
        "its categories are divided wrongly",
    )


def _check_categories(categories: Mapping[str, Any], width: int) -> None:
    """The names or numbers that stand for categories; none where the model was trained without any."""
    columns = categories["enc"]
    segments, order = (_whole(categories[name], name) for name in ("feature_segments", "sorted_idx"))
    if not len(columns):
        _demand(not len(segments) and not len(order), "its categories are divided wrongly")
        return
    lengths = []
    for column in columns:
        values = column["values"]
        if "offsets" in column:
            offsets = _whole(column["offsets"], "offsets")
            ascending = bool((np.diff(offsets) >= 0).all())
            fits = len(offsets) == 0 or (offsets[0] == 0 and offsets[-1] == len(values))
            _demand(ascending and bool(fits), "its names of categories are divided wrongly")
            lengths.append(max(len(offsets) - 1, 0))
        else:
            lengths.append(len(values))
    ends = np.concatenate([[0], np.cumsum(lengths)])
    whole = np.array_equal(segments, ends) and len(columns) == width and len(order) == ends[-1]
    _demand(whole, "its categories are divided wrongly")
    for begin, end in pairwise(ends.tolist()):
        places = np.sort(order[begin:end])
        _demand(np.array_equal(places, np.arange(end - begin)), "its categories are sorted wrongly")


def _count(parameters: Mapping[str, Any], name: str, default: int | None = None) -> int:
    """A number that the library writes as text."""
    text = parameters[name] if default is None else parameters.get(name, str(default))
    _demand(isinstance(text, str), f"{name} is no text")
    value = int(text)
    _demand(text.isdecimal() and value < _MOST, f"{name} is {text}")
    return value


def _whole(values: Any, name: str, count: int | None = None) -> np.ndarray:
    """Whole numbers of 32 bits, (n,) int64."""
    array = np.asarray(values)
    if array.ndim != 1 or (len(array) and array.dtype.kind not in "biu"):
        raise ValueError(f"{name} are no whole numbers")
    _demand(count in (None, len(array)), f"{len(array)} {name}, not {count}")
    array = array.astype(np.int64)
    _demand(bool((np.abs(array) < _MOST).all()), f"{name} are too large")
    return array


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)

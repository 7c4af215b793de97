from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.algorithms.xgboost import boosters, native
from optml.errors import UserError
from tests.algorithms.xgboost.runs import CLASSES, FEATURES, NUMBERS, POSITIVE

TREES = {"max_depth": 2, "nthread": 1}


def booster(labels: Any = NUMBERS, **parameters: object) -> xgboost.Booster:
    defaults = {"nthread": 1} if parameters.get("booster") == "gblinear" else TREES
    return xgboost.train(defaults | parameters, xgboost.DMatrix(FEATURES, labels), 2)


def categorical() -> xgboost.Booster:
    whole = np.abs(FEATURES * 2).astype(int).astype(np.float32)
    matrix = xgboost.DMatrix(whole, NUMBERS, feature_types=["c"] * 5, enable_categorical=True)
    return xgboost.train(TREES | {"max_cat_to_onehot": 1}, matrix, 2)


KINDS: dict[str, Callable[[], xgboost.Booster]] = {
    "trees": booster,
    "classes": lambda: booster(CLASSES, objective="multi:softprob", num_class=3),
    "forest": lambda: booster(num_parallel_tree=3, subsample=0.5),
    "dart": lambda: booster(booster="dart", rate_drop=0.5),
    "linear": lambda: booster(booster="gblinear"),
    "linear, classes": lambda: booster(CLASSES, booster="gblinear", objective="multi:softmax", num_class=3),
    "vectors": lambda: booster(np.column_stack([NUMBERS, -NUMBERS]), multi_strategy="multi_output_tree"),
    "targets": lambda: booster(np.column_stack([NUMBERS, -NUMBERS])),
    "pruned": lambda: booster(tree_method="exact", gamma=50, max_depth=4),
    "categories": categorical,
    "no split": lambda: booster(POSITIVE, gamma=1e9),
}


@pytest.mark.parametrize("kind", KINDS)
def test_models_of_every_kind_are_whole(kind: str) -> None:
    model = KINDS[kind]()
    for form in ("ubj", "json"):
        content = bytes(model.save_raw(form))
        assert native.check(content) == content
    cut = native.check(bytes(model.__getstate__()["handle"]))
    assert boosters.parse(cut).save_raw("json") == model.save_raw("json")


def test_categories_that_pandas_named_are_whole() -> None:
    pandas = pytest.importorskip("pandas")
    names = pandas.Categorical(np.array(["red", "green", "blue"])[CLASSES.astype(int)])
    frame = pandas.DataFrame({"colour": names, "x": FEATURES[:, 0]})
    matrix = xgboost.DMatrix(frame, NUMBERS, enable_categorical=True)
    model = xgboost.train(TREES, matrix, 2)
    for form in ("ubj", "json"):
        native.check(bytes(model.save_raw(form)))


def damage(kind: str, path: str, value: object) -> bytes:
    """The JSON of a model with another value at `a/0/b`."""
    document = json.loads(bytes(KINDS[kind]().save_raw("json")))
    place: Any = document["learner"]
    *way, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    for step in way:
        place = place[step]
    place[last] = value
    return json.dumps(document).encode()


TREE = "gradient_booster/model/trees/0/"


@pytest.mark.parametrize(
    ("kind", "path", "value", "message"),
    [
        ("trees", TREE + "left_children/0", 0, "linked wrongly"),  # round and round
        ("trees", TREE + "left_children/0", 2, "linked wrongly"),
        ("trees", TREE + "right_children/0", 99, "linked wrongly"),
        ("trees", TREE + "parents/1", 99, "a node of no parent"),
        ("trees", TREE + "parents/1", 2, "linked wrongly"),
        ("trees", TREE + "split_indices/0", 5, "a split beyond the 5 features"),
        ("trees", TREE + "split_indices/0", 0x7FFFFFFF, "deleted nodes"),
        ("trees", TREE + "split_type/0", 1, "categories are divided wrongly"),
        ("trees", TREE + "tree_param/num_nodes", "4", "not 4"),
        ("trees", TREE + "tree_param/num_nodes", "-1", "num_nodes is -1"),
        ("trees", TREE + "loss_changes", [], "0 loss_changes"),
        ("trees", TREE + "id", 1, "numbered wrongly"),
        ("trees", "gradient_booster/model/tree_info/0", 1, "of an output that it does not have"),
        ("trees", "gradient_booster/model/iteration_indptr/1", 9, "rounds are divided wrongly"),
        ("trees", "gradient_booster/model/gbtree_model_param/num_trees", "3", "2 trees, not 3"),
        ("trees", "learner_model_param/num_feature", "99999999999", "num_feature is 99999999999"),
        ("trees", "learner_model_param/base_score", "[1,2]", "2 base scores of 1 outputs"),
        ("trees", "attributes", {"best_iteration": "7"}, "best round is 7, of 2"),
        ("trees", "feature_names", ["a"], "1 feature_names of 5"),
        ("trees", "gradient_booster", [], "another kind"),
        ("categories", TREE + "categories_sizes/0", 1 << 20, "categories are divided wrongly"),
        ("categories", TREE + "categories/0", 1 << 30, "categories are divided wrongly"),
        ("vectors", TREE + "leaf_weights", [1.0], "leaves have not each their values"),
        ("dart", "gradient_booster/weight_drop", [], "weights of its trees"),
        ("linear", "gradient_booster/model/weights", [0.5], "1 weights of 5 features"),
    ],
)
def test_what_would_lead_the_library_astray_is_refused(
    tmp_path: Path, kind: str, path: str, value: object, message: str
) -> None:
    file = tmp_path / "xgboost-model"
    file.write_bytes(damage(kind, path, value))
    with pytest.raises(UserError, match=f"damaged XGBoost model: .*{message}"):
        boosters.read(file)


WHOLE = [bytes(make().save_raw(form)) for make in KINDS.values() for form in ("ubj", "json")]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(WHOLE), st.randoms(use_true_random=False), st.integers(1, 4))
def test_any_damage_is_told(content: bytes, chance: random.Random, times: int) -> None:
    text = bytearray(content)
    for _ in range(times):
        text[chance.randrange(len(text))] ^= 1 << chance.randrange(8)
    try:
        sound = native.check(bytes(text))
    except ValueError:
        return
    # What passes is a model to the library too, or it says itself what is wrong.
    try:
        boosters.parse(sound).inplace_predict(FEATURES[:3], validate_features=False)
    except ValueError:
        return

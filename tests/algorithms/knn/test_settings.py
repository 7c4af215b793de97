from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optml.algorithms.knn.reduction import Reduction
from optml.algorithms.knn.settings import ModelSettings, read
from optml.errors import UserError

# As the developer guide shows it, in valid JSON.
GUIDE = {
    "k": 5,
    "predictor_type": "classifier",
    "dimension_reduction": {"type": "sign", "seed": 3, "target_dim": 10, "input_dim": 20},
    "normalize": False,
    "version": "1.0",
}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    settings = ModelSettings(
        k=4,
        predictor_type="regressor",
        reduction=Reduction("fjlt", 3, 4, 6),
        normalize=True,
        index_type="faiss.IVFFlat",
        index_metric="COSINE",
        nprobe=7,
        feature_dim=6,
        pad_dim=4,
    )
    settings.write(tmp_path / "a.json")
    assert read(tmp_path / "a.json") == settings
    content = json.loads((tmp_path / "a.json").read_text())
    assert list(content)[:5] == list(GUIDE)
    assert content["dimension_reduction"] == {"type": "fjlt", "seed": 3, "target_dim": 4, "input_dim": 6}


def test_without_reduction_the_key_is_null(tmp_path: Path) -> None:
    ModelSettings(4, "regressor").write(tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["dimension_reduction"] is None
    assert "rng" not in content


def test_the_file_of_aws_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(GUIDE | {"dimension_reduction": None}))
    assert read(path) == ModelSettings(5, "classifier")


def test_a_reduction_of_aws_cannot_be_made_again(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(GUIDE))
    with pytest.raises(UserError, match=r"key 'rng' does not say .*another program trained this model"):
        read(path)


RNG = {"rng": "numpy.random.Philox(key=seed).random_raw"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "key 'k' is 0; expected an integer >= 1"),
        ({"k": "5"}, "key 'k' is \"5\"; expected"),
        ({"k": True}, "key 'k' is true; expected"),
        ({"k": None}, "key 'k' is null; expected"),
        (
            {"predictor_type": "regresor"},
            "key 'predictor_type' is \"regresor\"; expected one of classifier, reg",
        ),
        ({"normalize": "no"}, "key 'normalize' is \"no\"; expected true or false"),
        ({"nprobe": -1}, "key 'nprobe' is -1"),
        ({"dimension_reduction": [1]}, r"key 'dimension_reduction' is \[1\]; expected null, or an object"),
        (RNG | {"dimension_reduction": {"type": "pca"}}, "key 'dimension_reduction.type' is \"pca\""),
        (RNG | {"dimension_reduction": {"type": "sign"}}, "key 'dimension_reduction.seed' is missing"),
    ],
)
def test_a_bad_edit_is_named_by_its_key(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(GUIDE | {"dimension_reduction": None} | change))
    with pytest.raises(UserError, match=message):
        read(path)


@pytest.mark.parametrize("text", ["", "[]", '{"k": 5, "normalize": False}', "\xff"])
def test_what_is_no_json_object_is_said_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=r"a\.json (is no valid JSON|holds no JSON object)"):
        read(tmp_path / "a.json")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([*GUIDE, "rng", "nprobe", "feature_dim"]), values))
def test_any_content_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(content))
    try:
        settings = read(path)
    except UserError:
        return
    assert settings.k == content["k"]

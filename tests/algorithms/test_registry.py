from __future__ import annotations

from pathlib import Path

import pytest

from optml.algorithms import registry
from optml.errors import UserError


def test_an_unknown_slug_gets_the_nearest_one() -> None:
    with pytest.raises(UserError, match="did you mean 'kmeans'"):
        registry.get("kmean")


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("deepar", "forecasting-deepar"),
        ("DeepAR", "forecasting-deepar"),
        ("forecasting_deepar", "forecasting-deepar"),
        ("rcf", "randomcutforest"),
        ("random-cut-forest", "randomcutforest"),
        ("RandomCutForest", "randomcutforest"),
        ("fm", "factorization-machines"),
        ("FactorizationMachines", "factorization-machines"),
        ("k-means", "kmeans"),
        ("KMeans", "kmeans"),
        ("xgb", "xgboost"),
        ("sagemaker-xgboost", "xgboost"),
        ("word2vec", "blazingtext"),
        ("fastText", "blazingtext"),
        ("linear_learner", "linear-learner"),
        ("LinearLearner", "linear-learner"),
        ("k-NN", "knn"),
        ("IPInsights", "ipinsights"),
        ("neural topic model", "ntm"),
    ],
)
def test_an_algorithm_answers_to_the_names_that_people_say(name: str, slug: str) -> None:
    assert registry.get(name).slug == slug
    assert registry.chosen({"OPTML_ALGORITHM": name}) == slug


def test_no_alias_hides_a_slug_or_needs_spelling_of_its_own() -> None:
    for alias, slug in registry.ALIASES.items():
        assert slug in registry.MODULES
        assert registry.canonical(alias.upper()) == slug
    for slug in registry.MODULES:
        assert registry.canonical(slug) == slug


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("deeparr", "forecasting-deepar"),
        ("word2vek", "blazingtext"),
        ("k_meens", "kmeans"),
    ],
)
def test_a_misspelt_alias_is_told_the_slug(name: str, slug: str) -> None:
    with pytest.raises(UserError, match=f"there is no algorithm '{name}'; did you mean '{slug}'"):
        registry.get(name)


def test_every_algorithm_of_the_family_is_built() -> None:
    assert len(registry.available()) == len(registry.MODULES) == 17


@pytest.mark.parametrize("slug", registry.available())
def test_every_available_algorithm_carries_its_own_slug(slug: str) -> None:
    assert registry.get(slug).slug == slug


def test_model_json_names_the_algorithm(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"algorithm": "pca"}')
    assert registry.recognise(tmp_path) == "pca"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"algorithm": 3}'])
def test_a_foreign_folder_is_not_recognised(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.json").write_text(text)
    assert registry.recognise(tmp_path) is None


@pytest.mark.parametrize("value", ["", " ", "all"])
def test_an_image_of_all_algorithms_has_chosen_none(value: str) -> None:
    assert registry.chosen({"OPTML_ALGORITHM": value}) is None
    assert registry.chosen({}) is None


def test_an_image_of_one_algorithm_has_chosen_it() -> None:
    assert registry.chosen({"OPTML_ALGORITHM": "kmeans"}) == "kmeans"

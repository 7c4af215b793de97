from __future__ import annotations

from pathlib import Path

import pytest

from algorithms import registry
from algorithms.errors import UserError


def test_an_unknown_slug_gets_the_nearest_one() -> None:
    with pytest.raises(UserError, match="did you mean 'kmeans'"):
        registry.get("kmean")


def test_an_algorithm_of_the_family_that_is_not_built_says_so() -> None:
    missing = next(slug for slug, module in registry.MODULES.items() if module is None)
    with pytest.raises(UserError, match="not built yet"):
        registry.get(missing)


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

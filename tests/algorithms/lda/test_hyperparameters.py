"""Hyperparameters of LDA."""

from __future__ import annotations

import pytest

from optml.algorithms.lda.hyperparameters import Hyperparameters
from optml.container.hyperparameters import parse
from optml.errors import UserError


def read(texts: dict[str, str]) -> Hyperparameters:
    return parse(texts, Hyperparameters, ())[0]


GIVEN = {"num_topics": "10", "feature_dim": "25", "mini_batch_size": "5400"}


def test_defaults_are_those_of_the_closed_image() -> None:
    h = read(GIVEN)
    assert (h.alpha0, h.max_restarts, h.max_iterations, h.tol, h.allow_svd_init) == (1, 10, 1000, 1e-8, True)
    assert h.refine
    assert h.components == 13


def test_there_are_no_more_components_than_words() -> None:
    assert read(GIVEN | {"feature_dim": "11"}).components == 11


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("num_topics", "26", "there are at most 25 topics"),
        ("num_topics", None, "num_topics is required"),
        ("mini_batch_size", None, "mini_batch_size is required"),
        ("alpha0", "0", "alpha0='0'"),
        ("epochs", "2", "epochs='2'"),
        ("max_restart", "2", "max_restarts"),
    ],
)
def test_mistakes_are_named(name: str, value: str | None, said: str) -> None:
    given = {key: text for key, text in (GIVEN | {name: value}).items() if text is not None}
    with pytest.raises(UserError, match=said):
        read(given)


def test_the_plain_recipe_is_asked_for_by_its_internal_name() -> None:
    assert not read(GIVEN | {"_refine": "false", "_kvstore": "local"}).refine

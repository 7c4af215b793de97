"""Hyperparameters as SageMaker's strings."""

from __future__ import annotations

import pytest

from optml.algorithms.ntm.hyperparameters import Hyperparameters
from optml.container.hyperparameters import parse
from optml.errors import UserError

SIZE = {"feature_dim": "100", "num_topics": "5"}


def read(**given: str) -> Hyperparameters:
    return parse(SIZE | given, Hyperparameters, [])[0]


def test_defaults_are_those_of_the_guide() -> None:
    given = read()
    assert given.layers == (15, 10)
    assert given.clip is None
    assert (given.optimizer, given.mini_batch_size, given.epochs) == ("adadelta", 256, 50)


@pytest.mark.parametrize("text", ["60,40", "[60, 40]", '["60", "40"]'])
def test_layers_come_as_list_or_text(text: str) -> None:
    assert read(encoder_layers=text).layers == (60, 40)


@pytest.mark.parametrize("text", ["Inf", "inf", "INF"])
def test_clipping_is_off_by_any_infinity(text: str) -> None:
    assert read(clip_gradient=text).clip is None
    assert read(clip_gradient="0.5").clip == 0.5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"encoder_layers": "60,-1"}, "encoder_layers='60,-1' is not a list of an integer >= 1 or 'auto'"),
        ({"encoder_layers": "60,x"}, "encoder_layers='60,x' is not"),
        ({"encoder_layers": "[]"}, "encoder_layers is empty"),
        ({"optimizer": "adamw"}, "'sgd', 'adam', 'adagrad', 'adadelta', 'rmsprop'"),
        ({"encoder_layers_activation": "gelu"}, "one of 'sigmoid', 'tanh', 'relu'"),
        ({"sub_sample": "0"}, "sub_sample is 0: no document would be used"),
        ({"num_topics": "1"}, "num_topics='1' is not an integer >= 2 and <= 1000"),
        ({"clip_gradient": "0"}, "clip_gradient='0' is not a number >= 0.001 or 'Inf'"),
    ],
)
def test_what_cannot_be_is_named_with_what_can(given: dict[str, str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(**given)
    assert message in str(caught.value)

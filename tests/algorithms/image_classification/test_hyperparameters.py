"""Hyperparameters of Image Classification and the rules between them."""

from __future__ import annotations

import pytest

from optml.algorithms.image_classification.hyperparameters import Hyperparameters
from optml.container.hyperparameters import parse
from optml.errors import UserError


def read(**texts: object) -> Hyperparameters:
    required = {"num_classes": "4", "num_training_samples": "100"}
    return parse(required | {name: str(text) for name, text in texts.items()}, Hyperparameters, ())[0]


def test_defaults_are_those_of_aws() -> None:
    hyperparameters = read()
    assert (hyperparameters.num_layers, hyperparameters.image_shape, hyperparameters.learning_rate) == (
        152,
        "3,224,224",
        0.1,
    )
    assert (hyperparameters.momentum, hyperparameters.weight_decay, hyperparameters.mini_batch_size) == (
        0.9,
        0.0001,
        32,
    )
    assert (hyperparameters.optimizer, hyperparameters.epochs, hyperparameters.lr_scheduler_factor) == (
        "sgd",
        30,
        0.1,
    )


def test_texts_of_notebooks_are_read() -> None:
    hyperparameters = read(
        lr_scheduler_step="10, 20", image_shape="3, 28,28", use_pretrained_model="1", num_layers="18"
    )
    assert hyperparameters.lr_scheduler_step == (10, 20)
    assert hyperparameters.shape == (3, 28, 28)
    assert read(early_stopping="True").early_stopping
    assert read(resize=224).resize == 224  # equal to the crop, as in AWS's own demo


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"num_layers": 19}, "num_layers='19' is not one of 18, 34, 50"),
        ({"image_shape": "224,224"}, "image_shape is '224,224'; expected channels"),
        ({"image_shape": "4,224,224"}, "expected channels"),
        ({"image_shape": "3,0,224"}, "expected channels"),
        ({"resize": 223}, "resize is 223, less than the height 224 or width 224 of image_shape"),
        ({"use_pretrained_model": 1, "num_layers": 20}, "pretrained weights are of 18, 34, 50, 101, 152"),
        ({"top_k": 1}, "top_k='1' is not an integer >= 2"),
        ({"top_k": 5}, "top_k is 5, more than the num_classes of 4"),
        ({"checkpoint_frequency": 31}, "checkpoint_frequency is 31, more than the 30 epochs"),
        ({"lr_scheduler_step": "-1,4"}, "lr_scheduler_step is -1,4; expected epochs, from 0 on"),
        ({"multi_label": 2}, "multi_label='2' is not one of 0, 1"),
        ({"augmentation_type": "cropp"}, "did you mean 'crop'?"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_is_said(texts: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        read(**texts)
    assert message in str(error.value)

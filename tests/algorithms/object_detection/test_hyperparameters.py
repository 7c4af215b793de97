"""Hyperparameters of Object Detection and the rules between them."""

from __future__ import annotations

import pytest

from optml.algorithms.object_detection.hyperparameters import Hyperparameters
from optml.container.hyperparameters import parse
from optml.errors import UserError


def read(**texts: object) -> Hyperparameters:
    required = {"num_classes": "4", "num_training_samples": "100"}
    return parse(required | {name: str(text) for name, text in texts.items()}, Hyperparameters, ())[0]


def test_defaults_are_those_of_aws() -> None:
    own = read()
    assert (own.base_network, own.image_shape, own.use_pretrained_model) == ("vgg-16", 300, 0)
    assert (own.optimizer, own.learning_rate, own.momentum, own.weight_decay) == ("sgd", 0.001, 0.9, 0.0005)
    assert (own.mini_batch_size, own.epochs, own.lr_scheduler_factor, own.lr_scheduler_step) == (
        32, 30, 0.1, None,
    )  # fmt: skip
    assert (own.nms_threshold, own.nms_topk, own.overlap_threshold, own.label_width) == (0.45, 400, 0.5, 350)


def test_texts_of_notebooks_are_read() -> None:
    own = read(
        lr_scheduler_step="", mini_batch_size=1, _begin_epoch=0, _kvstore="device", _num_kv_servers="auto",
        freeze_layer_pattern="", image_shape=512, use_pretrained_model=1, label_width=600,
    )  # fmt: skip
    assert own.lr_scheduler_step is None
    assert (own.mini_batch_size, own.image_shape) == (1, 512)
    assert read(lr_scheduler_step="33,67").lr_scheduler_step == (33, 67)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"base_network": "resnet-51"}, "base_network='resnet-51' is not one of 'vgg-16', 'resnet-50'"),
        ({"image_shape": 299}, "image_shape='299' is not an integer >= 300"),
        ({"freeze_layer_pattern": "^(conv1_"}, "freeze_layer_pattern is '^(conv1_', which is no regular"),
        ({"lr_scheduler_step": "0,4"}, "lr_scheduler_step is 0,4; expected numbers of epochs, from 1 on"),
        ({"use_pretrained_model": 2}, "use_pretrained_model='2' is not one of 0, 1"),
        ({"lr_scheduler_factor": 1}, "lr_scheduler_factor='1' is not a number > 0 and < 1"),
        ({"nms_threshold": 0}, "nms_threshold='0' is not a number > 0 and <= 1"),
        ({"optimizer": "adagrad"}, "optimizer='adagrad' is not one of 'sgd', 'adam', 'rmsprop', 'adadelta'"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_is_said(texts: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        read(**texts)
    assert message in str(error.value)

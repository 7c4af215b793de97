from __future__ import annotations

import pytest

from optml.algorithms.semantic_segmentation.hyperparameters import Hyperparameters
from optml.container.hyperparameters import parse
from optml.errors import UserError

NEEDED = {"num_classes": "21", "num_training_samples": "1464"}


def parsed(**given: str) -> Hyperparameters:
    return parse(NEEDED | given, Hyperparameters, [])[0]


def test_what_is_not_given_is_as_aws_has_it() -> None:
    own = parsed()
    assert (own.backbone, own.algorithm, own.optimizer) == ("resnet-50", "fcn", "sgd")
    assert (own.crop_size, own.base_size, own.mini_batch_size, own.epochs) == (240, 520, 16, 10)
    assert (own.learning_rate, own.lr_scheduler, own.lr_scheduler_factor) == (0.001, "poly", 0.1)
    assert (own.aux_loss, own.aux_weight, own.logging_frequency, own.syncbn) == (True, 0.5, 20, False)
    assert own.use_pretrained_model
    assert "use_pretrained_model" not in own.model_fields_set
    assert own.iterations == 91  # of AWS's log


def test_the_keys_of_aws_s_default_file_are_taken() -> None:
    own = parsed(
        use_pretrained_model="True", syncbn="False", _aux_loss="False", _aux_weight="0.4", _hybrid="False",
        _logging_frequency="5", _kvstore="device", _num_kv_servers="auto", _workers="16",
        _augmentation_type="default", precision_dtype="float32", lr_scheduler_step="4, 8",
    )  # fmt: skip
    assert (own.aux_loss, own.aux_weight, own.logging_frequency) == (False, 0.4, 5)
    assert own.lr_scheduler_step == (4, 8)
    assert "use_pretrained_model" in own.model_fields_set


def test_crops_are_multiples_of_the_stride() -> None:
    assert [parsed(crop_size=str(side)).crop for side in (17, 64, 65, 241)] == [24, 64, 72, 248]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"num_classes": "1"}, "num_classes"),
        ({"num_classes": "255"}, "num_classes"),
        ({"crop_size": "16"}, "crop_size"),
        ({"base_size": "16"}, "base_size"),
        ({"lr_scheduler": "step"}, "lr_scheduler=step needs lr_scheduler_step"),
        ({"lr_scheduler": "step", "lr_scheduler_step": "-1,4"}, "lr_scheduler_step is -1,4; expected epochs"),
        ({"backbone": "resnet-34"}, "backbone"),
        ({"algorithm": "unet"}, "algorithm"),
        ({"learning_rate": "0"}, "learning_rate"),
        ({"crop_sise": "64"}, "crop_size"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(given: dict[str, str], said: str) -> None:
    with pytest.raises(UserError) as error:
        parsed(**given)
    assert said in str(error.value)

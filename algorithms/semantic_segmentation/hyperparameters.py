"""Hyperparameters of Semantic Segmentation, with AWS's names, bounds and defaults."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from optml.algorithms import base

Backbone = Literal["resnet-50", "resnet-101"]
Decoder = Literal["fcn", "psp", "deeplab"]
Optimizer = Literal["adam", "adagrad", "nag", "rmsprop", "sgd", "adadelta"]

STRIDE = 8  # pixels of an image between two scores; sides of crops are multiples of it


def _when(condition: str, tunable: tuple[float, float] | None = None) -> dict[str, Any]:
    extra: dict[str, Any] = {"applies_when": condition}
    if tunable:
        extra |= _tunable(*tunable)
    return extra


def _tunable(low: float, high: float) -> dict[str, Any]:
    return {"tunable": {"scale": None, "min": low, "max": high}}


class Hyperparameters(base.Hyperparameters):
    backbone: Backbone = Field("resnet-50", description="The network whose features are read: its encoder.")
    use_pretrained_model: bool = Field(
        True,
        description="Begin the encoder with pretrained weights; the decoder always begins at random. Where "
        "none fit, a job that asked for them ends; one that did not say begins at random, with a warning.",
    )
    algorithm: Decoder = Field("fcn", description="The decoder: FCN, PSP (pyramid of pools) or DeepLab v3.")
    num_classes: int = Field(
        ge=2, le=254, description="Classes, background included; the pixel value 255 is ignored."
    )
    num_training_samples: int = Field(
        ge=1,
        description="Images of the training channel: num_training_samples // mini_batch_size updates are an "
        "epoch of the schedule of the rate.",
    )
    base_size: int = Field(
        520, gt=16, description="In training the longer side of an image becomes this times 0.5 to 2."
    )
    crop_size: int = Field(
        240, gt=16, description="Side of the square that training sees, up to the next multiple of 8."
    )
    early_stopping: bool = Field(False, description="Stop when the validation mIOU rises no more.")
    early_stopping_min_epochs: int = Field(
        5,
        description="Epochs before training may stop early.",
        json_schema_extra=_when("early_stopping=True"),
    )
    early_stopping_patience: int = Field(
        4,
        description="Epochs without improvement before training stops.",
        json_schema_extra=_when("early_stopping=True"),
    )
    early_stopping_tolerance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="A mIOU counts as better if (mIOU - best) / best is above this.",
        json_schema_extra=_when("early_stopping=True"),
    )
    epochs: int = Field(10, ge=1, description="Passes over the training images, at most.")
    gamma1: float = Field(
        0.9, ge=0, le=1, description="Decay of RMSProp's mean of squared gradients.",
        json_schema_extra=_when("optimizer=rmsprop"),
    )  # fmt: skip
    gamma2: float = Field(
        0.9, ge=0, le=1, description="RMSProp's momentum.", json_schema_extra=_when("optimizer=rmsprop")
    )
    learning_rate: float = Field(
        0.001,
        gt=0,
        le=1,
        description="First learning rate of the encoder; heads learn at ten times the rate.",
        json_schema_extra=_tunable(1e-4, 0.1),
    )
    lr_scheduler: Literal["poly", "step", "cosine"] = Field(
        "poly", description="poly: (1 - t / T)^0.9 of the first rate. cosine: half of one. step: by epochs."
    )
    lr_scheduler_factor: float = Field(
        0.1, ge=0, le=1, description="The rate is multiplied by this at the start of each lr_scheduler_step.",
        json_schema_extra=_when("lr_scheduler=step"),
    )  # fmt: skip
    lr_scheduler_step: tuple[int, ...] | None = Field(
        None,
        description="Epochs, from 0, at whose start the rate is multiplied, such as 10,20.",
        json_schema_extra=_when("required when lr_scheduler=step"),
    )
    mini_batch_size: int = Field(
        16, ge=1, description="Images of an update, of all GPUs.", json_schema_extra=_tunable(1, 128)
    )
    momentum: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Momentum.",
        json_schema_extra=_when("optimizer in sgd,nag", (0.9, 0.999)),
    )
    optimizer: Optimizer = Field(
        "sgd",
        description="sgd with momentum, nag (Nesterov), adam, adagrad, adadelta, or rmsprop (centered).",
        json_schema_extra={
            "tunable": {"scale": None, "min": None, "max": None, "values": ["sgd", "adam", "adadelta"]},
            "deviation": "AWS's tuning page lists adadelta, which its page of hyperparameters leaves out.",
        },
    )
    syncbn: bool = Field(False, description="Batch norm over the batches of all GPUs.")
    validation_mini_batch_size: int = Field(16, ge=1, description="Validation images taken together.")
    weight_decay: float = Field(
        0.0001,
        gt=0,
        lt=1,
        description="L2 coefficient.",
        json_schema_extra=_when("optimizer=sgd", (1e-5, 1e-3)),
    )
    precision_dtype: Literal["float32", "float16"] = Field(
        "float32",
        description="float16: in half precision, float32 weights; bfloat16 where the machine has it.",
    )
    aux_loss: bool = Field(
        True, alias="_aux_loss", description="Train a second head on the features of the third stage too."
    )
    aux_weight: float = Field(0.5, ge=0, alias="_aux_weight", description="Weight of its loss.")
    logging_frequency: int = Field(
        20, ge=1, alias="_logging_frequency", description="Updates between two lines about progress."
    )

    @model_validator(mode="after")
    def _check(self) -> Hyperparameters:
        steps = self.lr_scheduler_step
        if self.lr_scheduler == "step" and not steps:
            raise ValueError(
                "lr_scheduler=step needs lr_scheduler_step: the epochs at which the rate falls, such as 10,20"
            )
        if min(steps or (0,)) < 0:
            shown = ",".join(map(str, steps or ()))
            raise ValueError(f"lr_scheduler_step is {shown}; expected epochs, from 0 on, such as 10,20")
        return self

    @property
    def crop(self) -> int:
        """The side of crops in pixels, a multiple of the network's stride."""
        return -(-self.crop_size // STRIDE) * STRIDE

    @property
    def depth(self) -> int:
        return int(self.backbone.rpartition("-")[2])

    @property
    def iterations(self) -> int:
        """Updates that make an epoch of the schedule."""
        return max(self.num_training_samples // self.mini_batch_size, 1)

"""Hyperparameters of Object Detection, with AWS's names, bounds and defaults."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from optml.algorithms import base

Optimizer = Literal["sgd", "adam", "rmsprop", "adadelta"]
DECAYING = ("sgd", "rmsprop")  # those with weight_decay


def _when(condition: str, tunable: tuple[float, float] | None = None) -> dict[str, Any]:
    extra: dict[str, Any] = {"applies_when": condition}
    if tunable:
        extra["tunable"] = {"scale": None, "min": tunable[0], "max": tunable[1]}
    return extra


def _tunable(low: float, high: float) -> dict[str, Any]:
    return {"tunable": {"scale": None, "min": low, "max": high}}


class Hyperparameters(base.Hyperparameters):
    num_classes: int = Field(ge=1, description="Classes of objects, the background not counted.")
    num_training_samples: int = Field(
        ge=1,
        description="Images of the training channel: rates fall after steps of this // mini_batch_size "
        "updates. "
        "Images are counted all the same, and a wrong number is only warned of.",
    )
    base_network: Literal["vgg-16", "resnet-50"] = Field("vgg-16", description="The network of the features.")
    early_stopping: bool = Field(False, description="Stop when the validation mAP rises no more.")
    early_stopping_min_epochs: int = Field(
        10, ge=1, description="Epochs before training may stop early.",
        json_schema_extra=_when("early_stopping=True"),
    )  # fmt: skip
    early_stopping_patience: int = Field(
        5, ge=1, description="Epochs without improvement before training stops.",
        json_schema_extra=_when("early_stopping=True"),
    )  # fmt: skip
    early_stopping_tolerance: float = Field(
        0.0, ge=0, le=1, description="A mAP counts as better if (mAP - best) / best is above this.",
        json_schema_extra=_when("early_stopping=True"),
    )  # fmt: skip
    image_shape: int = Field(
        300,
        ge=300,
        description="Side of the square in pixels that images are stretched to; 300 and 512 are recommended.",
    )
    epochs: int = Field(30, ge=1, description="Passes over the training images, at most.")
    freeze_layer_pattern: str = Field(
        "",
        description="A regular expression, matched at the start of the names of the base network's "
        "parameters, "
        "AWS's or ours; what matches is not trained, such as ^(conv1_|conv2_).*",
    )
    kv_store: Literal["dist_sync", "dist_async"] | None = Field(
        None,
        description="How several machines exchange gradients; both are synchronous here.",
        json_schema_extra=_when("more than one machine"),
    )
    label_width: int = Field(
        350,
        ge=1,
        description="Numbers of an image's label: 2, and 5 or 6 of each object. Grows by itself where it "
        "is too "
        "small.",
    )
    learning_rate: float = Field(
        0.001, gt=0, le=1, description="First learning rate.", json_schema_extra=_tunable(1e-6, 0.5)
    )
    lr_scheduler_factor: float = Field(
        0.1, gt=0, lt=1, description="The rate is multiplied by this after each lr_scheduler_step."
    )
    lr_scheduler_step: tuple[int, ...] | None = Field(
        None, description="Epochs after which the rate is multiplied, such as 10,20; empty: none."
    )
    mini_batch_size: int = Field(
        32, ge=1, description="Images of an update, on each machine.", json_schema_extra=_tunable(8, 64)
    )
    momentum: float = Field(
        0.9, gt=0, le=1, description="Momentum.", json_schema_extra=_when("optimizer=sgd", (0.0, 0.999))
    )
    nms_threshold: float = Field(
        0.45,
        gt=0,
        le=1,
        description="A box that overlaps a better one of its class by this IoU or more is dropped.",
    )
    nms_topk: int = Field(
        400, ge=-1, description="Not documented by AWS: of an image so many boxes at most; -1: all."
    )
    optimizer: Optimizer = Field(
        "sgd",
        description="sgd with momentum, adam, rmsprop (not centered), or adadelta.",
        json_schema_extra={
            "tunable": {
                "scale": None, "min": None, "max": None, "values": ["sgd", "adam", "rmsprop", "adadelta"],
            }
        },
    )  # fmt: skip
    overlap_threshold: float = Field(
        0.5, gt=0, le=1, description="IoU above which a detection is right, in the mAP."
    )
    use_pretrained_model: Literal[0, 1] = Field(
        0, ge=0, le=1, description="1: begin with pretrained weights of the base network."
    )
    weight_decay: float = Field(
        0.0005,
        gt=0,
        lt=1,
        description="L2 coefficient.",
        json_schema_extra=_when("optimizer in sgd,rmsprop", (0.0, 0.999)),
    )

    @field_validator("freeze_layer_pattern")
    @classmethod
    def _compiles(cls, text: str) -> str:
        try:
            re.compile(text)
        except re.error as error:
            raise ValueError(
                f"freeze_layer_pattern is '{text}', which is no regular expression: {error}; expected one "
                f"such as "
                "^(conv1_|conv2_).*"
            ) from None
        return text

    @model_validator(mode="after")
    def _check(self) -> Hyperparameters:
        if min(self.lr_scheduler_step or (1,)) < 1:
            steps = ",".join(map(str, self.lr_scheduler_step or ()))
            raise ValueError(
                f"lr_scheduler_step is {steps}; expected numbers of epochs, from 1 on, such as 10,20"
            )
        return self

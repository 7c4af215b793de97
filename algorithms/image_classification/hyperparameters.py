"""Hyperparameters of Image Classification, with AWS's names, bounds and defaults."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from optml.algorithms import base
from optml.algorithms.vision.architecture import LARGE, SMALL

Depth = Literal[18, 34, 50, 101, 152, 200, 20, 32, 44, 56, 110]
Optimizer = Literal["sgd", "adam", "rmsprop", "nag"]
Augmentation = Literal["crop", "crop_color", "crop_color_transform"]

SGD = ("sgd", "nag")  # those with momentum and weight decay


def _when(condition: str, tunable: tuple[float, float] | None = None) -> dict[str, Any]:
    extra: dict[str, Any] = {"applies_when": condition}
    if tunable:
        extra["tunable"] = {"scale": None, "min": tunable[0], "max": tunable[1]}
    return extra


def _tunable(low: float, high: float) -> dict[str, Any]:
    return {"tunable": {"scale": None, "min": low, "max": high}}


class Hyperparameters(base.Hyperparameters):
    num_classes: int = Field(
        ge=1, description="Outputs of the network; with multi_label=1 the number of labels."
    )
    num_training_samples: int = Field(
        ge=1,
        description="Images of the training channel. They are counted all the same, and a wrong number is "
        "warned of.",
    )
    augmentation_type: Augmentation | None = Field(
        None,
        description="Not given: a crop of the middle. crop: at a random place, half of the images mirrored. "
        "crop_color: hue, lightness and saturation change too (36, 50, 50). crop_color_transform: "
        "also rotation (10 degrees), shear (0.1) and aspect (0.25).",
    )
    beta_1: float = Field(
        0.9, ge=0, le=1, description="Decay of Adam's first moment.",
        json_schema_extra=_when("optimizer=adam", (1e-6, 0.999)),
    )  # fmt: skip
    beta_2: float = Field(
        0.999, ge=0, le=1, description="Decay of Adam's second moment.",
        json_schema_extra=_when("optimizer=adam", (1e-6, 0.999)),
    )  # fmt: skip
    checkpoint_frequency: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Epochs between checkpoints, which are all in the model's archive. Not given: only the "
        "best epoch's weights are kept.",
        json_schema_extra=_when("<= epochs"),
    )
    early_stopping: bool = Field(False, description="Stop when the validation accuracy rises no more.")
    early_stopping_min_epochs: int = Field(
        10, ge=1, description="Epochs before training may stop early.",
        json_schema_extra=_when("early_stopping=True"),
    )  # fmt: skip
    early_stopping_patience: int = Field(
        5, ge=1, description="Epochs without improvement before training stops.",
        json_schema_extra=_when("early_stopping=True"),
    )  # fmt: skip
    early_stopping_tolerance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="An accuracy counts as better if (accuracy - best) / best is above this.",
        json_schema_extra=_when("early_stopping=True"),
    )
    epochs: int = Field(30, ge=1, description="Passes over the training images, at most.")
    eps: float = Field(
        1e-8, ge=0, le=1, description="Summand of Adam's and RMSProp's denominators.",
        json_schema_extra=_when("optimizer in adam,rmsprop", (1e-8, 1.0)),
    )  # fmt: skip
    gamma: float = Field(
        0.9, ge=0, le=1, description="Decay of RMSProp's mean of squared gradients.",
        json_schema_extra=_when("optimizer=rmsprop", (1e-8, 0.999)),
    )  # fmt: skip
    image_shape: str = Field(
        "3,224,224", description="Channels (1 or 3), height, width of the network's input."
    )
    kv_store: Literal["dist_sync", "dist_async"] | None = Field(
        None,
        description="How several machines exchange gradients; both are synchronous here.",
        json_schema_extra=_when("more than one machine"),
    )
    learning_rate: float = Field(
        0.1, ge=0, le=1, description="First learning rate.", json_schema_extra=_tunable(1e-6, 0.5)
    )
    lr_scheduler_factor: float = Field(
        0.1, ge=0, le=1, description="The rate is multiplied by this at the start of each lr_scheduler_step."
    )
    lr_scheduler_step: tuple[int, ...] | None = Field(
        None, description="Epochs, from 0, at whose start the rate is multiplied, such as 10,20."
    )
    mini_batch_size: int = Field(
        32, ge=1, description="Images of an update, on each machine.", json_schema_extra=_tunable(8, 512)
    )
    momentum: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Momentum.",
        json_schema_extra=_when("optimizer in sgd,nag", (0.0, 0.999)),
    )
    multi_label: Literal[0, 1] = Field(
        0,
        ge=0,
        le=1,
        description="1: several labels an image; sigmoid, binary cross entropy, accuracy over all labels.",
    )
    num_layers: Depth = Field(
        152,
        description="Layers of the network: 18 to 200 for large images, 20 to 110 for small ones (height at "
        "most 28). With use_pretrained_model one of 18, 34, 50, 101, 152, 200.",
    )
    optimizer: Optimizer = Field(
        "sgd",
        description="sgd with momentum, nag (Nesterov), adam, or rmsprop (not centered).",
        json_schema_extra={
            "tunable": {"scale": None, "min": None, "max": None, "values": ["sgd", "adam", "rmsprop", "nag"]}
        },
    )
    precision_dtype: Literal["float32", "float16"] = Field(
        "float32",
        description="float16: in half precision, float32 weights; bfloat16 where the machine has it.",
    )
    resize: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Shorter side of an image before the crop; at least height and width of image_shape.",
        json_schema_extra=_when("required for image content types, optional for RecordIO"),
    )
    top_k: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Tell too how often the label is among so many most probable ones in training."
    )
    use_pretrained_model: Literal[0, 1] = Field(
        0,
        ge=0,
        le=1,
        description="1: begin with pretrained weights, all but the last layer; all are trained.",
    )
    use_weighted_loss: Literal[0, 1] = Field(
        0,
        ge=0,
        le=1,
        description="1: the images with a label count as much as those without it.",
        json_schema_extra=_when("multi_label=1"),
    )
    weight_decay: float = Field(
        0.0001,
        ge=0,
        le=1,
        description="L2 coefficient.",
        json_schema_extra=_when("optimizer in sgd,nag", (0.0, 0.999)),
    )

    @model_validator(mode="after")
    def _check(self) -> Hyperparameters:
        shape = re.fullmatch(r"\s*([13])\s*,\s*([1-9]\d{0,4})\s*,\s*([1-9]\d{0,4})\s*", self.image_shape)
        if not shape:
            raise ValueError(
                f"image_shape is '{self.image_shape}'; expected channels (1 or 3), height and width, "
                "such as 3,224,224"
            )
        _, height, width = self.shape
        if self.resize is not None and self.resize < max(height, width):
            raise ValueError(
                f"resize is {self.resize}, less than the height {height} or width {width} of image_shape: a "
                "crop of that size needs a shorter side that is no smaller"
            )
        if self.use_pretrained_model and self.num_layers in SMALL:
            raise ValueError(
                f"use_pretrained_model=1 with num_layers={self.num_layers}: pretrained weights are of "
                f"{', '.join(map(str, LARGE))} layers"
            )
        if self.top_k is not None and self.top_k > self.num_classes:
            raise ValueError(f"top_k is {self.top_k}, more than the num_classes of {self.num_classes}")
        if min(self.lr_scheduler_step or (0,)) < 0:
            steps = ",".join(map(str, self.lr_scheduler_step or ()))
            raise ValueError(f"lr_scheduler_step is {steps}; expected epochs, from 0 on, such as 10,20")
        if self.checkpoint_frequency is not None and self.checkpoint_frequency > self.epochs:
            raise ValueError(
                f"checkpoint_frequency is {self.checkpoint_frequency}, more than the {self.epochs} "
                "epochs: no "
                "checkpoint would be written"
            )
        return self

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width of image_shape."""
        channels, height, width = map(int, self.image_shape.split(","))
        return channels, height, width

    @property
    def sgd(self) -> bool:
        """Are there momentum and weight decay?"""
        return self.optimizer in SGD

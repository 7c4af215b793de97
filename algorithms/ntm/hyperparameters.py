"""Hyperparameters of the Neural Topic Model, as the developer guide lists them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from optml.algorithms import base

Activation = Literal["sigmoid", "tanh", "relu"]
Optimizer = Literal["sgd", "adam", "adagrad", "adadelta", "rmsprop"]


def _tunable(low: float, high: float) -> dict[str, Any]:
    return {"tunable": {"scale": None, "min": low, "max": high}}


def _among(*values: str) -> dict[str, Any]:
    return {"tunable": {"scale": None, "min": None, "max": None, "values": list(values)}}


class Hyperparameters(base.Hyperparameters):
    feature_dim: int = Field(ge=1, le=1_000_000, description="Words of the vocabulary.")
    num_topics: int = Field(ge=2, le=1000, description="Topics to find.")
    batch_norm: bool = Field(
        False, description="true: normalise what each layer of the encoder yields over the batch."
    )
    clip_gradient: Annotated[float, Field(ge=0.001)] | Literal["Inf"] = Field(
        "Inf", description="No entry of a gradient is larger than this, up or down. Inf: off."
    )
    encoder_layers: tuple[Annotated[int, Field(ge=1)], ...] | Literal["auto"] = Field(
        "auto", description="Sizes of the encoder's layers. auto: 3 and 2 times num_topics."
    )
    encoder_layers_activation: Activation = Field(
        "sigmoid",
        description="Activation of the encoder's layers.",
        json_schema_extra=_among("sigmoid", "tanh", "relu"),
    )
    epochs: int = Field(50, ge=1, description="Passes over the training data, at most.")
    learning_rate: float = Field(
        0.001,
        ge=1e-6,
        le=1.0,
        description="Learning rate of the optimizer; adadelta has none.",
        json_schema_extra=_tunable(1e-4, 0.1),
    )
    mini_batch_size: int = Field(
        256,
        ge=1,
        le=10_000,
        description="Documents of an update, on each host.",
        json_schema_extra=_tunable(16, 2048),
    )
    num_patience_epochs: int = Field(
        3,
        ge=1,
        description="An epoch is bad whose loss is not below all of so many before it; one bad epoch more "
        "than this in a row ends training. Larger than epochs: off.",
    )
    optimizer: Optimizer = Field(
        "adadelta", description="Optimizer.", json_schema_extra=_among("sgd", "adam", "adadelta")
    )
    rescale_gradient: float = Field(
        1.0,
        ge=0.001,
        le=1.0,
        description="Factor on the gradient, which is summed over the batch.",
        json_schema_extra=_tunable(0.1, 1.0),
    )
    sub_sample: float = Field(
        1.0, ge=0.0, le=1.0, description="Share of the training documents used in each epoch, drawn anew."
    )
    tolerance: float = Field(
        0.001, ge=1e-6, le=0.1, description="A loss counts as lower if it is so by more than this."
    )
    weight_decay: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="L2 penalty of weights (not of biases): so many times a weight is added to its gradient.",
        json_schema_extra=_tunable(0.0, 1.0),
    )

    @model_validator(mode="after")
    def _check(self) -> Hyperparameters:
        if self.sub_sample == 0:
            raise ValueError("sub_sample is 0: no document would be used; give a share above 0, up to 1")
        if not self.layers:
            raise ValueError("encoder_layers is empty; give sizes, such as 60,40, or 'auto'")
        return self

    @property
    def layers(self) -> tuple[int, ...]:
        """Sizes of the encoder's layers."""
        if isinstance(self.encoder_layers, tuple):
            return self.encoder_layers
        return 3 * self.num_topics, 2 * self.num_topics

    @property
    def clip(self) -> float | None:
        return None if isinstance(self.clip_gradient, str) else self.clip_gradient

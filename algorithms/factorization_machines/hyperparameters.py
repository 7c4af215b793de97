"""Hyperparameters of Factorization Machines, as the developer guide lists them.

Bias, linear weights and factors each have a learning rate, a weight decay and an initial distribution.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from optml.algorithms import base

WIDE: dict[str, Any] = {"tunable": {"scale": None, "min": 1e-8, "max": 512}}
METHODS = {"sigma": "normal", "scale": "uniform", "value": "constant"}  # parameter -> what it belongs to
GROUPS = ("bias", "linear", "factors")
WIDEST = 1 << 40  # of sparse records, in any format
SMALLEST = 2.0**-126  # of float32, in which Adam computes, at full precision

Method = Literal["normal", "uniform", "constant"]
NotNegative = Annotated[float, Field(ge=0)]


def _rate(group: str, default: float) -> Any:
    return Field(
        default, ge=0, description=f"Adam's learning rate of the {group}.", json_schema_extra={**WIDE}
    )


def _decay(group: str, default: float) -> Any:
    return Field(
        default,
        ge=0,
        description=f"Weight decay of the {group}: so many times its value is added to its gradient.",
        json_schema_extra={**WIDE},
    )


def _method(group: str) -> Any:
    return Field("normal", description=f"Initial distribution of the {group}.")


def _initial(group: str, name: str, default: float | None, meaning: str, **bounds: Any) -> Any:
    only = {"applies_when": f"{group}_init_method={METHODS[name]}"}
    return Field(default, description=meaning, json_schema_extra={**WIDE, **only}, **bounds)


SIGMA = "Standard deviation of initial values, which features that never occur keep."
SCALE = "Initial values lie in (-scale, scale). Not given: 0.07, MXNet's default."
VALUE = "The initial value. Not given: 0."


class Hyperparameters(base.Hyperparameters):
    feature_dim: int = Field(
        ge=1,
        description="Number of features: keys of sparse rows go from 0 to feature_dim - 1.",
    )
    num_factors: int = Field(
        ge=1, description="Numbers in the vector by which a feature interacts with others."
    )
    predictor_type: Literal["binary_classifier", "regressor"] = Field(
        description="binary_classifier: labels 0 and 1, log loss. regressor: any numbers, squared loss."
    )
    epochs: int = Field(
        1,
        ge=1,
        description="Passes over the training data.",
        json_schema_extra={"tunable": {"scale": None, "min": 1, "max": 1000, "guide_name": "epoch"}},
    )
    mini_batch_size: int = Field(
        1000,
        ge=1,
        description="Rows of an update, on each host.",
        json_schema_extra={"tunable": {"scale": None, "min": 100, "max": 10000}},
    )
    clip_gradient: float | None = Field(
        None,
        description="No entry of a gradient is larger than this, up or down. Not given, 0 or less: off.",
    )
    eps: float | None = Field(None, description="Adam's epsilon. Not given: 1e-8.")
    rescale_grad: float | None = Field(
        None, description="Factor on gradients summed over a batch. Not given: 1 / rows of the batch."
    )
    bias_lr: float = _rate("bias", 0.1)
    bias_wd: float = _decay("bias", 0.01)
    bias_init_method: Method = _method("bias")
    bias_init_sigma: float = _initial("bias", "sigma", 0.01, SIGMA, ge=0)
    bias_init_scale: NotNegative | None = _initial("bias", "scale", None, SCALE)
    bias_init_value: float | None = _initial("bias", "value", None, VALUE)
    linear_lr: float = _rate("linear weights", 0.001)
    linear_wd: float = _decay("linear weights", 0.001)
    linear_init_method: Method = _method("linear weights")
    linear_init_sigma: float = _initial("linear", "sigma", 0.01, SIGMA, ge=0)
    linear_init_scale: NotNegative | None = _initial("linear", "scale", None, SCALE)
    linear_init_value: float | None = _initial("linear", "value", None, VALUE)
    factors_lr: float = _rate("factors", 0.0001)
    factors_wd: float = _decay("factors", 0.00001)
    factors_init_method: Method = _method("factors")
    factors_init_sigma: float = _initial("factors", "sigma", 0.001, SIGMA, ge=0)
    factors_init_scale: NotNegative | None = _initial("factors", "scale", None, SCALE)
    factors_init_value: float | None = _initial("factors", "value", None, VALUE)
    use_bias: bool = Field(True, description="false: without the constant term.")
    use_linear: bool = Field(True, description="false: without the linear term.")
    batch_metrics_publish_interval: int = Field(
        500, ge=1, description="Metrics of batches 0, n, 2n, ... of each epoch are logged."
    )
    early_stopping_patience: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Stop when so many epochs in a row did not improve on the validation channel, and keep "
        "the best. Not given: never.",
    )

    @model_validator(mode="after")
    def _check(self) -> Hyperparameters:
        if self.feature_dim > WIDEST:
            raise ValueError(f"feature_dim is {self.feature_dim}; records are at most {WIDEST} features wide")
        if self.eps is not None and self.eps < SMALLEST:
            raise ValueError(
                f"eps is {self.eps:g}: it keeps Adam from dividing by 0; give more, or leave it out for 1e-8"
            )
        if self.rescale_grad is not None and self.rescale_grad == 0:
            raise ValueError("rescale_grad is 0, with which nothing is learned; leave it out for 1 / rows")
        return self

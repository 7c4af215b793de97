"""Hyperparameters of K-Means, as the developer guide lists them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from optml.algorithms import base


def _init_method(value: Any) -> Any:
    """The guide spells it `k-means++` once."""
    return "kmeans++" if value == "k-means++" else value


Method = Annotated[Literal["random", "kmeans++"], BeforeValidator(_init_method)]


class Hyperparameters(base.Hyperparameters):
    feature_dim: int = Field(ge=1, description="Number of features of every row.")
    k: int = Field(ge=1, description="Number of clusters of the model. k=1 gives the mean.")
    init_method: Method = Field(
        "random",
        description="How the k * extra_center_factor streaming centers are drawn from the first mini-batch.",
        json_schema_extra={
            "tunable": {"scale": None, "min": None, "max": None, "choices": ["kmeans++", "random"]}
        },
    )
    epochs: int = Field(
        1,
        ge=1,
        description="Passes over the training data. Weights keep accumulating across passes.",
        json_schema_extra={"tunable": {"scale": None, "min": 1, "max": 10}},
    )
    mini_batch_size: int = Field(
        5000,
        ge=1,
        description="Rows of a mini-batch on each host; the first centers are drawn from the first of them.",
        json_schema_extra={"tunable": {"scale": None, "min": 3000, "max": 15000}},
    )
    extra_center_factor: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto",
        description="Streaming keeps k times this many centers and shrinks them to k at the end. "
        "auto: 10, or less where the first mini-batch has fewer than 10 * k rows.",
        json_schema_extra={"tunable": {"scale": None, "min": 4, "max": 10}},
    )
    half_life_time_size: int = Field(
        0,
        ge=0,
        description="After this many further rows, a row's weight in its center has halved. 0: no decay.",
    )
    local_lloyd_max_iter: int = Field(300, ge=1, description="Most iterations of Lloyd in the shrink step.")
    local_lloyd_tol: float = Field(
        0.0001,
        ge=0,
        le=1,
        description="A Lloyd run of the shrink step ends when the loss falls by no more than this share.",
    )
    local_lloyd_num_trials: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="Lloyd runs in the shrink step, of which the best wins. auto: 10."
    )
    local_lloyd_init_method: Method = Field(
        "kmeans++", description="How each Lloyd run of the shrink step is started."
    )
    eval_metrics: tuple[Literal["msd", "ssd"], ...] = Field(
        ("msd",),
        description="Metrics of the test channel: msd, the mean squared distance of a row to its center; "
        "ssd, the sum.",
    )
    force_dense: bool = Field(
        True, description="Taken for AWS's sake: sparse rows are read either way, with the same result."
    )

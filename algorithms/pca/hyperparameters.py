"""Hyperparameters of PCA, as the developer guide lists them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from optml.algorithms import base

AUTO = 10  # extra components at least, where their number is left to us


class Hyperparameters(base.Hyperparameters):
    feature_dim: int = Field(ge=1, description="Number of features of every row.")
    mini_batch_size: int = Field(
        ge=1,
        description="Rows of a mini-batch, taken for AWS's sake: how rows are read changes no result.",
    )
    num_components: int = Field(ge=1, description="Components to keep; not more than feature_dim.")
    algorithm_mode: Literal["regular", "randomized"] = Field(
        "regular",
        description="regular: exact, with a matrix of feature_dim x feature_dim in memory. randomized: a "
        "sketch of num_components + extra_components rows, for many features.",
    )
    extra_components: int = Field(
        -1,
        ge=-1,
        description="Further rows of the sketch, for accuracy. -1: num_components, but at least 10.",
        json_schema_extra={"applies_when": "algorithm_mode=randomized"},
    )
    subtract_mean: bool = Field(
        True, description="Center the rows, in training and in inference. false: neither."
    )
    epochs: int = Field(1, ge=1, le=1, description="One pass is all that it takes.")
    force_dense: bool = Field(
        True, description="Taken for AWS's sake: sparse rows are read either way, with the same result."
    )

    @model_validator(mode="after")
    def _fit(self) -> Hyperparameters:
        if self.num_components > self.feature_dim:
            raise ValueError(
                f"num_components is {self.num_components}, but rows of feature_dim={self.feature_dim} have "
                "no more components than features: lower num_components"
            )
        return self

    @property
    def sketch_rows(self) -> int:
        """l, the rows of the sketch in randomized mode."""
        extra = self.extra_components
        return self.num_components + (max(AUTO, self.num_components) if extra < 0 else extra)

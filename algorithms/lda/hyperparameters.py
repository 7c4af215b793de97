"""Hyperparameters of LDA, as the developer guide and the image's own log list them."""

from __future__ import annotations

import math

from pydantic import Field, model_validator

from optml.algorithms import base


class Hyperparameters(base.Hyperparameters):
    num_topics: int = Field(
        ge=1,
        description="Topics to return, of a quarter more that are computed.",
        json_schema_extra={"tunable": {"scale": None, "min": 1, "max": 150}},
    )
    feature_dim: int = Field(ge=1, description="Words of the vocabulary.")
    mini_batch_size: int = Field(
        ge=1,
        description="Documents of the training data, at AWS. Here any number does: how documents are read "
        "changes no result.",
    )
    alpha0: float = Field(
        1.0,
        gt=0,
        description="Guess of the sum of the Dirichlet prior: small, a document has few topics.",
        json_schema_extra={"tunable": {"scale": None, "min": 0.1, "max": 10}},
    )
    max_restarts: int = Field(
        10, ge=1, description="Restarts of the alternating least squares of the spectral decomposition."
    )
    max_iterations: int = Field(1000, ge=1, description="Iterations of a restart, at most.")
    tol: float = Field(
        1e-8, gt=0, description="A restart ends when its relative error changes by less than this."
    )
    allow_svd_init: bool = Field(
        True, description="Begin the first two restarts at singular vectors; false: all of them at random."
    )
    epochs: int = Field(1, ge=1, le=1, description="One pass is all that it takes.")
    refine: bool = Field(
        True,
        alias="_refine",
        description="Ours: go on from the spectral topics, and from random ones, by expectation "
        "maximisation. false: AWS's recipe, and mixtures of maximum likelihood.",
    )

    @model_validator(mode="after")
    def _fit(self) -> Hyperparameters:
        if self.num_topics > self.feature_dim:
            raise ValueError(
                f"num_topics is {self.num_topics}, but of feature_dim={self.feature_dim} words there are at "
                f"most {self.feature_dim} topics: lower num_topics"
            )
        return self

    @property
    def components(self) -> int:
        """Topics that are computed, of which `num_topics` are kept."""
        return min(math.ceil(1.25 * self.num_topics), self.feature_dim)

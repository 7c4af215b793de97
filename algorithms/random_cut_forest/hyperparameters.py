"""Hyperparameters of Random Cut Forest: those that the developer guide lists, and those that SDKs send."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from optml.algorithms import base


class Hyperparameters(base.Hyperparameters):
    feature_dim: int = Field(ge=1, le=10_000, description="Number of features of every row.")
    num_trees: int = Field(
        100,
        ge=50,
        le=1000,
        description="Trees of the forest; a score is their mean.",
        json_schema_extra={"tunable": {"scale": None, "min": 50, "max": 1000}},
    )
    num_samples_per_tree: int = Field(
        256,
        ge=1,
        le=2048,
        description="Rows of each tree, drawn without replacement over the whole forest. With fewer than "
        "num_trees * num_samples_per_tree rows, each tree takes rows / num_trees, rounded down.",
        json_schema_extra={"tunable": {"scale": None, "min": 1, "max": 2048}},
    )
    eval_metrics: tuple[Literal["accuracy", "precision_recall_fscore"], ...] = Field(
        ("accuracy", "precision_recall_fscore"),
        description="Metrics of a labelled test channel. A row counts as an anomaly where its score is more "
        "than three standard deviations above the mean of the channel's scores.",
    )
    mini_batch_size: int = Field(
        1000, ge=1, description="Rows that are read at a time; without effect on the model."
    )
    epochs: int = Field(1, ge=1, le=1, description="Passes over the data: one.")
    force_dense: bool = Field(
        True, description="Taken for AWS's sake: sparse rows are read either way, with the same result."
    )

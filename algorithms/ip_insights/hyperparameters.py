"""Hyperparameters of IP Insights, as the developer guide lists them."""

from __future__ import annotations

from pydantic import Field, model_validator

from optml.algorithms import base

MOST_NEGATIVES = 500  # of a pair, of both kinds together


class Hyperparameters(base.Hyperparameters):
    num_entity_vectors: int = Field(
        100000,
        ge=1,
        le=250_000_000,
        description="Rows of the table that entities are hashed into: twice as many as there are entities.",
        json_schema_extra={
            "tunable": {"scale": None, "min": 10000, "max": 1_000_000},
            "deviation": "The guide requires it; the default file of AWS's image holds 100000.",
        },
    )
    vector_dim: int = Field(
        128,
        ge=4,
        le=4096,
        description="Numbers in the vector of an entity, and in that of an address.",
        json_schema_extra={
            "tunable": {"scale": None, "min": 8, "max": 256},
            "deviation": "The guide requires it; the default file of AWS's image holds 128.",
        },
    )
    batch_metrics_publish_interval: int = Field(
        1000, ge=1, description="Metrics of batches 0, n, 2n, ... of each epoch are logged, and the speed."
    )
    epochs: int = Field(
        10,
        ge=1,
        description="Passes over the training data.",
        json_schema_extra={"tunable": {"scale": None, "min": 1, "max": 100}},
    )
    learning_rate: float = Field(
        0.001,
        ge=1e-6,
        le=10.0,
        description="Adam's learning rate at the start; it falls to 0 in a line over all epochs.",
        json_schema_extra={
            "tunable": {"scale": None, "min": 1e-4, "max": 0.1},
            "deviation": "AWS's documentation names no schedule; a constant rate ends in noise.",
        },
    )
    mini_batch_size: int = Field(
        10000,
        ge=1,
        le=500_000,
        description="Samples of an update, negative ones included; the GPUs of a host share them out.",
        json_schema_extra={"tunable": {"scale": None, "min": 100, "max": 50000}},
    )
    num_ip_encoder_layers: int = Field(
        1,
        ge=0,
        le=100,
        description="Fully connected layers of the address encoder.",
        json_schema_extra={"tunable": {"scale": None, "min": 1, "max": 10}},
    )
    random_negative_sampling_rate: int = Field(
        1,
        ge=0,
        le=MOST_NEGATIVES,
        description="Random addresses that each entity of the data is paired with.",
        json_schema_extra={"tunable": {"scale": None, "min": 0, "max": 10}},
    )
    shuffled_negative_sampling_rate: int = Field(
        1,
        ge=0,
        le=MOST_NEGATIVES,
        description="Addresses of other pairs of the data that each entity is paired with.",
        json_schema_extra={"tunable": {"scale": None, "min": 0, "max": 10}},
    )
    weight_decay: float = Field(
        1e-5,
        ge=0.0,
        le=10.0,
        description="So many times its value is added to the gradient of a parameter.",
        json_schema_extra={"tunable": {"scale": None, "min": 0.0, "max": 1.0}},
    )
    ip_prefix_tables: bool = Field(
        True,
        alias="_ip_prefix_tables",
        description="Ours: the address encoder has a vector for each prefix of an address, beside its bits.",
    )

    @property
    def negatives(self) -> int:
        """Negative samples of a pair."""
        return self.random_negative_sampling_rate + self.shuffled_negative_sampling_rate

    @model_validator(mode="after")
    def _check(self) -> Hyperparameters:
        if not 1 <= self.negatives <= MOST_NEGATIVES:
            raise ValueError(
                f"random_negative_sampling_rate ({self.random_negative_sampling_rate}) and "
                f"shuffled_negative_sampling_rate ({self.shuffled_negative_sampling_rate}) add up to "
                f"{self.negatives}; expected 1 to {MOST_NEGATIVES}: without negatives there is nothing to "
                "tell pairs from"
            )
        return self

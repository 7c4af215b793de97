"""Hyperparameters of DeepAR, as the developer guide lists them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from optml.algorithms import base
from optml.algorithms.forecasting_deepar.frequency import Frequency
from optml.errors import UserError

Likelihood = Literal["gaussian", "beta", "negative-binomial", "student-T", "deterministic-L1"]
DECILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def _tunable(low: float, high: float) -> Any:
    return {"tunable": {"scale": None, "min": low, "max": high}}


class Hyperparameters(base.Hyperparameters):
    context_length: int = Field(
        ge=1,
        description="Steps over which the network is unrolled before the forecast; lags reach further back.",
        json_schema_extra=_tunable(1, 200),
    )
    epochs: int = Field(
        ge=1,
        description="At most so many epochs; one is at least about 10 mini-batches.",
        json_schema_extra=_tunable(1, 1000),
    )
    prediction_length: int = Field(ge=1, description="Forecast horizon, in steps; part of the model.")
    time_freq: str = Field(
        description="M, W, D, H or min, with a whole number before it or none: H, 2H, 5min. It decides lags "
        "and calendar features."
    )
    cardinality: tuple[int, ...] | Literal["auto", "ignore", ""] = Field(
        "auto",
        description="auto: use cat if the training data has it, and infer the sizes; ignore or an empty "
        "string: never; a list of numbers of values: use cat and check it.",
        json_schema_extra={"deviation": "that it may be a list is told by its type"},
    )
    dropout_rate: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Zoneout: the probability with which a unit keeps its previous state in training.",
        json_schema_extra=_tunable(0.0, 0.2),
    )
    early_stopping_patience: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Stop after so many epochs without a lower training loss, and take the best; empty: off.",
    )
    embedding_dimension: int = Field(
        10, ge=1, description="Width of the embedding of each cat.", json_schema_extra=_tunable(1, 50)
    )
    learning_rate: float = Field(
        0.001, gt=0, description="Initial step size of Adam.", json_schema_extra=_tunable(1e-5, 1e-1)
    )
    likelihood: Likelihood = Field("student-T", description="Distribution of the values.")
    mini_batch_size: int = Field(
        128, ge=1, description="Windows of an update.", json_schema_extra=_tunable(32, 1028)
    )
    num_cells: int = Field(40, ge=1, description="Cells of a layer.", json_schema_extra=_tunable(30, 200))
    num_dynamic_feat: Annotated[int, Field(ge=1)] | Literal["auto", "ignore", ""] = Field(
        "auto",
        description="auto: use dynamic_feat if the training data has it; ignore or an empty string: never; "
        "a number: use them and check that there are so many.",
        json_schema_extra={"deviation": "that it may be a positive integer is told by its type"},
    )
    num_eval_samples: int = Field(
        100, ge=1, description="Sample paths a series by which the test channel is scored."
    )
    num_layers: int = Field(2, ge=1, description="Recurrent layers.", json_schema_extra=_tunable(1, 8))
    test_quantiles: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        DECILES,
        description="Quantiles of the weighted quantile loss on the test channel.",
    )
    random_seed: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Makes a run reproducible; without it OPTML_SEED does."
    )

    @field_validator("time_freq")
    @classmethod
    def _known(cls, text: str) -> str:
        try:
            Frequency.parse(text)
        except UserError as error:
            raise ValueError(str(error)) from None
        return text

    @field_validator("cardinality")
    @classmethod
    def _sizes(cls, value: object) -> object:
        if isinstance(value, tuple) and (not value or min(value) < 1):
            raise ValueError(
                f"cardinality={list(value)} must hold, for each cat, the number of its values (>= 1)"
            )
        return value

    @field_validator("test_quantiles")
    @classmethod
    def _some(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value:
            raise ValueError("test_quantiles is an empty list; name one or more, as in [0.1, 0.5, 0.9]")
        return value

    @property
    def frequency(self) -> Frequency:
        return Frequency.parse(self.time_freq)

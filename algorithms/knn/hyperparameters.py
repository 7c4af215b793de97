"""Hyperparameters of K-Nearest Neighbors, as the developer guide lists them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from optml.algorithms import base

IVF = ("faiss.IVFFlat", "faiss.IVFPQ")


class Hyperparameters(base.Hyperparameters):
    feature_dim: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="Number of features of every row. auto: as many as the first row has."
    )
    k: int = Field(
        ge=1,
        description="Number of neighbours that are asked.",
        json_schema_extra={"tunable": {"scale": None, "min": 1, "max": 1024}},
    )
    predictor_type: Literal["classifier", "regressor"] = Field(
        description="classifier: the most frequent label of the neighbours; regressor: their mean."
    )
    sample_size: int = Field(
        ge=1,
        description="Rows that are kept of the training data, drawn uniformly over all hosts. More than "
        "there are: all.",
        json_schema_extra={"tunable": {"scale": None, "min": 256, "max": 20_000_000}},
    )
    dimension_reduction_type: Literal["sign", "fjlt"] | None = Field(
        None,
        description="Random projection before the index is built: of random signs, or the fast "
        "Johnson-Lindenstrauss transform. Left out: none.",
    )
    dimension_reduction_target: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Dimensions that are left, fewer than feature_dim; with faiss.IVFPQ raised to a multiple "
        "of faiss_index_pq_m.",
        json_schema_extra={"applies_when": "dimension_reduction_type set (required then)"},
    )
    index_type: Literal["faiss.Flat", "faiss.IVFFlat", "faiss.IVFPQ"] = Field(
        "faiss.Flat",
        description="Exact search; inverted lists; inverted lists of vectors compressed by product "
        "quantization.",
    )
    index_metric: Literal["L2", "INNER_PRODUCT", "COSINE"] = Field(
        "L2", description="What makes points near. faiss.IVFPQ takes L2 alone."
    )
    faiss_index_ivf_nlists: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto",
        description="Inverted lists. auto: the square root of the number of points.",
        json_schema_extra={"applies_when": "index_type is faiss.IVFFlat or faiss.IVFPQ"},
    )
    faiss_index_pq_m: Literal[1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96] | None = Field(
        None,
        description="Bytes that a vector is compressed to, one for each of so many parts. Left out: at most "
        "16, at most half the dimension, a divisor of it where one of 4 or more is listed.",
        json_schema_extra={"applies_when": "index_type=faiss.IVFPQ"},
    )
    mini_batch_size: int = Field(5000, ge=1, description="Rows of a batch of the reader and of test scoring.")
    epochs: int = Field(1, ge=1, le=1, description="One pass sees every row.")
    faiss_index_nprobe: int = Field(
        5,
        ge=1,
        alias="_faiss_index_nprobe",
        description="Inverted lists that a query looks into. Kept in model_algo-1.json as nprobe.",
    )

    @model_validator(mode="after")
    def _reduction(self) -> Hyperparameters:
        kind, target = self.dimension_reduction_type, self.dimension_reduction_target
        if kind and target is None:
            raise ValueError(
                f"hyperparameter dimension_reduction_type is '{kind}', but dimension_reduction_target is not "
                "given: name the number of dimensions to reduce to"
            )
        if target is not None and not kind:
            raise ValueError(
                f"hyperparameter dimension_reduction_target is {target}, but dimension_reduction_type is not "
                "given: say 'sign' or 'fjlt', or leave the target out"
            )
        if target is not None and self.feature_dim != "auto":
            require_fewer(target, self.feature_dim)
        return self

    @model_validator(mode="after")
    def _metric(self) -> Hyperparameters:
        if self.index_type == "faiss.IVFPQ" and self.index_metric != "L2":
            raise ValueError(
                f"hyperparameter index_metric is '{self.index_metric}', but faiss.IVFPQ supports only L2: "
                "take L2, or index_type faiss.IVFFlat or faiss.Flat"
            )
        return self


def require_fewer(target: int, features: int) -> None:
    """Raises ValueError for a reduction that is none."""
    if target >= features:
        raise ValueError(
            f"hyperparameter dimension_reduction_target is {target}, but there are {features} features "
            "(feature_dim): the target must be smaller"
        )

"""Hyperparameters of BlazingText, as the developer guide lists them; bounds are those of AWS's checker."""

from __future__ import annotations

import logging
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from optml.algorithms import base

log = logging.getLogger(__name__)

Mode = Literal["batch_skipgram", "skipgram", "cbow", "supervised"]
WIDE = 1500  # from here on a vector is unusually wide


def _tunable(low: float, high: float, scale: str | None = "Linear") -> Any:
    return {"tunable": {"scale": scale, "min": low, "max": high}}


class Hyperparameters(base.Hyperparameters):
    wording: ClassVar[base.Wording] = base.Wording(
        missing="Please provide a {name} in hyperparameters. It should be {domain}"
    )

    mode: Mode = Field(
        description="Architecture: three word2vec modes or text classification.",
        json_schema_extra={
            "tunable": {
                "scale": None,
                "min": None,
                "max": None,
                "values": ["batch_skipgram", "skipgram", "cbow"],
            }
        },
    )
    batch_size: int = Field(
        11,
        ge=1,
        le=32,
        description="Context words that share one set of negatives (batch_skipgram); 2 * window_size + 1.",
        json_schema_extra=_tunable(8, 32),
    )
    buckets: int = Field(
        2_000_000,
        ge=1,
        le=2**31 - 1,
        description="Hash buckets for character n-grams (subwords) or word n-grams (supervised).",
        json_schema_extra=_tunable(1_000_000, 10_000_000)
        | {"deviation": "numbers of rows are 32 bits wide in fastText's format"},
    )
    epochs: int = Field(
        5,
        ge=1,
        description="Passes over the data (supervised: at most).",
        json_schema_extra=_tunable(5, 15),
    )
    evaluation: bool = Field(
        True,
        description="Evaluate word vectors on the word pairs of the channel 'evaluation' after training; "
        "writes eval.json.",
    )
    learning_rate: float = Field(
        0.05,
        gt=0,
        description="Initial step size, falls linearly to 0 over all epochs.",
        json_schema_extra=_tunable(0.005, 0.01, "Logarithmic"),
    )
    min_char: int = Field(3, ge=1, description="Shortest character n-gram.")
    min_count: int = Field(
        5, ge=0, description="Words rarer than this are dropped.", json_schema_extra=_tunable(0, 100)
    )
    max_char: int = Field(6, ge=1, description="Longest character n-gram.")
    negative_samples: int = Field(
        5,
        ge=1,
        le=100_000,
        description="Negative samples of each target (shared by the mini-batch in batch_skipgram).",
        json_schema_extra=_tunable(5, 25)
        | {"deviation": "those of a window are drawn before its first step"},
    )
    sampling_threshold: float = Field(
        0.0001,
        gt=0,
        lt=1,
        description="Words of a larger share of the corpus are sub-sampled.",
        json_schema_extra=_tunable(0.0001, 0.001),
    )
    subwords: bool = Field(False, description="Learn vectors of character n-grams too (skipgram, cbow).")
    vector_dim: int = Field(
        100, ge=1, le=2048, description="Width of the vectors.", json_schema_extra=_tunable(32, 300)
    )
    window_size: int = Field(
        5,
        ge=1,
        le=10_000,
        description="Largest window on each side; each target's is drawn from 1 to this.",
        json_schema_extra=_tunable(1, 10) | {"deviation": "a sentence has 1024 words at most"},
    )
    early_stopping: bool = Field(
        False, description="Stop when validation accuracy no longer rises; needs the validation channel."
    )
    min_epochs: int = Field(
        5, ge=1, description="Epochs before the validation set is first scored (early_stopping)."
    )
    patience: int = Field(4, ge=1, description="Epochs without a better validation accuracy before stopping.")
    word_ngrams: int = Field(
        2,
        ge=1,
        le=100,
        description="Longest word n-gram used as a feature (supervised).",
        json_schema_extra=_tunable(1, 3) | {"deviation": "those of a line are found before its step"},
    )

    @property
    def supervised(self) -> bool:
        return self.mode == "supervised"

    @model_validator(mode="after")
    def _agrees(self) -> Hyperparameters:
        problems = []
        if self.subwords and self.mode == "batch_skipgram":
            problems.append("subwords=True does not go with mode 'batch_skipgram': use skipgram or cbow")
        if self.subwords and self.min_char > self.max_char:
            problems.append(f"min_char={self.min_char} is larger than max_char={self.max_char}")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def advise(self) -> None:
        """Warn of values that AWS's checker warns of."""
        if self.vector_dim >= WIDE:
            log.warning(
                "vector_dim=%d is very wide: training will be slow and the model large", self.vector_dim
            )
        best = 2 * self.window_size + 1
        if self.mode == "batch_skipgram" and self.batch_size != best:
            log.warning("batch_size=%d; 2 * window_size + 1 = %d is recommended", self.batch_size, best)

    def gpus(self, count: int) -> int:
        """One GPU at most; none for subwords, whose rows the kernel of the GPU does not gather."""
        return 0 if self.subwords else min(count, 1)

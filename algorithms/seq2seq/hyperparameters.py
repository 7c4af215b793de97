"""Hyperparameters of Sequence-to-Sequence, as the developer guide lists them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from optml.algorithms import base
from optml.algorithms.seq2seq import rules

Network = Literal["rnn", "cnn"]


def _tunable(low: float, high: float, scale: str | None = "Linear") -> dict[str, Any]:
    return {"tunable": {"scale": scale, "min": low, "max": high}}


def _values(*values: str | int) -> dict[str, Any]:
    return {"tunable": {"scale": None, "min": None, "max": None, "values": list(values)}}


def _when(condition: str, **more: Any) -> dict[str, Any]:
    return {"applies_when": condition, **more}


_DROPOUT = _tunable(0.0, 0.5)
_WIDTHS = _values(128, 256, 512, 1024, 2048)
_CNN = "encoder_type or decoder_type is cnn"
_DEEP = "more than one layer"
_FIXED = "lr_scheduler_type is fixed_rate_inv_t or fixed_rate_inv_sqrt_t"
_PLATEAU = "lr_scheduler_type is plateau_reduce"


class Hyperparameters(base.Hyperparameters):
    batch_size: int = Field(
        64,
        ge=1,
        description="Pairs of an update; the GPUs of a host share them out.",
        json_schema_extra=_values(16, 32, 64, 128, 256, 512, 1024, 2048),
    )
    beam_size: int = Field(5, ge=1, description="Hypotheses of the beam search, for BLEU and for requests.")
    bleu_sample_size: int = Field(
        0,
        ge=-1,
        description="Validation pairs translated for BLEU at a checkpoint; -1: all. 0: none, but all where "
        "optimized_metric is bleu.",
    )
    bucket_width: int = Field(
        10,
        ge=1,
        description="Pairs of like lengths, in steps of so many on the longer side, share batches.",
    )
    bucketing_enabled: bool = Field(True, description="false: any pairs share a batch.")
    checkpoint_frequency_num_batches: int = Field(
        1000, ge=1, description="Updates between two evaluations, each of which may keep the model."
    )
    checkpoint_threshold: int = Field(
        3, ge=1, description="So many evaluations in a row without improvement end training."
    )
    clip_gradient: float = Field(
        1.0,
        description="Largest size of each number of the gradient; negative: any.",
        json_schema_extra=_tunable(1.0, 5.0),
    )
    cnn_activation_type: Literal["glu", "relu", "softrelu", "sigmoid", "tanh"] = Field(
        "glu",
        description="Activation of convolution blocks; glu takes twice the channels.",
        json_schema_extra=_when(_CNN),
    )
    cnn_hidden_dropout: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Dropout before each convolution block of the decoder.",
        json_schema_extra=_when(_CNN, **_DROPOUT),
    )
    cnn_kernel_width_decoder: int = Field(
        5,
        ge=1,
        description="Width of the decoder's convolutions, which see what is behind them.",
        json_schema_extra=_when("decoder_type is cnn"),
    )
    cnn_kernel_width_encoder: int = Field(
        3,
        ge=1,
        description="Width of the encoder's convolutions, which see both sides: odd.",
        json_schema_extra=_when("encoder_type is cnn"),
    )
    cnn_num_hidden: int = Field(
        512,
        ge=1,
        description="Channels of the convolutions.",
        json_schema_extra=_when(_CNN, **_WIDTHS),
    )
    decoder_type: Network = Field("rnn", description="Kind of the decoder.")
    embed_dropout_source: float = Field(
        0.0, ge=0, le=1, description="Dropout on embeddings of the source.", json_schema_extra=_DROPOUT
    )
    embed_dropout_target: float = Field(
        0.0, ge=0, le=1, description="Dropout on embeddings of the target.", json_schema_extra=_DROPOUT
    )
    encoder_type: Network = Field("rnn", description="Kind of the encoder.")
    fixed_rate_lr_half_life: int = Field(
        10,
        ge=1,
        description="Evaluations after which the learning rate is half.",
        json_schema_extra=_when(_FIXED, **_tunable(10, 30)),
    )
    learning_rate: float = Field(
        0.0003, gt=0, description="First learning rate.", json_schema_extra=_tunable(5e-05, 0.2, None)
    )
    loss_type: Literal["cross-entropy"] = Field("cross-entropy", description="Loss.")
    lr_scheduler_type: Literal["plateau_reduce", "fixed_rate_inv_t", "fixed_rate_inv_sqrt_t"] = Field(
        "plateau_reduce",
        description="How the learning rate falls.",
        json_schema_extra=_values("plateau_reduce", "fixed_rate_inv_t", "fixed_rate_inv_sqrt_t"),
    )
    max_num_batches: int = Field(-1, ge=-1, description="Updates, at most; -1: any number.")
    max_num_epochs: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Passes over the training data; where it is given, nothing ends training earlier."
    )
    max_seq_len_source: int = Field(100, ge=1, description="Longer sources are cut.")
    max_seq_len_target: int = Field(100, ge=1, description="Longer targets are cut, their end counted.")
    min_num_epochs: int = Field(0, ge=0, description="Passes before which early stopping ends nothing.")
    momentum: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None,
        description="Momentum of sgd; the others have none.",
        json_schema_extra=_when("optimizer_type is sgd", **_tunable(0.5, 0.9)),
    )
    num_embed_source: int = Field(
        512, ge=1, description="Width of the source's embeddings.", json_schema_extra=_tunable(256, 512)
    )
    num_embed_target: int = Field(
        512, ge=1, description="Width of the target's embeddings.", json_schema_extra=_tunable(256, 512)
    )
    num_layers_decoder: int = Field(
        1, ge=1, description="Layers of the decoder.", json_schema_extra=_tunable(1, 10)
    )
    num_layers_encoder: int = Field(
        1,
        ge=1,
        description="Layers of the encoder; of rnn the first reads both ways.",
        json_schema_extra=_tunable(1, 10),
    )
    optimized_metric: Literal["perplexity", "accuracy", "bleu"] = Field(
        "perplexity", description="Metric of channel validation by which the best model is kept."
    )
    optimizer_type: Literal["adam", "sgd", "rmsprop"] = Field(
        "adam", description="Optimizer.", json_schema_extra=_values("adam", "sgd", "rmsprop")
    )
    plateau_reduce_lr_factor: float = Field(
        0.5,
        gt=0,
        le=1,
        description="What the learning rate is multiplied by.",
        json_schema_extra=_when(_PLATEAU, **_tunable(0.1, 0.5)),
    )
    plateau_reduce_lr_threshold: int = Field(
        3,
        ge=1,
        description="Evaluations without improvement before the learning rate is reduced.",
        json_schema_extra=_when(_PLATEAU, **_tunable(1, 5)),
    )
    rnn_attention_in_upper_layers: bool = Field(
        True,
        description="Upper layers of the decoder see the attention's context.",
        json_schema_extra=_when("num_layers_decoder > 1 and decoder_type is rnn"),
    )
    rnn_attention_num_hidden: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Width of the attention; not given: rnn_num_hidden.",
        json_schema_extra=_when("decoder_type is rnn"),
    )
    rnn_attention_type: Literal["dot", "fixed", "mlp", "bilinear"] = Field(
        "mlp",
        description="What scores a place of the source; fixed: the last one has all.",
        json_schema_extra=_when("decoder_type is rnn"),
    )
    rnn_cell_type: Literal["lstm", "gru"] = Field("lstm", description="Kind of the recurrent cells.")
    rnn_decoder_state_init: Literal["last", "avg", "zero"] = Field(
        "last",
        description="First state of the decoder: of the encoder's last output, its mean, or zeros.",
        json_schema_extra=_when("decoder_type is rnn"),
    )
    rnn_first_residual_layer: int = Field(
        2,
        ge=2,
        description="First layer whose input is added to its output.",
        json_schema_extra=_when("rnn_residual_connections is true and more than one layer"),
    )
    rnn_num_hidden: int = Field(
        1024,
        ge=2,
        description="Recurrent units of a layer: even, as the encoder's first gives half to each direction.",
        json_schema_extra=_WIDTHS,
    )
    rnn_residual_connections: bool = Field(
        False, description="Upper recurrent layers add their input.", json_schema_extra=_when(_DEEP)
    )
    rnn_decoder_hidden_dropout: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Dropout on the decoder's output and context, before both are joined.",
        json_schema_extra=_DROPOUT,
    )
    training_metric: Literal["perplexity", "accuracy"] = Field(
        "perplexity", description="Metric of channel train that the log has."
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        description="L2 penalty: so many times a weight is added to its gradient.",
        json_schema_extra=_tunable(0.0, 0.1),
    )
    weight_init_scale: float = Field(
        2.34,
        gt=0,
        description="Of xavier the variance by fan, times 3; of uniform the largest weight.",
        json_schema_extra={
            "tunable": {
                "scale": "Linear",
                "min": 2.0,
                "max": 3.0,
                "note": "xavier; the guide gives -1.0..1.0 for uniform",
            }
        },
    )
    weight_init_type: Literal["uniform", "xavier"] = Field(
        "xavier", description="First weights.", json_schema_extra=_values("xavier", "uniform")
    )
    xavier_factor_type: Literal["in", "out", "avg"] = Field(
        "in",
        description="Fan that xavier goes by.",
        json_schema_extra=_when("weight_init_type is xavier"),
    )

    @model_validator(mode="after")
    def _check(self) -> Hyperparameters:
        problems = rules.problems(self)
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def updates(self) -> int | None:
        """Updates, at most; None: any number."""
        return None if self.max_num_batches < 0 else self.max_num_batches

    @property
    def buckets(self) -> int:
        """The bucket width; 0: one bucket of all."""
        return self.bucket_width if self.bucketing_enabled else 0

    @property
    def translated(self) -> int | None:
        """Validation pairs that are translated for BLEU; None: all."""
        if self.bleu_sample_size == 0 and self.optimized_metric == "bleu":
            return None
        return None if self.bleu_sample_size < 0 else self.bleu_sample_size

    @property
    def attention_width(self) -> int:
        return self.rnn_attention_num_hidden or self.rnn_num_hidden

    @property
    def encoded_width(self) -> int:
        """Of what the encoder says of a token."""
        return self.rnn_num_hidden if self.encoder_type == "rnn" else self.cnn_num_hidden

    @property
    def decoded_width(self) -> int:
        """Of what the decoder hands to the output layer."""
        return self.rnn_num_hidden if self.decoder_type == "rnn" else self.cnn_num_hidden

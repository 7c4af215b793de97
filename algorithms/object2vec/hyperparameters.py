"""Hyperparameters of Object2Vec, as the developer guide lists them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from optml.algorithms import base
from optml.algorithms.object2vec import rules
from optml.algorithms.object2vec.architecture import LAYERS, Encoder

Network = Literal["hcnn", "bilstm", "pooled_embedding"]


def _tunable(low: float, high: float, scale: str = "Linear") -> dict[str, Any]:
    return {"tunable": {"scale": scale, "min": low, "max": high}}


def _words(*values: str) -> dict[str, Any]:
    return {"tunable": {"scale": None, "min": None, "max": None, "values": list(values)}}


def _when(condition: str, **more: Any) -> dict[str, Any]:
    return {"applies_when": condition, **more}


_GIVEN = "enc{}_pretrained_embedding_file is given"
_FILE = "File in the auxiliary channel: a token a line, then its vector, in GloVe's text format."
_VOCABULARY = "JSON file token -> id in the auxiliary channel, for the tokens of the pretrained file."
_FREEZE = "Do not train the token embeddings that are pretrained."
_LAYERS = "Layers of the encoder; auto: 4 of hcnn, 1 of bilstm; pooled_embedding ignores it."


class Hyperparameters(base.Hyperparameters):
    enc0_max_seq_len: int = Field(
        ge=1, le=5000, description="Tokens of in0 that are looked at; others are cut off."
    )
    enc0_vocab_size: int = Field(
        ge=2, le=3_000_000, description="Number of token ids of in0: every id is smaller."
    )
    bucket_width: int = Field(
        0, ge=0, le=100, description="Pairs of like lengths, in steps of so many, share batches; 0: any."
    )
    comparator_list: str = Field(
        "hadamard, concat, abs_diff",
        description="Some of hadamard, concat, abs_diff, with commas: they compare both encodings.",
    )
    dropout: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="Share of units dropped behind each encoder and each activation of the MLP.",
        json_schema_extra=_tunable(0.0, 1.0),
    )
    early_stopping_patience: int = Field(
        3,
        ge=1,
        le=5,
        description="Losses that a new one must beat; more bad epochs in a row than this end training.",
        json_schema_extra=_tunable(1, 5),
    )
    early_stopping_tolerance: float = Field(
        0.01,
        ge=1e-6,
        le=0.1,
        description="A loss is good that is below all of those by more than this.",
        json_schema_extra=_tunable(0.001, 0.1, "Logarithmic"),
    )
    enc_dim: int = Field(
        4096,
        ge=4,
        le=10000,
        description="Width of the output of hcnn and bilstm.",
        json_schema_extra=_tunable(4, 4096),
    )
    enc0_network: Network = Field("hcnn", description="Encoder of in0.")
    enc0_cnn_filter_width: int = Field(
        3,
        ge=1,
        le=9,
        description="Width of the convolutions of hcnn.",
        json_schema_extra=_when("enc0_network is hcnn", **_tunable(1, 5)),
    )
    enc0_freeze_pretrained_embedding: bool = Field(
        True, description=_FREEZE, json_schema_extra=_when(_GIVEN.format(0))
    )
    enc0_layers: Annotated[int, Field(ge=1, le=4)] | Literal["auto"] = Field(
        "auto", description=_LAYERS, json_schema_extra=_tunable(1, 4)
    )
    enc0_pretrained_embedding_file: str = Field(
        "", description=_FILE, json_schema_extra=_when("auxiliary channel given")
    )
    enc0_token_embedding_dim: int = Field(
        300,
        ge=2,
        le=1000,
        description="Width of the token embeddings of in0.",
        json_schema_extra=_tunable(5, 300),
    )
    enc0_vocab_file: str = Field("", description=_VOCABULARY, json_schema_extra=_when(_GIVEN.format(0)))
    enc1_network: Network | Literal["enc0"] = Field(
        "enc0", description="Encoder of in1; enc0: as that of in0, with weights of its own."
    )
    enc1_cnn_filter_width: int = Field(
        3,
        ge=1,
        le=9,
        description="As enc0_cnn_filter_width.",
        json_schema_extra=_when("enc1_network is hcnn", **_tunable(1, 5)),
    )
    enc1_freeze_pretrained_embedding: bool = Field(
        True, description=_FREEZE, json_schema_extra=_when(_GIVEN.format(1))
    )
    enc1_layers: Annotated[int, Field(ge=1, le=4)] | Literal["auto"] = Field(
        "auto", description=_LAYERS, json_schema_extra=_when("enc1_network is not enc0", **_tunable(1, 4))
    )
    enc1_max_seq_len: Annotated[int, Field(ge=1, le=5000)] | None = Field(
        None,
        description="As enc0_max_seq_len; needed unless enc1_network is enc0.",
        json_schema_extra=_when("enc1_network is not enc0"),
    )
    enc1_pretrained_embedding_file: str = Field(
        "", description=_FILE, json_schema_extra=_when("auxiliary channel given")
    )
    enc1_token_embedding_dim: int = Field(
        300,
        ge=2,
        le=1000,
        description="Width of the token embeddings of in1.",
        json_schema_extra=_tunable(5, 300),
    )
    enc1_vocab_file: str = Field("", description=_VOCABULARY, json_schema_extra=_when(_GIVEN.format(1)))
    enc1_vocab_size: Annotated[int, Field(ge=2, le=3_000_000)] | None = Field(
        None,
        description="As enc0_vocab_size; needed unless enc1_network is enc0.",
        json_schema_extra=_when("enc1_network is not enc0"),
    )
    epochs: int = Field(
        30,
        ge=1,
        le=100,
        description="Passes over the training data, at most.",
        json_schema_extra=_tunable(4, 20),
    )
    learning_rate: float = Field(
        0.0004,
        ge=1e-6,
        le=1.0,
        description="Learning rate of the optimizer; adadelta has none.",
        json_schema_extra=_tunable(1e-6, 1.0, "Logarithmic"),
    )
    mini_batch_size: int = Field(
        32,
        ge=1,
        le=10000,
        description="Pairs of an update, negative ones included; the GPUs of a host share them out.",
        json_schema_extra=_tunable(1, 8192),
    )
    mlp_activation: Literal["tanh", "relu", "linear"] = Field(
        "linear", description="Activation of the MLP.", json_schema_extra=_words("tanh", "relu", "linear")
    )
    mlp_dim: int = Field(
        512, ge=2, le=10000, description="Width of the MLP's layers.", json_schema_extra=_tunable(16, 1024)
    )
    mlp_layers: int = Field(
        2,
        ge=0,
        le=10,
        description="Layers of the MLP between comparators and output.",
        json_schema_extra=_tunable(1, 4),
    )
    negative_sampling_rate: int = Field(
        0, ge=0, description="Random pairs, labelled 0, beside each positive one in training; 0: none."
    )
    num_classes: int = Field(
        2,
        ge=2,
        le=30,
        description="Classes of softmax; regression has none.",
        json_schema_extra=_when("output_layer is softmax"),
    )
    optimizer: Literal["adadelta", "adagrad", "adam", "sgd", "rmsprop"] = Field(
        "adam",
        description="Optimizer.",
        json_schema_extra=_words("adagrad", "adam", "rmsprop", "sgd", "adadelta"),
    )
    output_layer: Literal["softmax", "mean_squared_error"] = Field(
        "softmax", description="softmax: classes, by cross-entropy. mean_squared_error: a number, by that."
    )
    tied_token_embedding_weight: bool = Field(
        False, description="One table of token embeddings for both encoders."
    )
    token_embedding_storage_type: Literal["dense", "row_sparse"] = Field(
        "dense",
        description="row_sparse: tokens that a batch does not hold keep their embeddings and moments.",
    )
    weight_decay: float = Field(
        0.0,
        ge=0.0,
        le=10000,
        description="L2 penalty: so many times a weight is added to its gradient.",
        json_schema_extra=_tunable(0.0, 1.0),
    )

    @model_validator(mode="after")
    def _check(self) -> Hyperparameters:
        problems = rules.problems(self)
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def comparators(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.comparator_list.strip("[] ").split(",") if name.strip())

    @property
    def classifier(self) -> bool:
        return self.output_layer == "softmax"

    @property
    def outputs(self) -> int:
        return self.num_classes if self.classifier else 1

    @property
    def loss(self) -> str:
        """The name of what is minimised, in metrics."""
        return "cross_entropy" if self.classifier else "mean_squared_error"

    @property
    def lazy(self) -> bool:
        return self.token_embedding_storage_type == "row_sparse"  # noqa: S105

    @property
    def buckets(self) -> int:
        """The bucket width; row-sparse updates go without buckets."""
        return 0 if self.lazy else self.bucket_width

    @property
    def overrides(self) -> tuple[str, ...]:
        """Hyperparameters of enc1 that are given although enc1_network=enc0, and then win over enc0's."""
        names = ("enc1_vocab_size", "enc1_max_seq_len", "enc1_token_embedding_dim")
        return tuple(name for name in names if self.enc1_network == "enc0" and name in self.model_fields_set)

    @property
    def encoders(self) -> tuple[Encoder, Encoder]:
        """Both, with what enc1 takes from enc0."""
        first = self._encoder(
            self.enc0_network, self.enc0_layers, self.enc0_cnn_filter_width, self.enc0_vocab_size,
            self.enc0_max_seq_len, self.enc0_token_embedding_dim,
        )  # fmt: skip
        copied = self.enc1_network == "enc0"
        width = self.enc1_token_embedding_dim
        if copied and "enc1_token_embedding_dim" not in self.overrides:
            width = self.enc0_token_embedding_dim
        second = self._encoder(
            self.enc0_network if self.enc1_network == "enc0" else self.enc1_network,
            self.enc0_layers if copied else self.enc1_layers,
            self.enc0_cnn_filter_width if copied else self.enc1_cnn_filter_width,
            self.enc1_vocab_size or self.enc0_vocab_size,
            self.enc1_max_seq_len or self.enc0_max_seq_len,
            width,
        )
        return first, second

    def pretrained(self, number: int) -> tuple[str, str]:
        """The names of the files of vectors and of the vocabulary of an encoder; "" where there is none."""
        files = self.enc0_pretrained_embedding_file, self.enc1_pretrained_embedding_file
        tokens = self.enc0_vocab_file, self.enc1_vocab_file
        return files[number], tokens[number]

    def frozen(self, number: int) -> bool:
        """Is the table of an encoder pretrained, and not to be trained?"""
        freeze = self.enc0_freeze_pretrained_embedding, self.enc1_freeze_pretrained_embedding
        return bool(self.pretrained(number)[0]) and freeze[number]

    def _encoder(
        self, network: str, layers: int | str, filters: int, size: int, longest: int, dim: int
    ) -> Encoder:
        count = layers if isinstance(layers, int) and network != "pooled_embedding" else LAYERS[network]
        width = dim if network == "pooled_embedding" else self.enc_dim
        return Encoder(network, count, filters, size, longest, dim, width)

"""Sequence-to-Sequence: a sequence of tokens in, another one out."""

from __future__ import annotations

from optml.algorithms.answers import Response
from optml.algorithms.base import Algorithm, ChannelSpec, Compute, Inference, Roles, Training, lazy
from optml.algorithms.metrics import MetricSpec
from optml.algorithms.seq2seq.hyperparameters import Hyperparameters
from optml.formats.content_type import JSON, JSON_LINES, RECORDIO_PROTOBUF

PAIRS = (
    "RecordIO-protobuf, a record a pair: int32 tensors `source` and `target`, the ids of tokens as the "
    "vocabularies have them, without <s>, </s> and padding. `optml convert --algorithm seq2seq` makes them "
    "of two text files."
)


def _pairs(name: str, role: str, meaning: str) -> ChannelSpec:
    return ChannelSpec(
        name,
        role,  # type: ignore[arg-type]
        required=True,
        content_types=(RECORDIO_PROTOBUF,),
        default_content_type=RECORDIO_PROTOBUF,
        input_modes=("File",),
        distribution=("FullyReplicated",),
        meaning=meaning,
    )


def _metric(name: str, word: str, objective: str | None, when: str = "every checkpoint") -> MetricSpec:
    channel, _, metric = name.partition(":")
    line = f"#quality_metric: host={{host}}, epoch={{epoch}}, {channel} {metric} <{word}>={{value}}"
    return MetricSpec(name, line, objective, when)  # type: ignore[arg-type]


ALGORITHM = Algorithm(
    slug="seq2seq",
    title="Sequence-to-Sequence",
    task="Sequence of tokens in, sequence of tokens out (translation, summarisation), by an encoder and a "
    "decoder with attention",
    hyperparameters=Hyperparameters,
    training=Training(
        channels=(
            _pairs("train", "train", PAIRS),
            _pairs("validation", "validation", "The same; scored at every checkpoint."),
            ChannelSpec(
                "vocab",
                "auxiliary",
                required=True,
                content_types=(JSON,),
                default_content_type=JSON,
                input_modes=("File",),
                distribution=("FullyReplicated",),
                meaning="vocab.src.json and vocab.trg.json: objects token -> id, whose ids 0 to 3 are <pad>, "
                "<unk>, <s> and </s>.",
            ),
        ),
        metrics=(
            _metric("validation:perplexity", "loss", "Minimize"),
            _metric("validation:accuracy", "score", "Maximize"),
            _metric(
                "validation:bleu", "score", "Maximize", "bleu_sample_size != 0 or optimized_metric is bleu"
            ),
            _metric("train:perplexity", "loss", None),
        ),
        printed=(_metric("train:accuracy", "score", None, "training_metric is accuracy"),),
        roles=Roles(epochs="max_num_epochs", updates="updates", batch_size="batch_size"),
        learner=lazy("optml.algorithms.seq2seq.learner:Learner"),
        data=lazy("optml.algorithms.seq2seq.data:data"),
        prefetch=2,
        logged_as="seq2seq",
    ),
    inference=Inference(
        content_types=(JSON, RECORDIO_PROTOBUF, JSON_LINES),
        accepts=(JSON, RECORDIO_PROTOBUF, JSON_LINES),
        response=Response("predictions", ("target",)),
        load=lazy("optml.algorithms.seq2seq.model:load"),
        recognises=lambda folder: False,
        decode=lazy("optml.algorithms.seq2seq.requests:decode"),
        encode=lazy("optml.algorithms.seq2seq.requests:encode"),
        join=lazy("optml.algorithms.seq2seq.requests:join"),
        sample=lazy("optml.algorithms.seq2seq.requests:sample"),
        follows_request=True,
        same_accept=True,
        picture=lazy("optml.algorithms.seq2seq.picture:draw"),
        examples=lazy("optml.algorithms.seq2seq.picture:examples"),
    ),
    compute=Compute(gpu=True, multi_gpu=True, multi_machine=False, incremental=False, memory=330),
    texts=lazy("optml.algorithms.seq2seq.texts:texts"),
)

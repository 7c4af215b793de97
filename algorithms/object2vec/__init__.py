"""Object2Vec: embeddings of objects, learnt from labels or scores of pairs of them."""

from __future__ import annotations

from optml.algorithms.answers import Response
from optml.algorithms.base import Algorithm, ChannelSpec, Compute, Inference, Roles, Training, lazy
from optml.algorithms.metrics import PROGRESS, THROUGHPUT, MetricSpec
from optml.algorithms.object2vec.hyperparameters import Hyperparameters
from optml.formats.content_type import JSON, JSON_LINES

PAIRS = (
    'JSON lines, a pair each: {"label": 0, "in0": [6, 17, 606], "in1": [16, 21]}. Ids are whole numbers '
    "below the encoder's vocab_size; 0 is padding and is never looked at. The label is the number of a "
    "class, or any number with output_layer=mean_squared_error."
)
SHARED = ("ShardedByS3Key", "FullyReplicated")


def _channel(name: str, role: str, meaning: str, *, required: bool = False) -> ChannelSpec:
    return ChannelSpec(
        name,
        role,  # type: ignore[arg-type]
        required=required,
        content_types=(JSON_LINES,),
        default_content_type=JSON_LINES,
        input_modes=("File",),
        distribution=SHARED,
        meaning=meaning,
    )


def _metrics(channel: str, when: str) -> tuple[MetricSpec, ...]:
    epoch = "" if channel == "test" else " epoch={epoch},"
    line = f"#quality_metric: host={{host}},{epoch} {channel}"
    low, high = (None, None) if channel == "train" else ("Minimize", "Maximize")
    softmax, regression = "output_layer softmax", "output_layer mean_squared_error"
    return (
        MetricSpec(
            f"{channel}:cross_entropy",
            f"{line} cross_entropy <loss>={{value}}",
            low,  # type: ignore[arg-type]
            f"{when}, {softmax}",
        ),
        MetricSpec(
            f"{channel}:accuracy",
            f"{line} accuracy <score>={{value}}",
            high,  # type: ignore[arg-type]
            f"{when}, {softmax}",
        ),
        MetricSpec(
            f"{channel}:mean_squared_error",
            f"{line} mean_squared_error <loss>={{value}}",
            low,  # type: ignore[arg-type]
            f"{when}, {regression}",
        ),
    )


ALGORITHM = Algorithm(
    slug="object2vec",
    title="Object2Vec",
    task="Embeddings of objects (a token, or a sequence of tokens), learned from labels or scores of pairs",
    hyperparameters=Hyperparameters,
    training=Training(
        channels=(
            _channel("train", "train", PAIRS, required=True),
            _channel(
                "validation", "validation", "The same; scored each epoch, and early stopping goes by it."
            ),
            _channel("test", "test", "The same; scored once, with the model of the best epoch."),
            ChannelSpec(
                "auxiliary",
                "auxiliary",
                content_types=(JSON,),
                default_content_type=JSON,
                input_modes=("File",),
                distribution=SHARED,
                meaning="Pretrained vectors of tokens (GloVe's text layout) and JSON files token -> id, by "
                "the names that enc0_ and enc1_ hyperparameters give.",
            ),
        ),
        metrics=(
            *_metrics("test", "test channel given, once at the end"),
            *_metrics("train", "each epoch"),
            *_metrics("validation", "validation channel given, each epoch"),
            PROGRESS,
            THROUGHPUT,
        ),
        roles=Roles(epochs="epochs", batch_size="mini_batch_size"),
        learner=lazy("optml.algorithms.object2vec.learner:Learner"),
        data=lazy("optml.algorithms.object2vec.data:data"),
        prefetch=2,
        logged_as="ObjectToVec",
    ),
    inference=Inference(
        content_types=(JSON, JSON_LINES),
        accepts=(JSON, JSON_LINES),
        response=Response("predictions", ("scores",)),
        load=lazy("optml.algorithms.object2vec.model:load"),
        recognises=lambda folder: False,
        decode=lazy("optml.algorithms.object2vec.requests:decode"),
        join=lazy("optml.algorithms.object2vec.requests:join"),
        sample=lazy("optml.algorithms.object2vec.requests:sample"),
        picture=lazy("optml.algorithms.object2vec.picture:draw"),
        examples=lazy("optml.algorithms.object2vec.picture:examples"),
    ),
    compute=Compute(gpu=True, multi_gpu=True, multi_machine=False, incremental=True, memory=330),
    texts=lazy("optml.algorithms.object2vec.texts:texts"),
)

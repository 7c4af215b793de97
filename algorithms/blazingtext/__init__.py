"""BlazingText: word vectors (skipgram, cbow, batch_skipgram) and text classification (supervised)."""

from __future__ import annotations

from optml.algorithms.answers import Response
from optml.algorithms.base import (
    Algorithm,
    ChannelSpec,
    Compute,
    Inference,
    Learner,
    Roles,
    Setting,
    Training,
    lazy,
)
from optml.algorithms.blazingtext.hyperparameters import Hyperparameters
from optml.algorithms.metrics import MetricSpec
from optml.formats.content_type import CSV, JSON, JSON_LINES, RECORDIO, TEXT

SENTENCES = (
    "Text, one sentence per line, tokens parted by white space, lower-cased by the user. supervised: labels "
    "are tokens that begin with __label__, anywhere in the line. Or JSON lines and augmented manifests with "
    "source and label (a number or a list). No ContentType, or text/csv, means text."
)
FORMATS = (TEXT, JSON_LINES, CSV, RECORDIO)


def _learner(setting: Setting) -> Learner:
    if setting.hyperparameters.supervised:
        from optml.algorithms.blazingtext.classification import Classification

        return Classification(setting)
    from optml.algorithms.blazingtext.embedding import Embedding

    return Embedding(setting)


ALGORITHM = Algorithm(
    slug="blazingtext",
    title="BlazingText",
    task="word vectors (skipgram, cbow, batch_skipgram) and text classification (supervised)",
    hyperparameters=Hyperparameters,
    training=Training(
        channels=(
            ChannelSpec(
                "train",
                "train",
                required=True,
                content_types=FORMATS,
                default_content_type=TEXT,
                distribution=("FullyReplicated",),
                meaning=SENTENCES,
            ),
            ChannelSpec(
                "validation",
                "validation",
                content_types=FORMATS,
                default_content_type=TEXT,
                distribution=("FullyReplicated",),
                meaning="The same layout; mode supervised only. Required when early_stopping is true.",
            ),
            ChannelSpec(
                "evaluation",
                "test",
                content_types=(TEXT, CSV),
                default_content_type=TEXT,
                distribution=("FullyReplicated",),
                meaning="Ours: files of word pairs with human scores (WordSim-353), 'tiger cat 7.35' a line. "
                "Word vectors are scored on them.",
            ),
        ),
        metrics=(
            MetricSpec(
                "train:mean_rho",
                "#mean_rho: {value}",
                "Maximize",
                "word vectors, evaluation true, channel evaluation given",
            ),
            MetricSpec("train:accuracy", "#train_accuracy: {value}", None, "supervised"),
            MetricSpec(
                "validation:accuracy",
                "#validation_accuracy: {value}",
                "Maximize",
                "supervised with a validation channel",
            ),
        ),
        roles=Roles(epochs="epochs"),
        learner=_learner,
        data=lazy("optml.algorithms.blazingtext.data:data"),
        scored_on_validation=True,
    ),
    inference=Inference(
        content_types=(JSON, JSON_LINES),
        accepts=(JSON, JSON_LINES),
        response=Response("predictions", ("vector", "word")),
        load=lazy("optml.algorithms.blazingtext.model:load"),
        recognises=lazy("optml.algorithms.blazingtext.recognition:recognises"),
        decode=lazy("optml.algorithms.blazingtext.requests:decode"),
        sample=lazy("optml.algorithms.blazingtext.requests:sample"),
        encode=lazy("optml.algorithms.blazingtext.requests:encode"),
        follows_request=True,
        picture=lazy("optml.algorithms.blazingtext.picture:draw"),
        examples=lazy("optml.algorithms.blazingtext.picture:examples"),
    ),
    compute=Compute(gpu=True, multi_gpu=False, multi_machine=True, incremental=False),
)

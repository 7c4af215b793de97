"""Neural Topic Model: the topics of documents, learned by a variational autoencoder from counts of words."""

from __future__ import annotations

from optml.algorithms.answers import ANSWERS, REQUESTS, Response
from optml.algorithms.base import Algorithm, ChannelSpec, Compute, Inference, Roles, Training, lazy
from optml.algorithms.metrics import PROGRESS, SCORE_IN_BRACKETS, THROUGHPUT, MetricSpec
from optml.algorithms.ntm.hyperparameters import Hyperparameters
from optml.formats.content_type import CSV, RECORDIO_PROTOBUF, TEXT

DOCUMENTS = (
    "One document is feature_dim numbers, how often each word of the vocabulary occurs. RecordIO-protobuf: "
    "features 'values', sparse (keys, values, shape) or dense. CSV: no header, no label column."
)
FORMATS = (RECORDIO_PROTOBUF, CSV)


ALGORITHM = Algorithm(
    slug="ntm",
    title="Neural Topic Model",
    task="unsupervised topic model of word counts by a variational autoencoder",
    hyperparameters=Hyperparameters,
    training=Training(
        channels=(
            ChannelSpec(
                "train",
                "train",
                required=True,
                content_types=FORMATS,
                default_content_type=RECORDIO_PROTOBUF,
                label_size=0,
                distribution=("ShardedByS3Key", "FullyReplicated"),
                meaning=f"{DOCUMENTS} Documents should be shuffled.",
            ),
            ChannelSpec(
                "validation",
                "validation",
                content_types=FORMATS,
                default_content_type=RECORDIO_PROTOBUF,
                label_size=0,
                distribution=("FullyReplicated", "ShardedByS3Key"),
                meaning="The same layout; scored after each epoch, and early stopping goes by it.",
            ),
            ChannelSpec(
                "test",
                "test",
                content_types=FORMATS,
                default_content_type=RECORDIO_PROTOBUF,
                label_size=0,
                distribution=("FullyReplicated", "ShardedByS3Key"),
                meaning="The same layout; scored once, with the final model.",
            ),
            ChannelSpec(
                "auxiliary",
                "auxiliary",
                content_types=(TEXT,),
                default_content_type=TEXT,
                input_modes=("File",),
                distribution=("FullyReplicated",),
                meaning="vocab.txt: UTF-8, a word a line, in their order. Ours: embeddings.txt, "
                "vectors of words in GloVe's text layout, for WETC.",
            ),
        ),
        metrics=(
            MetricSpec(
                "validation:total_loss",
                "#quality_metric: host={host}, epoch={epoch}, validation total_loss <loss>={value}",
                "Minimize",
                "validation channel given; one line at the end of training",
                score="",
            ),
            MetricSpec(
                "train:total_loss",
                "#quality_metric: host={host}, epoch={epoch}, train total_loss <loss>={value}",
                "Minimize",
                "each epoch",
            ),
            MetricSpec(
                "validation:score",
                "#validation_score ({epoch}): {value}",
                None,
                "each epoch, validation given",
            ),
            MetricSpec(
                "test:total_loss",
                "#quality_metric: host={host}, epoch={epoch}, test total_loss <loss>={value}",
                None,
                "test channel given; one line at the end of training",
                score=SCORE_IN_BRACKETS,
            ),
            PROGRESS,
            THROUGHPUT,
        ),
        roles=Roles(epochs="epochs", batch_size="mini_batch_size", width="feature_dim"),
        learner=lazy("optml.algorithms.ntm.learner:Learner"),
        sparse=True,
        scored_on_validation=True,
        logged_as="AWS/NTM",
    ),
    inference=Inference(
        content_types=REQUESTS,
        accepts=ANSWERS,
        response=Response("predictions", ("topic_weights",)),
        load=lazy("optml.algorithms.ntm.model:load"),
        recognises=lazy("optml.algorithms.ntm.model:recognises"),
        picture=lazy("optml.algorithms.ntm.picture:draw"),
    ),
    compute=Compute(gpu=True, multi_gpu=True, multi_machine=True, incremental=False, memory=300),
)

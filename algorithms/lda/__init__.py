"""Latent Dirichlet Allocation: the topics of documents, by spectral decomposition and then by EM."""

from __future__ import annotations

from optml.algorithms.answers import ANSWERS, REQUESTS, Response
from optml.algorithms.base import Algorithm, ChannelSpec, Compute, Inference, Roles, Training, lazy
from optml.algorithms.lda.hyperparameters import Hyperparameters
from optml.algorithms.metrics import PROGRESS, THROUGHPUT, MetricSpec
from optml.formats.content_type import CSV, RECORDIO_PROTOBUF, TEXT

DOCUMENTS = (
    "One document is feature_dim numbers, how often each word of the vocabulary occurs. RecordIO-protobuf: "
    "features 'values', sparse (keys, values, shape) or dense; labels are ignored. CSV: no header, "
    "text/csv;label_size=0."
)
FORMATS = (RECORDIO_PROTOBUF, CSV)
WHOLE = ("FullyReplicated",)  # LDA trains on one machine


ALGORITHM = Algorithm(
    slug="lda",
    title="Latent Dirichlet Allocation",
    task="unsupervised topic model of word counts by spectral decomposition and expectation maximisation",
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
                distribution=WHOLE,
                meaning=DOCUMENTS,
            ),
            ChannelSpec(
                "test",
                "test",
                content_types=FORMATS,
                default_content_type=RECORDIO_PROTOBUF,
                label_size=0,
                distribution=WHOLE,
                meaning="The same layout; scored once, with the final model.",
            ),
            ChannelSpec(
                "auxiliary",
                "auxiliary",
                content_types=(TEXT,),
                default_content_type=TEXT,
                input_modes=("File",),
                distribution=WHOLE,
                meaning="Ours: vocab.txt, UTF-8, a word a line, in their order; topics are told in them.",
            ),
        ),
        metrics=(
            MetricSpec(
                "test:pwll",
                "#quality_metric: host={host}, test pwll <score>={value}",
                "Maximize",
                "test channel given; log likelihood a word, by mixtures as a server infers them",
            ),
            PROGRESS,
            THROUGHPUT,
        ),
        roles=Roles(epochs="epochs", width="feature_dim"),
        learner=lazy("optml.algorithms.lda.learner:Learner"),
        batch_rows=lazy("optml.algorithms.lda.learner:batch_rows"),
        sparse=True,
        logged_as="LDA",
    ),
    inference=Inference(
        content_types=REQUESTS,
        accepts=ANSWERS,
        response=Response("predictions", ("topic_mixture",)),
        load=lazy("optml.algorithms.lda.model:load"),
        recognises=lazy("optml.algorithms.lda.model:recognises"),
        picture=lazy("optml.algorithms.lda.picture:draw"),
    ),
    compute=Compute(gpu=False, multi_gpu=False, multi_machine=False, incremental=False),
)

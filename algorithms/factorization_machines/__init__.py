"""Factorization Machines: regression and binary classification on sparse data with pairwise interactions."""

from __future__ import annotations

from optml.algorithms.answers import ANSWERS, Response
from optml.algorithms.base import Algorithm, ChannelSpec, Compute, Inference, Roles, Training, lazy
from optml.algorithms.factorization_machines.hyperparameters import Hyperparameters
from optml.algorithms.factorization_machines.learner import Learner
from optml.algorithms.factorization_machines.model import load, recognises
from optml.algorithms.factorization_machines.quality import specs
from optml.algorithms.metrics import PROGRESS, THROUGHPUT
from optml.formats.content_type import CSV, JSON, JSON_LINES, LIBSVM, RECORDIO_PROTOBUF

ROWS = (
    "RecordIO-protobuf: features 'values', sparse (keys, values, shape) or dense, and label 'values' with "
    "one number, 0 or 1 for binary_classifier. Beyond AWS: text/csv, the label first; text/libsvm."
)
FORMATS = (RECORDIO_PROTOBUF, CSV, LIBSVM)
DISTRIBUTION = ("ShardedByS3Key", "FullyReplicated")

ALGORITHM = Algorithm(
    slug="factorization-machines",
    title="Factorization Machines",
    task="Second-order factorization machine for sparse regression and binary classification",
    hyperparameters=Hyperparameters,
    training=Training(
        channels=(
            ChannelSpec(
                "train",
                "train",
                required=True,
                content_types=FORMATS,
                default_content_type=RECORDIO_PROTOBUF,
                distribution=DISTRIBUTION,
                meaning=ROWS,
            ),
            ChannelSpec(
                "validation",
                "validation",
                content_types=FORMATS,
                default_content_type=RECORDIO_PROTOBUF,
                distribution=DISTRIBUTION,
                meaning="The same layout; scored each epoch, watched where early_stopping_patience is given.",
            ),
            ChannelSpec(
                "test",
                "test",
                content_types=FORMATS,
                default_content_type=RECORDIO_PROTOBUF,
                distribution=DISTRIBUTION,
                meaning="The same layout; scored once, at the end.",
            ),
        ),
        metrics=(
            *specs(),
            PROGRESS,
            THROUGHPUT,
        ),
        roles=Roles(epochs="epochs", batch_size="mini_batch_size", width="feature_dim"),
        learner=Learner,
        sparse=True,
        logged_as="factorization-machines",
    ),
    inference=Inference(
        content_types=(
            JSON,
            RECORDIO_PROTOBUF,
            JSON_LINES,
            CSV,
            LIBSVM,
        ),
        accepts=ANSWERS,
        response=Response("predictions", ("score", "predicted_label")),
        load=load,
        recognises=recognises,
        picture=lazy("optml.algorithms.factorization_machines.picture:draw"),
    ),
    compute=Compute(gpu=True, multi_gpu=True, multi_machine=True, incremental=False),
)

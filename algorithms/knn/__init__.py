"""K-Nearest Neighbors: classification and regression by the labels of the nearest points of a sample."""

from __future__ import annotations

from optml.algorithms.answers import REQUESTS, Response
from optml.algorithms.base import Algorithm, ChannelSpec, Compute, Inference, Roles, Training, lazy
from optml.algorithms.knn.hyperparameters import Hyperparameters
from optml.algorithms.knn.learner import Learner
from optml.algorithms.knn.model import load, recognises
from optml.algorithms.metrics import PROGRESS, THROUGHPUT, MetricSpec
from optml.formats.content_type import CSV, JSON, JSON_LINES, RECORDIO_PROTOBUF

ROWS = (
    "One row is a label and feature_dim numbers. RecordIO-protobuf: features 'values', dense or sparse, "
    "label 'values'. CSV: no header, the label first, text/csv;label_size=1. Rows with NaN are left out and "
    "counted."
)
TYPES = (RECORDIO_PROTOBUF, CSV, f"{CSV};label_size=1")

ALGORITHM = Algorithm(
    slug="knn",
    title="K-Nearest Neighbors",
    task="classification and regression by the labels of the nearest rows of a sample, in an exact or an "
    "approximate index",
    hyperparameters=Hyperparameters,
    training=Training(
        channels=(
            ChannelSpec(
                "train",
                "train",
                required=True,
                content_types=TYPES,
                distribution=("ShardedByS3Key", "FullyReplicated"),
                meaning=ROWS,
            ),
            ChannelSpec("test", "test", content_types=TYPES, meaning="The same layout. Only scored."),
        ),
        metrics=(
            MetricSpec(
                "test:accuracy",
                "#quality_metric: host={host}, test accuracy <score>={value}",
                "Maximize",
                "test channel given, classifier",
            ),
            MetricSpec(
                "test:macro_f_beta",
                "#quality_metric: host={host}, test macro_f_{token} <score>={value}",
                "Maximize",
                "test channel given, classifier; the mean F1 over the labels that occur",
            ),
            MetricSpec(
                "test:mse",
                "#quality_metric: host={host}, test mse <loss>={value}",
                "Minimize",
                "test channel given, regressor",
            ),
            PROGRESS,
            THROUGHPUT,
        ),
        roles=Roles(epochs="epochs", batch_size="mini_batch_size", width="feature_dim"),
        learner=Learner,
        missing=True,
        logged_as="AWS/KNN",
    ),
    inference=Inference(
        content_types=REQUESTS,
        accepts=(
            JSON,
            f"{JSON};verbose=true",
            JSON_LINES,
            f"{JSON_LINES};verbose=true",
            RECORDIO_PROTOBUF,
            f"{RECORDIO_PROTOBUF};verbose=true",
            CSV,
        ),
        response=Response(
            "predictions", ("predicted_label", "distances", "labels", "indices", "classes", "scores")
        ),
        load=load,
        recognises=recognises,
        missing=True,
        picture=lazy("optml.algorithms.knn.picture:draw"),
    ),
    compute=Compute(gpu=True, multi_gpu=False, multi_machine=True, incremental=False),
)

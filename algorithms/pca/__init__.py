"""PCA: the directions of most variance of numeric rows, and rows projected on them."""

from __future__ import annotations

from optml.algorithms.answers import ANSWERS, REQUESTS, Response
from optml.algorithms.base import Algorithm, ChannelSpec, Compute, Inference, Roles, Training, lazy
from optml.algorithms.metrics import PROGRESS, THROUGHPUT, MetricSpec
from optml.algorithms.pca.hyperparameters import Hyperparameters
from optml.algorithms.pca.learner import Learner, batch_rows
from optml.algorithms.pca.model import load, recognises

ROWS = (
    "One row is one observation of feature_dim numbers. RecordIO-protobuf: features 'values', dense or "
    "sparse; labels are ignored. CSV: no header, text/csv;label_size=0."
)

ALGORITHM = Algorithm(
    slug="pca",
    title="PCA",
    task="principal component analysis: learn num_components orthonormal directions of most variance and "
    "project rows on them",
    hyperparameters=Hyperparameters,
    training=Training(
        channels=(
            ChannelSpec(
                "train",
                "train",
                required=True,
                label_size=None,
                distribution=("ShardedByS3Key", "FullyReplicated"),
                meaning=ROWS,
            ),
            ChannelSpec(
                "test",
                "test",
                label_size=None,
                meaning="The same layout. Only scored.",
            ),
        ),
        metrics=(
            PROGRESS,
            THROUGHPUT,
            MetricSpec(
                "test:reconstruction_mse",
                "#quality_metric: host={host}, test reconstruction_mse <loss>={value}",
                "Minimize",
                "test channel given; mean over rows and features, of the final model",
            ),
            MetricSpec(
                "train:explained_variance_ratio",
                "#quality_metric: host={host}, train explained_variance_ratio <score>={value}",
                "Maximize",
                "once, after the pass; share of the variance that the components hold",
            ),
        ),
        roles=Roles(epochs="epochs", batch_size="mini_batch_size", width="feature_dim"),
        learner=Learner,
        batch_rows=batch_rows,
        sparse=True,
        logged_as="PCA",
    ),
    inference=Inference(
        content_types=REQUESTS,
        accepts=ANSWERS,
        response=Response("projections", ("projection",)),
        load=load,
        recognises=recognises,
        picture=lazy("optml.algorithms.pca.picture:draw"),
    ),
    compute=Compute(gpu=True, multi_gpu=True, multi_machine=True, incremental=False),
)

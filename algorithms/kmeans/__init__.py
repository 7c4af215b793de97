"""K-Means: unsupervised clustering of numeric rows, in one streaming pass."""

from __future__ import annotations

from optml.algorithms.answers import ANSWERS, REQUESTS, Response
from optml.algorithms.base import Algorithm, ChannelSpec, Compute, Inference, Roles, Training, lazy
from optml.algorithms.kmeans.hyperparameters import Hyperparameters
from optml.algorithms.kmeans.learner import Learner
from optml.algorithms.kmeans.model import load, recognises
from optml.algorithms.metrics import PROGRESS, THROUGHPUT, MetricSpec

ROWS = (
    "One row is one observation of feature_dim numbers. RecordIO-protobuf: features 'values', dense or "
    "sparse; labels are ignored. CSV: no header, text/csv;label_size=0."
)

ALGORITHM = Algorithm(
    slug="kmeans",
    title="K-Means",
    task="unsupervised clustering of numeric rows into k groups by Euclidean distance, in one streaming pass",
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
            ChannelSpec("test", "test", label_size=None, meaning="The same layout. Only scored."),
        ),
        metrics=(
            MetricSpec(
                "test:msd",
                "#quality_metric: host={host}, test msd <loss>={value}",
                "Minimize",
                "test channel given and 'msd' in eval_metrics",
            ),
            MetricSpec(
                "test:ssd",
                "#quality_metric: host={host}, test ssd <loss>={value}",
                "Minimize",
                "test channel given and 'ssd' in eval_metrics",
            ),
            MetricSpec(
                "train:msd",
                "#quality_metric: host={host}, train msd <loss>={value}",
                "Minimize",
                "once, after the shrink step; the weighted loss over the streaming centers, not over rows",
            ),
            MetricSpec(
                "train:row_msd",
                "#quality_metric: host={host}, train row msd <loss>={value}",
                "Minimize",
                "once, after the shrink step; what the pass tells of the rows' mean squared distance",
            ),
            PROGRESS,
            THROUGHPUT,
        ),
        roles=Roles(epochs="epochs", batch_size="mini_batch_size", width="feature_dim"),
        learner=Learner,
        logged_as="AWS/KMeansWebscale",
    ),
    inference=Inference(
        content_types=REQUESTS,
        accepts=ANSWERS,
        response=Response("predictions", ("closest_cluster", "distance_to_cluster")),
        load=load,
        recognises=recognises,
        picture=lazy("optml.algorithms.kmeans.picture:draw"),
    ),
    compute=Compute(gpu=True, multi_gpu=False, multi_machine=True, incremental=True),
)

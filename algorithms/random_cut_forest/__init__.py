"""Random Cut Forest: unsupervised anomaly scores."""

from __future__ import annotations

from optml.algorithms.answers import ANSWERS, REQUESTS, Response
from optml.algorithms.base import Algorithm, ChannelSpec, Compute, Inference, Roles, Training, lazy
from optml.algorithms.metrics import THROUGHPUT, MetricSpec
from optml.algorithms.random_cut_forest.hyperparameters import Hyperparameters
from optml.algorithms.random_cut_forest.learner import Learner
from optml.algorithms.random_cut_forest.model import load, recognises


def _quality(name: str, when: str) -> MetricSpec:
    word = name.partition(":")[2]
    return MetricSpec(
        name, f"#quality_metric: host={{host}}, test {word} <score>={{value}}", "Maximize", when
    )


LABELLED = "labelled test channel and 'precision_recall_fscore' in eval_metrics"

ALGORITHM = Algorithm(
    slug="randomcutforest",
    title="Random Cut Forest",
    task="unsupervised anomaly scores: how early random axis cuts would isolate a row from samples of the "
    "training data",
    hyperparameters=Hyperparameters,
    training=Training(
        channels=(
            ChannelSpec(
                "train",
                "train",
                required=True,
                label_size=None,
                distribution=("ShardedByS3Key",),
                meaning="One row is one observation of feature_dim numbers. RecordIO-protobuf: features "
                "'values', dense or sparse. CSV: no header, text/csv;label_size=0. Labels are ignored.",
            ),
            ChannelSpec(
                "test",
                "test",
                label_size=None,
                meaning="The same rows with a label, 1 for an anomaly, 0 for any other. RecordIO-protobuf: "
                "label 'values'. CSV: the first column, text/csv;label_size=1.",
            ),
        ),
        metrics=(
            _quality("test:f1", LABELLED),
            _quality("test:accuracy", "labelled test channel and 'accuracy' in eval_metrics"),
            _quality("test:precision", LABELLED),
            _quality("test:recall", LABELLED),
            _quality("test:negative_precision", LABELLED),
            _quality("test:negative_recall", LABELLED),
            _quality("test:negative_f1", LABELLED),
            _quality("test:roc_auc", "test channel with labels of both kinds"),
            THROUGHPUT,
            MetricSpec(
                "train:progress",
                "#progress_metric: host={host}, completed {value} % epochs",
                None,
                "end of the pass",
            ),
        ),
        roles=Roles(epochs="epochs", batch_size="mini_batch_size", width="feature_dim"),
        learner=Learner,
        logged_as="RandomCutForest",
    ),
    inference=Inference(
        content_types=REQUESTS,
        accepts=ANSWERS,
        response=Response("scores", ("score",)),
        load=load,
        recognises=recognises,
        picture=lazy("optml.algorithms.random_cut_forest.picture:draw"),
    ),
    compute=Compute(gpu=True, multi_gpu=False, multi_machine=True, incremental=False),
)

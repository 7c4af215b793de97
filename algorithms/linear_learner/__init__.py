"""Linear Learner: regression and classification by linear models, many of them trained side by side."""

from __future__ import annotations

from typing import Literal

from optml.algorithms.answers import ANSWERS, REQUESTS, Response
from optml.algorithms.base import Algorithm, ChannelSpec, Compute, Inference, Roles, Training, lazy
from optml.algorithms.linear_learner.hyperparameters import Hyperparameters
from optml.algorithms.linear_learner.learner import Learner
from optml.algorithms.linear_learner.model import load, recognises
from optml.algorithms.metrics import PROGRESS, THROUGHPUT, MetricSpec

ROWS = (
    "One row is a label and feature_dim numbers. CSV: no header, the label first. RecordIO-protobuf: "
    "features 'values', dense or sparse, and one label. Labels are 0 or 1 (binary_classifier), 0 to "
    "num_classes - 1 (multiclass_classifier) or any number (regressor)."
)

# The metrics of a final model, in AWS's order.
FINAL = {
    "regressor": ("mse", "absolute_loss", "rmse"),
    "binary_classifier": (
        "binary_classification_accuracy",
        "binary_f_beta",
        "precision",
        "recall",
        "roc_auc_score",
    ),
    "multiclass_classifier": (
        "multiclass_accuracy",
        "multiclass_top_k_accuracy",
        "dcg",
        "macro_recall",
        "macro_precision",
        "macro_f_beta",
        "multiclass_balanced_accuracy",
        "multiclass_log_loss",  # AWS prints it as a score
    ),
}
# What stands in a line for those whose word holds a parameter.
WORDS = {
    "binary_f_beta": "binary_f_{token}",
    "multiclass_top_k_accuracy": "multiclass_top_k_accuracy_{token}",
    "macro_f_beta": "macro_f_{token}",
}


def _final(channel: str, suffix: str, when: str) -> list[MetricSpec]:
    """The metrics of the final model on a channel."""
    quality = f"#quality_metric: host={{host}}, {channel}"
    objective = MetricSpec(
        f"{channel}:objective_loss{suffix}",
        f"{quality} {{token}}_objective <loss>={{value}}",
        "Minimize",
        when,
    )
    specs = [objective]
    for predictor, names in FINAL.items():
        kind = "loss" if predictor == "regressor" else "score"
        for name in names:
            line = f"{quality} {WORDS.get(name, name)} <{kind}>={{value}}"
            lower = kind == "loss" or name.endswith("loss")
            goal: Literal["Minimize", "Maximize"] = "Minimize" if lower else "Maximize"
            specs.append(MetricSpec(f"{channel}:{name}", line, goal, f"{when}, predictor_type={predictor}"))
    return specs


def _each_epoch(channel: str, when: str) -> MetricSpec:
    return MetricSpec(
        f"{channel}:objective_loss",
        f"#quality_metric: host={{host}}, epoch={{epoch}}, {channel} {{token}}_objective <loss>={{value}}",
        "Minimize",
        when,
    )


ALGORITHM = Algorithm(
    slug="linear-learner",
    title="Linear Learner",
    task="linear regression, binary and multiclass classification by stochastic gradients over many models "
    "at once, with a calibrated threshold and the best model chosen on validation data",
    hyperparameters=Hyperparameters,
    training=Training(
        channels=(
            ChannelSpec(
                "train",
                "train",
                required=True,
                distribution=("ShardedByS3Key", "FullyReplicated"),
                meaning=f"{ROWS} Rows should be shuffled.",
            ),
            ChannelSpec(
                "validation",
                "validation",
                distribution=("FullyReplicated", "ShardedByS3Key"),
                meaning="The same layout. Early stopping, threshold and choice of the model go by it.",
            ),
            ChannelSpec(
                "test",
                "test",
                distribution=("FullyReplicated", "ShardedByS3Key"),
                meaning="The same layout. Only scored.",
            ),
        ),
        metrics=(
            *_final("test", "", "test channel given"),
            *_final("validation", ":final", "validation channel given"),
            *_final("train", ":final", "no validation channel; on a sample of train"),
            _each_epoch("train", "each epoch; the first model, on labels as they are trained on"),
            _each_epoch("validation", "each epoch, validation channel given; the first model"),
            MetricSpec(
                "early_stopping:criteria",
                "#early_stopping_criteria_metric: host={host}, epoch={epoch}, criteria={token}, "
                "value={value}",
                None,
                "each epoch; the best of the models",
            ),
            PROGRESS,
            THROUGHPUT,
        ),
        roles=Roles(epochs="epochs", batch_size="mini_batch_size", width="feature_dim", seed="seed"),
        learner=Learner,
        sparse=True,
        scored_on_validation=True,
        logged_as="Linear Learner",
    ),
    inference=Inference(
        content_types=REQUESTS,
        accepts=ANSWERS,
        response=Response(
            "predictions",
            ("score", "predicted_label"),
            csv_fields=("predicted_label", "score"),
            compact_lines=True,
        ),
        load=load,
        recognises=recognises,
        picture=lazy("optml.algorithms.linear_learner.picture:draw"),
    ),
    compute=Compute(gpu=True, multi_gpu=True, multi_machine=True, incremental=True, memory=130),
)

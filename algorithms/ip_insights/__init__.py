"""IP Insights: how usual is an IPv4 address for an entity, learnt from pairs that were observed."""

from __future__ import annotations

from optml.algorithms.answers import Response
from optml.algorithms.base import Algorithm, ChannelSpec, Compute, Inference, Roles, Training, lazy
from optml.algorithms.ip_insights.hyperparameters import Hyperparameters
from optml.algorithms.metrics import PROGRESS, THROUGHPUT, MetricSpec
from optml.formats.content_type import CSV, JSON, JSON_LINES

LAYOUT = (
    "CSV without a header, two columns: an entity (any text; quoted where it holds commas) and an IPv4 "
    "address in dotted decimal. Pairs that occur often may stand there as often."
)
ACCURACY, CROSS_ENTROPY = "binary_classification_accuracy", "binary_classification_cross_entropy"


ALGORITHM = Algorithm(
    slug="ipinsights",
    title="IP Insights",
    task="Unsupervised scoring of (entity, IPv4 address) pairs: how compatible an address is with an entity",
    hyperparameters=Hyperparameters,
    training=Training(
        channels=(
            ChannelSpec(
                "train",
                "train",
                required=True,
                content_types=(CSV,),
                default_content_type=CSV,
                input_modes=("File",),
                meaning=LAYOUT,
            ),
            ChannelSpec(
                "validation",
                "validation",
                content_types=(CSV,),
                default_content_type=CSV,
                input_modes=("File",),
                distribution=("FullyReplicated",),
                meaning="The same layout; told apart from random addresses after each epoch.",
            ),
        ),
        metrics=(
            MetricSpec(
                "validation:discriminator_auc",
                "#quality_metric: host={host}, epoch={epoch}, validation discriminator_auc <score>={value}",
                "Maximize",
                "validation channel given, each epoch",
            ),
            MetricSpec(
                f"train:{CROSS_ENTROPY}:epoch",
                f"#quality_metric: host={{host}}, epoch={{epoch}}, train {CROSS_ENTROPY} <loss>={{value}}",
                "Minimize",
                "each epoch",
            ),
            MetricSpec(
                f"train:{ACCURACY}:epoch",
                f"#quality_metric: host={{host}}, epoch={{epoch}}, train {ACCURACY} <score>={{value}}",
                "Maximize",
                "each epoch",
            ),
            MetricSpec(
                f"train:{CROSS_ENTROPY}",
                f"#quality_metric: host={{host}}, epoch={{epoch}}, batch={{batch}} train {CROSS_ENTROPY} "
                "<loss>={value}",
                "Minimize",
                "batch 0 and each batch_metrics_publish_interval: mean since the epoch began",
            ),
            MetricSpec(
                f"train:{ACCURACY}",
                f"#quality_metric: host={{host}}, epoch={{epoch}}, batch={{batch}} train {ACCURACY} "
                "<score>={value}",
                "Maximize",
                "batch 0 and each batch_metrics_publish_interval: mean since the epoch began",
            ),
            PROGRESS,
            THROUGHPUT,
        ),
        roles=Roles(epochs="epochs", batch_size="mini_batch_size"),
        learner=lazy("optml.algorithms.ip_insights.learner:Learner"),
        data=lazy("optml.algorithms.ip_insights.data:data"),
        logged_as="ipinsights",
    ),
    inference=Inference(
        content_types=(CSV, JSON, JSON_LINES),
        accepts=(
            JSON,
            JSON_LINES,
            f"{JSON};verbose=True",
            f"{JSON_LINES};verbose=True",
            CSV,  # ours, so that scores can be joined to their pairs
        ),
        response=Response("predictions", ("dot_product", "ip_embedding", "entity_embedding", "entity_seen")),
        load=lazy("optml.algorithms.ip_insights.model:load"),
        recognises=lambda folder: False,
        decode=lazy("optml.algorithms.ip_insights.requests:decode"),
        sample=lazy("optml.algorithms.ip_insights.requests:sample"),
        picture=lazy("optml.algorithms.ip_insights.picture:draw"),
        examples=lazy("optml.algorithms.ip_insights.picture:examples"),
    ),
    compute=Compute(gpu=True, multi_gpu=True, multi_machine=True, incremental=False),
)

"""Object Detection: SSD, which tells what is on a picture and where."""

from __future__ import annotations

from optml.algorithms.answers import Response
from optml.algorithms.base import Algorithm, ChannelSpec, Compute, Inference, Roles, Training, lazy
from optml.algorithms.metrics import THROUGHPUT, MetricSpec
from optml.algorithms.object_detection.hyperparameters import Hyperparameters
from optml.formats.content_type import IMAGE, JSON, JSON_LINES, RECORDIO

FORMATS = (RECORDIO, IMAGE, "image/jpeg", "image/png")
MODES = ("File", "Pipe")
REPLICATED = ("FullyReplicated",)

_WHAT = (
    "RecordIO: .rec files as im2rec --pack-label makes them. Image files: with JSON about each in channel "
    "{0}_annotation, or one .lst file beside them. Augmented manifest: the records image, JSON, image, "
    "JSON ..."
)


def _annotations(name: str) -> ChannelSpec:
    return ChannelSpec(
        f"{name}_annotation",
        "auxiliary",
        content_types=(IMAGE, "image/jpeg", "image/png", JSON),
        input_modes=("File",),
        distribution=REPLICATED,
        meaning=f"One JSON file for each image of channel {name}: image_size, annotations (class_id, "
        f"left, top, "
        "width, height in pixels), and file, the image's name, else its own name is the image's.",
    )


def _loss(word: str) -> MetricSpec:
    line = "#quality_metric: host={host}, epoch={epoch}, batch={batch} train " + word + " <loss>=({value})"
    regex = rf"#quality_metric: host=\S+, epoch=\S+, batch=\S+ train {word} <loss>=\((\S+)\)"
    return MetricSpec(f"train:{word}", line, "Minimize", "each epoch", regex, score="")


ALGORITHM = Algorithm(
    slug="object-detection",
    title="Object Detection",
    task="what is on a picture and where, by SSD on VGG-16 or ResNet-50",
    hyperparameters=Hyperparameters,
    training=Training(
        channels=(
            ChannelSpec(
                "train",
                "train",
                required=True,
                content_types=FORMATS,
                default_content_type=RECORDIO,
                input_modes=MODES,
                meaning=_WHAT.format("train"),
            ),
            ChannelSpec(
                "validation",
                "validation",
                required=True,
                content_types=FORMATS,
                default_content_type=RECORDIO,
                input_modes=MODES,
                distribution=REPLICATED,
                meaning=_WHAT.format("validation"),
            ),
            _annotations("train"),
            _annotations("validation"),
            ChannelSpec(
                "pretrained",
                "auxiliary",
                content_types=("application/octet-stream",),
                input_modes=("File",),
                distribution=REPLICATED,
                meaning="Ours: weights for use_pretrained_model=1, .safetensors or MXNet's .params, taken by "
                "their network, not by name.",
            ),
        ),
        metrics=(
            MetricSpec(
                "validation:mAP",
                "#quality_metric: host={host}, epoch={epoch}, validation mAP <score>=({value})",
                "Maximize",
                "each epoch",
                r"#quality_metric: host=\S+, epoch=\S+, validation mAP <score>=\((\S+)\)",
                score="",
            ),
            _loss("cross_entropy"),
            _loss("smooth_l1"),
            MetricSpec(
                "train:progress",
                "#progress_metric: host={host}, completed {value} % of epochs",
                "Maximize",
                "each epoch",
            ),
            MetricSpec(THROUGHPUT.name, THROUGHPUT.line, "Maximize", "each epoch"),
        ),
        roles=Roles(epochs="epochs", batch_size="mini_batch_size"),
        learner=lazy("optml.algorithms.object_detection.learner:Learner"),
        data=lazy("optml.algorithms.object_detection.data:data"),
        logged_as="AWS/Object Detection",
    ),
    inference=Inference(
        content_types=(IMAGE, "image/jpeg", "image/png"),
        accepts=(JSON, f"{JSON};annotation=1", JSON_LINES),
        response=Response("prediction", ("prediction",)),
        load=lazy("optml.algorithms.object_detection.model:load"),
        recognises=lazy("optml.algorithms.object_detection.aws:recognises"),
        decode=lazy("optml.algorithms.object_detection.requests:decode"),
        join=lazy("optml.algorithms.object_detection.requests:join"),
        encode=lazy("optml.algorithms.object_detection.requests:encode"),
        sample=lazy("optml.algorithms.object_detection.requests:sample"),
        picture=lazy("optml.algorithms.object_detection.picture:draw"),
        examples=lazy("optml.algorithms.object_detection.picture:examples"),
        variables={
            "OPTML_MAX_PIXELS": lazy("optml.formats.images.header:parse_max_pixels"),
            "OPTML_SCORE_THRESHOLD": lazy("optml.algorithms.object_detection.model:parse_threshold"),
        },
    ),
    compute=Compute(gpu=True, multi_gpu=True, multi_machine=True, incremental=True, memory=400),
)

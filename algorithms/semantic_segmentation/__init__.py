"""Semantic Segmentation: the class of each pixel, by FCN, PSP or DeepLab v3 on a residual network."""

from __future__ import annotations

from typing import Literal

from optml.algorithms.answers import Response
from optml.algorithms.base import Algorithm, ChannelSpec, Compute, Inference, Roles, Training, lazy
from optml.algorithms.metrics import PROGRESS, MetricSpec
from optml.algorithms.semantic_segmentation.hyperparameters import Hyperparameters
from optml.formats.content_type import IMAGE, JSON, JSON_LINES, RECORDIO, RECORDIO_PROTOBUF

FORMATS = ("image/jpeg", "image/png", IMAGE, RECORDIO)
REPLICATED = ("FullyReplicated",)


def _images(name: str, role: str) -> ChannelSpec:
    return ChannelSpec(
        name,
        "train" if role == "train" else "validation",
        required=True,
        content_types=FORMATS,
        default_content_type="image/jpeg",
        input_modes=("File", "Pipe"),
        distribution=REPLICATED,
        meaning=f"Images, each with a mask of its name in channel {name}_annotation. Or an augmented "
        "manifest, of application/x-recordio: the records image, mask, image, mask ...",
    )


def _annotation(name: str) -> ChannelSpec:
    return ChannelSpec(
        f"{name}_annotation",
        "auxiliary",
        content_types=("image/png", IMAGE),
        default_content_type="image/png",
        input_modes=("File",),
        distribution=REPLICATED,
        depth=1,
        meaning=f"A PNG for each image of channel {name}: one channel of 8 bits, whose values are classes; "
        "255 is ignored. Required but for a manifest.",
    )


def _metric(channel: str, word: str, aim: Literal["Maximize", "Minimize"] | None) -> MetricSpec:
    name = f"{channel}:{word}"
    line = f"#quality_metric. host: {{host}}, epoch: {{epoch}}, {channel} {word}: {{value!r}} ."
    published = word if word == "pixel_accuracy" else f"{channel} {word}"
    return MetricSpec(name, line, aim, "each epoch", rf"{published}: (\S+)", score="")


def _throughput(channel: str) -> MetricSpec:
    line = (
        f"#throughput_metric. host: {{host}}, epoch: {{epoch}}, {channel} throughput: {{value!r}} "
        "samples/sec."
    )
    return MetricSpec(
        f"{channel}:throughput", line, "Maximize", "each epoch", rf"{channel} throughput: (\S+)", score=""
    )


ALGORITHM = Algorithm(
    slug="semantic-segmentation",
    title="Semantic Segmentation",
    task="the class of each pixel of a picture, by a fully convolutional network",
    hyperparameters=Hyperparameters,
    training=Training(
        channels=(
            _images("train", "train"),
            _images("validation", "validation"),
            _annotation("train"),
            _annotation("validation"),
            ChannelSpec(
                "label_map",
                "auxiliary",
                content_types=(JSON,),
                default_content_type=JSON,
                input_modes=("File",),
                distribution=REPLICATED,
                meaning='train_label_map.json and validation_label_map.json: {"scale": 3} divides the values '
                'of masks, {"map": {"0": 5, "1": 0}} has the value of each label.',
            ),
            ChannelSpec(
                "pretrained",
                "auxiliary",
                content_types=("application/octet-stream",),
                input_modes=("File",),
                distribution=REPLICATED,
                meaning="Ours: weights of the encoder, .safetensors or MXNet's .params, taken by their "
                "network, not by name.",
            ),
        ),
        metrics=(
            _metric("validation", "mIOU", "Maximize"),
            _metric("validation", "pixel_accuracy", "Maximize"),
            _metric("train", "loss", "Minimize"),
            _throughput("train"),
            _throughput("validation"),
            PROGRESS,
        ),
        printed=(_metric("validation", "mIOU_present", None),),
        roles=Roles(epochs="epochs", batch_size="mini_batch_size"),
        learner=lazy("optml.algorithms.semantic_segmentation.learner:Learner"),
        data=lazy("optml.algorithms.semantic_segmentation.data:data"),
        logged_as="AWS/Semantic Segmentation",
    ),
    inference=Inference(
        content_types=("image/jpeg", "image/png", IMAGE),
        accepts=("image/png", "application/x-protobuf", RECORDIO_PROTOBUF, JSON, JSON_LINES),
        response=Response("predictions", ("scores",)),
        load=lazy("optml.algorithms.semantic_segmentation.model:load"),
        recognises=lazy("optml.algorithms.semantic_segmentation.aws:recognises"),
        decode=lazy("optml.algorithms.semantic_segmentation.requests:decode"),
        join=lazy("optml.algorithms.semantic_segmentation.requests:join"),
        encode=lazy("optml.algorithms.semantic_segmentation.requests:encode"),
        max_payload_mb=10,
        sample=lazy("optml.algorithms.semantic_segmentation.requests:sample"),
        picture=lazy("optml.algorithms.semantic_segmentation.picture:draw"),
        examples=lazy("optml.algorithms.semantic_segmentation.picture:examples"),
        variables={
            "OPTML_MAX_PIXELS": lazy("optml.formats.images.header:parse_max_pixels"),
            "OPTML_MAX_SIDE": lazy("optml.algorithms.semantic_segmentation.sides:parse_max_side"),
        },
    ),
    compute=Compute(gpu=True, multi_gpu=True, multi_machine=False, incremental=True, memory=600),
)

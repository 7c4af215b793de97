"""Image Classification: residual networks that tell what is on a picture."""

from __future__ import annotations

from optml.algorithms.answers import Response
from optml.algorithms.base import Algorithm, ChannelSpec, Compute, Inference, Roles, Training, lazy
from optml.algorithms.image_classification.hyperparameters import Hyperparameters
from optml.algorithms.metrics import PROGRESS, THROUGHPUT, MetricSpec
from optml.formats.content_type import IMAGE, JSON, JSON_LINES, RECORDIO

FORMATS = (RECORDIO, IMAGE, "image/jpeg", "image/png")
MODES = ("File", "Pipe")
REPLICATED = ("FullyReplicated",)

_WHAT = (
    "RecordIO: .rec files as im2rec makes them. Image files: named by the channel {}_lst. Augmented "
    "manifest: the "
    "records image, label, image, label ...; label-format=multi-hot (default) or class-id in the content "
    "type says "
    "how several labels are written."
)


def _list(name: str) -> ChannelSpec:
    return ChannelSpec(
        f"{name}_lst",
        "auxiliary",
        content_types=(IMAGE,),
        default_content_type=IMAGE,
        input_modes=("File",),
        distribution=REPLICATED,
        meaning=f"One .lst file: index TAB label [TAB label ...] TAB path of an image in channel {name}.",
    )


def _accuracy(channel: str) -> tuple[MetricSpec, MetricSpec]:
    """The metric by both of its names."""
    line = f"Epoch[{{epoch}}] {channel.capitalize()}-accuracy={{value:f}}"
    regex = rf"Epoch\S* {channel.capitalize()}-accuracy=(\S*)"
    return (
        MetricSpec(f"{channel}:accuracy", line, "Maximize", "each epoch", regex, score=""),
        MetricSpec(f"{channel}:accuracy:epoch", line, "Maximize", "each epoch", regex, score=""),
    )


ALGORITHM = Algorithm(
    slug="image-classification",
    title="Image Classification",
    task="one label or several of a picture, by a residual network",
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
            _list("train"),
            _list("validation"),
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
        metrics=(*_accuracy("train"), *_accuracy("validation"), PROGRESS, THROUGHPUT),
        printed=(
            MetricSpec(
                "train:top_k_accuracy",
                "Epoch[{epoch}] Train-top_k_accuracy_{token}={value:f}",
                None,
                "each epoch, where top_k is given",
                score="",
            ),
        ),
        roles=Roles(epochs="epochs", batch_size="mini_batch_size"),
        learner=lazy("optml.algorithms.image_classification.learner:Learner"),
        data=lazy("optml.algorithms.image_classification.data:data"),
    ),
    inference=Inference(
        content_types=(IMAGE, "image/jpeg", "image/png"),
        accepts=(JSON, JSON_LINES, f"{JSON_LINES};verbose=true"),
        response=Response("prediction", ("prediction",)),
        load=lazy("optml.algorithms.image_classification.model:load"),
        recognises=lazy("optml.algorithms.image_classification.aws:recognises"),
        decode=lazy("optml.algorithms.image_classification.requests:decode"),
        join=lazy("optml.algorithms.image_classification.requests:join"),
        encode=lazy("optml.algorithms.image_classification.requests:encode"),
        sample=lazy("optml.algorithms.image_classification.requests:sample"),
        picture=lazy("optml.algorithms.image_classification.picture:draw"),
        examples=lazy("optml.algorithms.image_classification.picture:examples"),
        variables={"OPTML_MAX_PIXELS": lazy("optml.formats.images.header:parse_max_pixels")},
    ),
    compute=Compute(gpu=True, multi_gpu=True, multi_machine=True, incremental=True, memory=400),
)

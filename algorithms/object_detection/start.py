"""What training begins with: a detector, and its first weights."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.network import seeded
from optml.algorithms.object_detection import vgg
from optml.algorithms.object_detection.design import Design, design
from optml.algorithms.object_detection.facts import Facts
from optml.algorithms.object_detection.hyperparameters import Hyperparameters
from optml.algorithms.object_detection.model import read
from optml.algorithms.object_detection.naming import aws_name
from optml.algorithms.object_detection.network import Detector, initialise
from optml.algorithms.vision.architecture import Scaling
from optml.algorithms.vision.weights import choice, published
from optml.algorithms.vision.weights.files import Weights
from optml.algorithms.vision.whole import shapes, tensors
from optml.errors import UserError

log = logging.getLogger(__name__)

FRESH = ("fc6.", "fc7.", "relu4_3_scale")  # what pretrained weights of a VGG need not hold


@dataclass(frozen=True, slots=True)
class Start:
    """network: in float32 on the CPU.   facts: what it is of, but for the names of the classes."""

    network: Detector
    facts: Facts


def begin(setting: Setting) -> Start:
    """From the channel `model`, else from pretrained weights where the job asks for some, else at random.

    Raises UserError where a model is of another job, or no weights fit."""
    hyperparameters: Hyperparameters = setting.hyperparameters
    arrays: Mapping[str, np.ndarray] = {}
    weights: Weights | None = None
    if setting.warm_start is not None:
        log.info("Start training from the model in the model channel.")
        facts, arrays = read(setting.warm_start)
        own = _continued(facts, hyperparameters)
    elif hyperparameters.use_pretrained_model:
        log.info("Start training from pretrained model %d.", hyperparameters.use_pretrained_model)
        weights = _pretrained(setting)
        own = design(
            hyperparameters.base_network,
            hyperparameters.image_shape,
            hyperparameters.num_classes,
            weights.architecture,
        )
        if own.network is None:
            own = replace(own, scaling=_scaling(weights))
    else:
        log.info("Start training from scratch: use_pretrained_model is 0.")
        own = design(hyperparameters.base_network, hyperparameters.image_shape, hyperparameters.num_classes)
    with seeded(setting.seed):
        network = Detector(own)
        initialise(network)
    if weights is not None:
        arrays = _fitted(weights, network)
    if arrays:
        network.load_state_dict(tensors(arrays), strict=False)
        log.info("done loading checkpoint" if weights is None else "Loaded pretrained model parameters.")
    facts = Facts(own, hyperparameters.image_shape, hyperparameters.nms_threshold, hyperparameters.nms_topk)
    return Start(network, facts)


def freeze(network: Detector, pattern: str) -> None:
    """Leave the parameters of the base out of training whose names match, AWS's or ours."""
    if not pattern:
        return
    frozen = []
    for name, parameter in network.named_parameters():
        if not name.startswith("base."):
            continue
        known = aws_name(name, network.design.base)
        if any(re.match(pattern, one) for one in (known, name, name.removeprefix("base."))):
            parameter.requires_grad_(False)
            frozen.append(known)
    if frozen:
        log.info("Freezed parameters: [%s]", ",".join(frozen))
    else:
        names = [
            aws_name(name, network.design.base) for name, _ in network.base.named_parameters(prefix="base")
        ]
        log.warning(
            "freeze_layer_pattern '%s' matches no parameter of the base network, and nothing is frozen; "
            "it has %s, "
            "...", pattern, ", ".join(names[:5]),
        )  # fmt: skip


def _continued(facts: Facts, hyperparameters: Hyperparameters) -> Design:
    """The network to go on with. Raises UserError for a model of another network, other images or classes."""
    own = facts.design
    pairs = [
        ("base_network", own.base, hyperparameters.base_network),
        ("num_classes", own.classes, hyperparameters.num_classes),
    ]
    wrong = [f"{name} is {theirs} there and {mine} here" for name, theirs, mine in pairs if theirs != mine]
    if not wrong and facts.side != hyperparameters.image_shape:
        asked = design(own.base, hyperparameters.image_shape, own.classes, own.network)
        if (asked.extras, asked.anchors.counts) == (own.extras, own.anchors.counts):
            return replace(own, anchors=replace(own.anchors, steps=asked.anchors.steps))
        wrong.append(
            f"image_shape is {facts.side} there and {hyperparameters.image_shape} here, which has other "
            f"layers"
        )
    if wrong:
        raise UserError(
            f"the model in channel 'model' cannot be gone on with: {'; '.join(wrong)}. Set the job's "
            "hyperparameters to the model's, or leave the channel out"
        )
    return own


def _pretrained(setting: Setting) -> Weights:
    hyperparameters: Hyperparameters = setting.hyperparameters
    if hyperparameters.base_network == "vgg-16":

        def fits(weights: Weights) -> bool:
            return vgg.arrays(weights.arrays, str(weights.path)) is not None

        return choice.choose(
            setting.pretrained, fits, "VGG-16 (use_pretrained_model is 1)", published.get("vgg16-ssd").name
        )

    def fits_residual(weights: Weights) -> bool:
        network = weights.architecture
        return network is not None and (network.depth, network.channels) == (50, 3)

    return choice.choose(
        setting.pretrained, fits_residual, "ResNet-50 (use_pretrained_model is 1)", published.of(50)
    )


def _fitted(weights: Weights, network: Detector) -> dict[str, np.ndarray]:
    """The arrays of a base, by the detector's names."""
    head: tuple[str, ...] = ()
    if network.design.network is None:
        weights = replace(weights, arrays=vgg.arrays(weights.arrays, str(weights.path)) or {})
        head = tuple(name for name in FRESH if not any(known.startswith(name) for known in weights.arrays))
    taken = choice.fitted(weights, shapes(network.base), head)
    return {f"base.{name}": array for name, array in taken.items()}


def _scaling(weights: Weights) -> Scaling:
    """What the pixels of a VGG were: by what was noted beside the file, else by its dense layers, which those
    made for detectors lack."""
    try:
        told = json.loads(weights.path.with_suffix(".json").read_text())["scaling"]
        if told in ("mean", "imagenet"):
            scaling: Scaling = told
            return scaling
    except (OSError, ValueError, TypeError, KeyError):
        pass
    dense = weights.arrays.get("classifier.0.weight")
    return "mean" if dense is None or not np.isfinite(dense[0]).all() else "imagenet"

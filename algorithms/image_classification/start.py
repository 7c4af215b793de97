"""What training begins with: a network, and its first weights."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.image_classification.facts import Facts
from optml.algorithms.image_classification.hyperparameters import Hyperparameters
from optml.algorithms.image_classification.model import read
from optml.algorithms.network import seeded
from optml.algorithms.vision.architecture import SMALL, Architecture, stem_of
from optml.algorithms.vision.resnet import ResNet, initialise
from optml.algorithms.vision.weights import choice, published
from optml.algorithms.vision.weights.files import Weights
from optml.algorithms.vision.whole import shapes, tensors
from optml.errors import UserError

log = logging.getLogger(__name__)

HEIGHT = 28  # up to this, networks of 20 to 110 layers are meant; above it, the others


@dataclass(frozen=True, slots=True)
class Start:
    """network: in float32 on the CPU.   facts: what it is of, but for the names of the classes."""

    network: ResNet
    facts: Facts


def begin(setting: Setting) -> Start:
    """From the channel `model`, else from pretrained weights where the job asks for some, else at random.

    Raises UserError where a model is of another job, or no weights fit."""
    hyperparameters: Hyperparameters = setting.hyperparameters
    channels, height, width = hyperparameters.shape
    log.info("use_pretrained_model: %d", hyperparameters.use_pretrained_model)
    log.info("multi_label: %d", hyperparameters.multi_label)
    arrays: Mapping[str, np.ndarray] = {}
    if setting.warm_start is not None:
        log.info("Loading the model of channel 'model', from which training goes on.")
        facts, arrays = read(setting.warm_start)
        _require_same(facts, hyperparameters)
        architecture = facts.architecture
    elif hyperparameters.use_pretrained_model:
        weights = _pretrained(setting)
        log.info("Using pretrained model for initializing weights and transfer learning.")
        assert weights.architecture is not None
        architecture = weights.architecture
    else:
        log.info("Performing random weight initialization")
        architecture = Architecture(hyperparameters.num_layers, "pre", stem_of(height), channels)
        _warn_of_depth(hyperparameters)
    with seeded(setting.seed):
        network = ResNet(architecture, hyperparameters.num_classes)
        initialise(network)
    if setting.warm_start is None and hyperparameters.use_pretrained_model:
        arrays = choice.fitted(weights, shapes(network), ["fc."])
    if arrays:
        network.load_state_dict(tensors(arrays), strict=False)
    facts = Facts(architecture, height, width, hyperparameters.num_classes, bool(hyperparameters.multi_label))
    return Start(network, facts)


def _pretrained(setting: Setting) -> Weights:
    hyperparameters: Hyperparameters = setting.hyperparameters
    channels, height, width = hyperparameters.shape
    if (height, width) != (224, 224):
        log.warning(
            "use_pretrained_model: weights are learnt from images of 224 x 224 pixels, image_shape is %s; "
            "the "
            "network takes any size, but knows things in another one",
            hyperparameters.image_shape,
        )

    def fits(weights: Weights) -> bool:
        network = weights.architecture
        return network is not None and (network.depth, network.channels) == (
            hyperparameters.num_layers,
            channels,
        )

    wanted = f"ResNet-{hyperparameters.num_layers} for {channels} channels (use_pretrained_model is 1)"
    return choice.choose(setting.pretrained, fits, wanted, published.of(hyperparameters.num_layers))


def _require_same(facts: Facts, hyperparameters: Hyperparameters) -> None:
    """Raise UserError for a model of another network, other images or other classes."""
    channels, height, width = hyperparameters.shape
    own = replace(facts.architecture, depth=hyperparameters.num_layers, channels=channels)
    asked = Facts(own, height, width, hyperparameters.num_classes, bool(hyperparameters.multi_label))
    pairs = [
        ("num_layers", facts.architecture.depth, hyperparameters.num_layers),
        ("image_shape", facts.shape, asked.shape),
        ("num_classes", facts.classes, asked.classes),
        ("multi_label", int(facts.multi_label), int(asked.multi_label)),
    ]
    wrong = [f"{name} is {theirs} there and {mine} here" for name, theirs, mine in pairs if theirs != mine]
    if wrong:
        raise UserError(
            f"the model in channel 'model' cannot be gone on with: {'; '.join(wrong)}. Set the job's "
            "hyperparameters to the model's, or leave the channel out"
        )


def _warn_of_depth(hyperparameters: Hyperparameters) -> None:
    height = hyperparameters.shape[1]
    if (hyperparameters.num_layers in SMALL) != (height <= HEIGHT):
        meant = "at most" if hyperparameters.num_layers in SMALL else "more than"
        log.warning(
            "num_layers is %d, which is meant for images of %s %d pixels in height; image_shape is %s",
            hyperparameters.num_layers, meant, HEIGHT, hyperparameters.image_shape,
        )  # fmt: skip

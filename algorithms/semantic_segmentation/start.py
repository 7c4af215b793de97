"""What training begins with: a network, and its first weights."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.network import seeded
from optml.algorithms.semantic_segmentation.facts import BINS, Facts
from optml.algorithms.semantic_segmentation.hyperparameters import Hyperparameters
from optml.algorithms.semantic_segmentation.model import read
from optml.algorithms.semantic_segmentation.networks import HEADS, Segmenter, first_weights
from optml.algorithms.vision.architecture import Architecture
from optml.algorithms.vision.weights import choice, published
from optml.algorithms.vision.weights.files import Weights
from optml.algorithms.vision.whole import shapes, tensors
from optml.errors import UserError

log = logging.getLogger(__name__)

STEMS = ("deep", "7x7")  # GluonCV's and AWS's, torchvision's; in the order in which weights are taken


@dataclass(frozen=True, slots=True)
class Start:
    """network: in float32 on the CPU.   facts: what it is of."""

    network: Segmenter
    facts: Facts


def begin(setting: Setting) -> Start:
    """From the channel `model`, else the encoder from pretrained weights where some fit, else at random.

    setting.train: of its masks come the palette and the label map. Raises UserError where a model is of
    another job, or no weights fit a job that asked for some."""
    hyperparameters: Hyperparameters = setting.hyperparameters
    architecture = Architecture(hyperparameters.depth, "post", "deep")
    arrays: Mapping[str, np.ndarray] = {}
    bins: tuple[int, ...] = BINS
    weights: Weights | None = None
    if setting.warm_start is not None:
        log.info("Loading the model of channel 'model', from which training goes on.")
        known, arrays = read(setting.warm_start)
        _require_same(known, hyperparameters)
        architecture, bins = known.architecture, known.bins
    elif hyperparameters.use_pretrained_model:
        weights = _pretrained(setting)
        architecture = (weights and weights.architecture) or architecture
    train = setting.train
    facts = Facts(
        architecture,
        hyperparameters.algorithm,
        hyperparameters.num_classes,
        hyperparameters.crop_size,
        hyperparameters.base_size,
        hyperparameters.aux_loss,
        bins,
        train.label_map.document,
        train.palette(),
        train.names,
    )
    with seeded(setting.seed):
        network = Segmenter(facts, auxiliary=facts.auxiliary)
        first_weights(network)
    if weights is not None:
        arrays = choice.fitted(weights, shapes(network), HEADS)
    own = shapes(network)
    network.load_state_dict(tensors({n: a for n, a in arrays.items() if n in own}), strict=False)
    return Start(network, facts)


def _pretrained(setting: Setting) -> Weights | None:
    hyperparameters: Hyperparameters = setting.hyperparameters

    def fits(weights: Weights) -> bool:
        network = weights.architecture
        return (
            network is not None
            and (network.depth, network.layout, network.channels) == (hyperparameters.depth, "post", 3)
            and network.stem in STEMS
        )

    def rank(weights: Weights) -> int:
        return STEMS.index(weights.architecture.stem) if weights.architecture else len(STEMS)

    wanted = f"ResNet-{hyperparameters.depth}, layout post, for 3 channels (use_pretrained_model is True)"
    try:
        return choice.choose(setting.pretrained, fits, wanted, published.of(hyperparameters.depth), rank)
    except choice.MissingError as error:
        if "use_pretrained_model" in hyperparameters.model_fields_set:
            raise
        log.warning("%s. use_pretrained_model was not given: the encoder begins at random", error)
        return None


def _require_same(facts: Facts, hyperparameters: Hyperparameters) -> None:
    """Raise UserError for a model of another network, other sizes or other classes."""
    pairs: list[tuple[str, Any, Any]] = [
        ("backbone", f"resnet-{facts.architecture.depth}", f"resnet-{hyperparameters.depth}"),
        ("algorithm", facts.decoder, hyperparameters.algorithm),
        ("num_classes", facts.classes, hyperparameters.num_classes),
        ("crop_size", facts.crop, hyperparameters.crop_size),
    ]
    wrong = [f"{name} is {theirs} there and {mine} here" for name, theirs, mine in pairs if theirs != mine]
    if wrong:
        raise UserError(
            f"the model in channel 'model' cannot be gone on with: {'; '.join(wrong)}. Set the job's "
            "hyperparameters to the model's, or leave the channel out"
        )

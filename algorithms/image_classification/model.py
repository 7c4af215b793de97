"""A network that tells what is on a picture: artifacts of ours and of AWS's image, answers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from optml.algorithms import artifact
from optml.algorithms.image_classification import aws
from optml.algorithms.image_classification.facts import SLUG, Facts
from optml.algorithms.image_classification.requests import Pictures
from optml.algorithms.vision.architecture import SMALL
from optml.algorithms.vision.folded import folded
from optml.algorithms.vision.precision import half
from optml.algorithms.vision.resnet import ResNet
from optml.algorithms.vision.tensors import Tensors
from optml.algorithms.vision.whole import shapes, tensors, whole
from optml.errors import UserError
from optml.formats.records import Columns

APART = 2e-2  # that probabilities in half precision may be from those in float32
CHECKED = 2  # pictures of noise on which that is tried
CHECKPOINTS = "checkpoints"


class Model:
    """arrays: of a `ResNet` by name, float32.   hyperparameters: of the job, as JSON.
    checkpoints: files that belong to the artifact, by name."""

    width: int | None = None  # not a table's

    def __init__(
        self,
        facts: Facts,
        arrays: Mapping[str, np.ndarray],
        hyperparameters: Mapping[str, Any] | None = None,
        device: str = "cpu",
        checkpoints: Mapping[str, Path] | None = None,
    ) -> None:
        self.facts = facts
        self.arrays = dict(arrays)
        self.hyperparameters = dict(hyperparameters or {})
        self.device = device
        self.checkpoints = dict(checkpoints or {})

    def predict(self, batch: Pictures, options: Mapping[str, str]) -> Columns:
        """Probabilities (n, classes) float32, which sum up to 1 with one label a picture; with `verbose=true`
        also the names of the classes and that of the most probable one."""
        probabilities = self.probabilities(batch.pixels)
        if options.get("verbose") != "true":
            return {"prediction": probabilities}
        names = [self.facts.label(number) for number in range(self.facts.classes)]
        labels = np.empty(len(batch), object)
        labels[:] = [names] * len(batch)
        best = np.array([names[number] for number in probabilities.argmax(axis=1)], object)
        return {"probabilities": probabilities, "labels": labels, "predicted_label": best}

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """(n, classes) float32 of (n, height, width, channels) float32, 0..255."""
        return self._answer(self._network, pixels)

    def _answer(self, network: ResNet, pixels: np.ndarray) -> np.ndarray:
        images = self._tensors.images(pixels)
        with torch.inference_mode():
            images = images.to(network.get_parameter(_first(network)).dtype)
            scores = network(images.contiguous(memory_format=torch.channels_last)).float()
            answer = scores.sigmoid() if self.facts.multi_label else scores.softmax(1)
        array: np.ndarray = answer.cpu().numpy()
        return array

    @cached_property
    def _tensors(self) -> Tensors:
        return Tensors(self.facts.architecture.scaling, self.facts.architecture.channels, self.device)

    @cached_property
    def _network(self) -> ResNet:
        """In half precision where the machine has it, where it pays, and where it answers as float32 does."""
        network = self.module().to(self.device)
        exact = folded(network)
        dtype = None if self.facts.architecture.depth in SMALL else half(self.device)
        if dtype is None:
            return exact
        faster = folded(network, dtype)
        shape = (CHECKED, self.facts.height, self.facts.width, self.facts.architecture.channels)
        noise = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
        apart = np.abs(self._answer(faster, noise) - self._answer(exact, noise)).max()
        return faster if apart <= APART else exact

    def module(self) -> ResNet:
        """The network, as it was trained."""
        network = ResNet(self.facts.architecture, self.facts.classes)
        network.load_state_dict(tensors(self.arrays))
        return network.eval()

    def save(self, folder: Path) -> None:
        """Write model.safetensors, model.json, and the checkpoints of single epochs."""
        artifact.write(folder, SLUG, self.arrays, self.hyperparameters, self.facts.document())
        for name, path in self.checkpoints.items():
            (folder / CHECKPOINTS).mkdir(exist_ok=True)
            shutil.copyfile(path, folder / CHECKPOINTS / name)


def load(folder: Path, device: str) -> Model:
    """Load an artifact of ours, or else one of AWS's. Raises UserError that says what is wrong with it."""
    hyperparameters = artifact.read(folder, SLUG).hyperparameters if artifact.exists(folder) else {}
    return Model(*read(folder), hyperparameters, device)


def read(folder: Path) -> tuple[Facts, dict[str, np.ndarray]]:
    """What a model is of and its arrays, checked to be all of its network. Raises UserError."""
    if not artifact.exists(folder):
        facts, arrays = aws.read(folder)
    else:
        ours = artifact.read(folder, SLUG)
        try:
            facts = Facts.of(ours.facts)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{folder / artifact.DESCRIPTION} does not describe a network: {type(error).__name__}: "
                f"{error}"
            ) from None
        arrays = ours.arrays
    with torch.device("meta"):
        expected = shapes(ResNet(facts.architecture, facts.classes))
    return facts, whole(arrays, expected, folder, f"{facts.architecture} of {facts.classes} classes")


def recognises(folder: Path) -> bool:
    """Is this what AWS's image of this algorithm writes?"""
    return aws.recognises(folder)


def _first(network: ResNet) -> str:
    return "conv1.0.weight" if network.architecture.stem == "deep" else "conv1.weight"

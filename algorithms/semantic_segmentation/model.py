"""A network that tells the class of each pixel: artifacts of ours and of AWS's image, answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from optml.algorithms import artifact
from optml.algorithms.semantic_segmentation import aws
from optml.algorithms.semantic_segmentation.facts import SLUG, Facts
from optml.algorithms.semantic_segmentation.networks import Segmenter
from optml.algorithms.semantic_segmentation.requests import Pictures
from optml.algorithms.semantic_segmentation.scored import Scored, Tile
from optml.algorithms.semantic_segmentation.sides import scaled, tiles
from optml.algorithms.vision.folded import folded
from optml.algorithms.vision.precision import half
from optml.algorithms.vision.tensors import Tensors
from optml.algorithms.vision.whole import shapes, tensors, whole
from optml.deadline import check
from optml.errors import UserError
from optml.formats.records import Columns

APART = 2e-2  # that probabilities in half precision may be from those in float32
LAST = "model_last.safetensors"


class Model:
    """arrays: of a `Segmenter` by name, float32.   hyperparameters: of the job, as JSON.   last: the file of
    the last epoch's arrays, which belongs to the artifact; None: there is none."""

    width: int | None = None  # not a table's

    def __init__(
        self,
        facts: Facts,
        arrays: Mapping[str, np.ndarray],
        hyperparameters: Mapping[str, Any] | None = None,
        device: str = "cpu",
        last: Path | None = None,
    ) -> None:
        self.facts = facts
        self.arrays = dict(arrays)
        self.hyperparameters = dict(hyperparameters or {})
        self.device = device
        self.last = last

    def predict(self, batch: Pictures, options: Mapping[str, str]) -> Columns:
        """`scores`: (n,) objects, each a `Scored`."""
        scores = np.empty(len(batch), object)
        for place, (pixels, size) in enumerate(zip(batch.pixels, batch.sizes, strict=True)):
            scores[place] = self.scored(pixels, size)
        return {"scores": scores}

    def scored(self, pixels: np.ndarray, size: tuple[int, int]) -> Scored:
        """Of one picture, (h, w, 3) uint8, about which the answer has `size` (height, width)."""
        height, width, _ = pixels.shape
        parts = []
        for rows, columns in tiles(height, width):
            check()
            seen = pixels[slice(*rows.whole), slice(*columns.whole)]
            logits = self._logits(self._network, seen)
            parts.append(Tile(logits, scaled(rows, height, size[0]), scaled(columns, width, size[1])))
        return Scored(*size, parts, self.facts.palette)

    def _logits(self, network: Segmenter, pixels: np.ndarray) -> np.ndarray:
        """(K, ceil(h / 8), ceil(w / 8)) float32."""
        images = self._tensors.images(pixels[None].astype(np.float32))
        with torch.inference_mode():
            images = images.to(next(network.conv1.parameters()).dtype)
            logits, _ = network(images.contiguous(memory_format=torch.channels_last))
        array: np.ndarray = logits[0].float().cpu().numpy()
        return array

    @cached_property
    def _tensors(self) -> Tensors:
        return Tensors(self.facts.architecture.scaling, 3, self.device)

    @cached_property
    def _network(self) -> Segmenter:
        """In half precision where the machine has it and where it answers as float32 does, on noise."""
        network = self.module().to(self.device)
        exact = folded(network)
        dtype = half(self.device)
        if dtype is None:
            return exact
        faster = folded(network, dtype)
        noise = np.random.default_rng(0).integers(0, 256, (self.facts.crop, self.facts.crop, 3), np.uint8)
        one, other = (_softmax(self._logits(each, noise)) for each in (faster, exact))
        return faster if np.abs(one - other).max() <= APART else exact

    def module(self) -> Segmenter:
        """The network, as it was trained, without the second head."""
        network = Segmenter(self.facts, auxiliary=False)
        own = shapes(network)
        network.load_state_dict(tensors({name: self.arrays[name] for name in own}))
        return network.eval()

    def save(self, folder: Path) -> None:
        """Write model.safetensors, model.json, hyperparams.json, and the last epoch's arrays."""
        artifact.write(folder, SLUG, self.arrays, self.hyperparameters, self.facts.document())
        (folder / aws.SETTINGS).write_text(json.dumps(self.hyperparameters, indent=1) + "\n")
        if self.last is not None:
            shutil.copyfile(self.last, folder / LAST)


def load(folder: Path, device: str) -> Model:
    """Load an artifact of ours, or else one of AWS's. Raises UserError that says what is wrong with it."""
    hyperparameters = artifact.read(folder, SLUG).hyperparameters if artifact.exists(folder) else {}
    return Model(*read(folder), hyperparameters, device)


def read(folder: Path) -> tuple[Facts, dict[str, np.ndarray]]:
    """What a model is of and its arrays, checked to be all of its network and nothing else. Raises
    UserError."""
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
        expected = shapes(Segmenter(facts, auxiliary=facts.auxiliary))
    held = whole(arrays, expected, folder, str(facts))
    foreign = sorted(set(arrays) - set(expected))
    if foreign:
        raise UserError(
            f"{folder} holds more than {facts}: {len(foreign)} arrays that it has no place for, "
            f"{foreign[0]} first"
        )
    return facts, held


def recognises(folder: Path) -> bool:
    """Is this what AWS's image of this algorithm writes?"""
    return aws.recognises(folder)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=0))
    array: np.ndarray = powers / powers.sum(axis=0)
    return array

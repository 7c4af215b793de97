"""A detector: artifacts of ours and of AWS's image, answers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from optml.algorithms import artifact
from optml.algorithms.kernels import boxes
from optml.algorithms.object_detection import aws
from optml.algorithms.object_detection.facts import SLUG, Facts
from optml.algorithms.object_detection.folded import Answering
from optml.algorithms.object_detection.network import Detector, grids
from optml.algorithms.object_detection.requests import Pictures, objects
from optml.algorithms.vision.precision import half
from optml.algorithms.vision.tensors import Tensors
from optml.algorithms.vision.whole import shapes, tensors, whole
from optml.errors import UserError
from optml.formats.records import Columns

APART = 2e-2  # that probabilities and offsets in half precision may be from those in float32
CHECKED = 2  # pictures of noise on which that is tried
THRESHOLD, VARIABLE = 0.01, "OPTML_SCORE_THRESHOLD"  # the least score of an answer


class Model:
    """arrays: of a `Detector` by name, float32.   hyperparameters: of the job, as JSON."""

    width: int | None = None  # not a table's

    def __init__(
        self,
        facts: Facts,
        arrays: Mapping[str, np.ndarray],
        hyperparameters: Mapping[str, Any] | None = None,
        device: str = "cpu",
    ) -> None:
        self.facts = facts
        self.arrays = dict(arrays)
        self.hyperparameters = dict(hyperparameters or {})
        self.device = device
        self.threshold = parse_threshold(os.environ.get(VARIABLE, ""))

    def predict(self, batch: Pictures, options: Mapping[str, str]) -> Columns:
        """Of each picture its detections; with `annotation=1` as the objects of Ground Truth, in pixels."""
        found = self.detections(batch.pixels)
        if options.get("annotation") != "1":
            return {"prediction": _column(found)}
        sizes = batch.sizes.tolist()
        return {
            "image_size": _column([[{"width": w, "height": h, "depth": 3}] for h, w in sizes]),
            "annotations": _column([objects(rows, *size) for rows, size in zip(found, sizes, strict=True)]),
        }

    def detections(self, pixels: np.ndarray) -> list[np.ndarray]:
        """Of (n, side, side, 3) float32, 0..255, for each (k, 6) float32: class, score, xmin, ymin, xmax,
        ymax as fractions, best first."""
        facts = self.facts
        probabilities, offsets = self._answer(self._network, pixels)
        rows = boxes.detect(
            probabilities, offsets, self._anchors, facts.variances,
            threshold=self.threshold, nms_threshold=facts.nms_threshold, topk=facts.nms_topk,
            force=facts.force,
        )  # fmt: skip
        return [own[own[:, 0] >= 0] for own in rows.cpu().numpy()]

    def _answer(self, network: Answering, pixels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Probabilities (n, A, classes + 1) and offsets (n, A, 4)."""
        with torch.inference_mode():
            images = self._tensors.images(pixels).to(self.device, network.dtype)
            scores, offsets = network(images.contiguous(memory_format=torch.channels_last))
            return scores.softmax(2), offsets

    @cached_property
    def _anchors(self) -> torch.Tensor:
        own = self.facts.design.anchors.boxes(grids(self.facts.design, self.facts.side))
        return torch.from_numpy(own).to(self.device)

    @cached_property
    def _tensors(self) -> Tensors:
        return Tensors(self.facts.design.scaling, 3, self.device)

    @cached_property
    def _network(self) -> Answering:
        """In half precision where the machine has it and where it answers as float32 does."""
        network = self.module().to(self.device)
        exact = Answering(network)
        dtype = half(self.device)
        if dtype is None:
            return exact
        faster = Answering(network, dtype)
        shape = (CHECKED, self.facts.side, self.facts.side, 3)
        noise = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
        pairs = zip(self._answer(faster, noise), self._answer(exact, noise), strict=True)
        apart = max(float((one - other).abs().max()) for one, other in pairs)
        return faster if apart <= APART else exact

    def module(self) -> Detector:
        """The network, as it was trained."""
        network = Detector(self.facts.design)
        network.load_state_dict(tensors(self.arrays))
        return network.eval()

    def save(self, folder: Path) -> None:
        """Write model.safetensors and model.json."""
        artifact.write(folder, SLUG, self.arrays, self.hyperparameters, self.facts.document())


def parse_threshold(text: str) -> float:
    """The text of OPTML_SCORE_THRESHOLD; an empty one is the default. Raises UserError."""
    if not text.strip():
        return THRESHOLD
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UserError(f"{VARIABLE} is '{text}'; expected the least score of an answer, from 0 to 1")
    return value


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
                f"{folder / artifact.DESCRIPTION} does not describe a detector: {type(error).__name__}: "
                f"{error}"
            ) from None
        arrays = ours.arrays
    with torch.device("meta"):
        expected = shapes(Detector(facts.design))
    return facts, whole(arrays, expected, folder, str(facts.design))


def _column(values: list[Any]) -> np.ndarray:
    column = np.empty(len(values), object)
    for place, value in enumerate(values):
        column[place] = value
    return column

"""A trained model: the translation of requests, and its artifact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from optml.algorithms import artifact
from optml.algorithms.network import seeded
from optml.algorithms.seq2seq.hyperparameters import Hyperparameters
from optml.algorithms.seq2seq.lengths import Lengths
from optml.algorithms.seq2seq.network import Translator
from optml.algorithms.seq2seq.records import FILES, Vocabularies
from optml.algorithms.seq2seq.search import Translation, translate
from optml.algorithms.sequences.ragged import Sequences, bounds_of
from optml.errors import UserError
from optml.formats.records import Columns

SLUG = "seq2seq"
FORMAT = 1  # version of the artifact
OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Request:
    """n sources, of which some may be empty.   matrix: (n,) bool, whose attention is asked for."""

    sources: Sequences
    matrix: np.ndarray

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, some: slice) -> Request:
        return Request(self.sources[some], self.matrix[some])


class Model:
    """vocabularies: of both sides, with their files.   arrays: the network's parameters by name."""

    width = None

    def __init__(
        self,
        settings: Hyperparameters,
        vocabularies: Vocabularies,
        lengths: Lengths,
        arrays: Mapping[str, np.ndarray],
        device: str = "cpu",
    ) -> None:
        self.hyperparameters = settings
        self.vocabularies = vocabularies
        self.lengths = lengths
        self.words = vocabularies.words(1)
        self._arrays = dict(arrays)
        self._device = device
        with seeded(0):
            self.module = Translator(settings, vocabularies.sizes)
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        self.module.load_state_dict(tensors)
        self.module.to(device).requires_grad_(requires_grad=False)

    def predict(self, batch: Request, options: Mapping[str, str]) -> Columns:
        """(n,) arrays of objects: `target` texts, `ids` (t,) int32, `matrix` (t, s) attention or None."""
        with torch.inference_mode():
            found = self.translations(batch)
        columns = {name: np.empty(len(batch), object) for name in ("target", "ids", "matrix")}
        for row, one in enumerate(found):
            columns["target"][row] = " ".join(self.words[number] for number in one.ids)
            columns["ids"][row] = one.ids.astype(np.int32)
            if batch.matrix[row]:
                nothing = np.zeros((0, int(batch.sources.lengths[row])), np.float32)
                columns["matrix"][row] = nothing if one.weights is None else one.weights
        return columns

    def translations(self, batch: Request) -> list[Translation]:
        """Of each source; long ones are translated in chunks, one behind the other."""
        lengths, most = batch.sources.lengths, self.lengths.source
        chunks = -(-lengths // most)
        row = np.repeat(np.arange(len(lengths)), chunks)
        first = most * (np.arange(len(row)) - np.repeat(bounds_of(chunks)[:-1], chunks))
        sizes = np.minimum(lengths[row] - first, most)
        sources = Sequences(batch.sources.ids, bounds_of(sizes))  # chunks lie as the sources do
        with torch.inference_mode():
            parts = translate(
                self.module, sources, self.lengths.limits(sizes), self.hyperparameters.beam_size,
                self._device, attention=bool(batch.matrix.any()),
            )  # fmt: skip
        bounds = bounds_of(chunks)
        return [
            _joined(
                parts[bounds[number] : bounds[number + 1]], first[bounds[number] : bounds[number + 1]], length
            )
            for number, length in enumerate(lengths.tolist())
        ]

    def parameters(self) -> dict[str, np.ndarray]:
        """All arrays, by the names of the artifact."""
        return self._arrays

    def save(self, folder: Path) -> None:
        """Write model.safetensors, model.json and both vocabularies as they came."""
        facts: dict[str, Any] = {
            "format": FORMAT,
            "length_ratio_mean": self.lengths.mean,
            "length_ratio_std": self.lengths.std,
            "vocabulary_sizes": list(self.vocabularies.sizes),
        }
        chosen = self.hyperparameters.model_dump(mode="json", exclude_unset=True)
        artifact.write(folder, SLUG, self._arrays, chosen, facts)
        for name, content in self.vocabularies.files.items():
            (folder / name).write_bytes(content)


def _joined(parts: list[Translation], starts: np.ndarray, length: int) -> Translation:
    """The translations of the chunks of a source that begin at these places as one; where attention was asked
    for, over all of the source."""
    ids = np.concatenate([part.ids for part in parts]) if parts else np.empty(0, np.int64)
    score = float(np.mean([part.score for part in parts])) if parts else 0.0
    if not any(part.weights is not None for part in parts):
        return Translation(ids, None, score)
    weights = np.zeros((len(ids), length), np.float32)
    row = 0
    for part, start in zip(parts, starts.tolist(), strict=True):
        if part.weights is not None:
            width = min(part.weights.shape[1], length - start)
            weights[row : row + len(part.ids), start : start + width] = part.weights[:, :width]
        row += len(part.ids)
    return Translation(ids, weights, score)


def load(folder: Path, device: str) -> Model:
    """Load an artifact of ours. Raises UserError that says what is wrong with it."""
    if not artifact.exists(folder):
        raise UserError(
            f"{folder} holds no model of optml: expected model.json with model.safetensors; found "
            f"{artifact.listing(folder)}. What AWS's image writes is not documented: train anew here"
        )
    contents = artifact.read(folder, SLUG, (OUTPUT,))
    files = {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}
    vocabularies = Vocabularies.of(files, str(folder))
    try:
        settings = Hyperparameters.model_validate(contents.hyperparameters)
        mean, std = (float(contents.facts[f"length_ratio_{name}"]) for name in ("mean", "std"))
    except ValidationError as error:
        raise UserError(f"{folder / artifact.DESCRIPTION}: {error.errors()[0]['msg']}") from None
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{folder / artifact.DESCRIPTION} lacks the numbers length_ratio_mean and length_ratio_std"
        ) from None
    with torch.device("meta"):
        expected = {
            name: tuple(tensor.shape)
            for name, tensor in Translator(settings, vocabularies.sizes).state_dict().items()
        }
    for name, shape in expected.items():
        was = tuple(contents.arrays[name].shape) if name in contents.arrays else "missing"
        if was != shape or contents.arrays[name].dtype != np.float32:
            raise UserError(
                f"{folder / artifact.ARRAYS}: {name} is {was}; expected float32 of shape {shape}, as "
                f"{artifact.DESCRIPTION} and the vocabularies have it"
            )
    arrays = {name: contents.arrays[name] for name in expected}
    return Model(settings, vocabularies, Lengths.told(mean, std, settings), arrays, device)

"""A trained model: the scores of pairs, the embeddings of single inputs, and its artifact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from optml.algorithms import artifact
from optml.algorithms.network import seeded
from optml.algorithms.object2vec.hyperparameters import Hyperparameters
from optml.algorithms.object2vec.network import Pairing, encode
from optml.algorithms.object2vec.tokens import look_up
from optml.algorithms.sequences.ragged import Sequences
from optml.errors import UserError
from optml.formats.records import Columns

SLUG = "object2vec"
EMBEDDING = "enc{}.embedding.weight"
FORMAT = 1  # version of the artifact
TOGETHER = 1024  # records that are computed at a time,
TOKENS = 1 << 15  # of no more tokens than these, but for a single record


@dataclass(frozen=True, slots=True)
class Request:
    """n records, of both inputs or of one, cut to what is looked at.

    sides: in0 and in1; None: it is not there.
    """

    sides: tuple[Sequences | None, Sequences | None]

    def __len__(self) -> int:
        return next(len(side) for side in self.sides if side is not None)

    def __getitem__(self, some: slice) -> Request:
        first, second = (None if side is None else side[some] for side in self.sides)
        return Request((first, second))


class Model:
    """tables: one of embeddings (v, d) float32 that both encoders share, or two.   arrays: the network's
    parameters by name."""

    width = None

    def __init__(
        self,
        settings: Hyperparameters,
        tables: Sequence[np.ndarray],
        arrays: Mapping[str, np.ndarray],
        device: str = "cpu",
    ) -> None:
        self.hyperparameters = settings
        self.tables = list(tables)
        self._arrays = dict(arrays)
        self._device = device
        with seeded(0):
            self.module = Pairing(settings)
        self.module.load_state_dict(
            {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        )
        self.module.to(device).requires_grad_(requires_grad=False)

    def predict(self, batch: Request, options: Mapping[str, str]) -> Columns:
        """`scores` (n, classes) probabilities or (n, 1) numbers, of both inputs; `embeddings` (n, width) of
        one. float32."""
        with torch.inference_mode():
            return self._predict(batch)

    def _predict(self, batch: Request) -> Columns:
        there = [side for side, sequences in enumerate(batch.sides) if sequences is not None]
        sides = [sequences for sequences in batch.sides if sequences is not None]
        columns = []
        for rows in _runs(sides):
            some = [sequences[rows] for sequences in sides]
            encoded = [self._encode(side, sequences) for side, sequences in zip(there, some, strict=True)]
            if len(encoded) == 1:
                columns.append(encoded[0])
                continue
            outputs = self.module(*encoded)
            columns.append(outputs.softmax(1) if self.hyperparameters.classifier else outputs)
        name = "embeddings" if len(there) == 1 else "scores"
        return {name: torch.cat(columns).cpu().numpy() if columns else np.empty((0, 1), np.float32)}

    def embeddings(self, side: int, sequences: Sequences) -> np.ndarray:
        """(n, width) of inputs in0 (side 0) or in1."""
        sides = (sequences, None) if side == 0 else (None, sequences)
        vectors: np.ndarray = self.predict(Request(sides), {})["embeddings"]
        return vectors

    def _encode(self, side: int, sequences: Sequences) -> torch.Tensor:
        touched, (tokens,) = look_up([sequences], self._device)
        table = self.tables[min(side, len(self.tables) - 1)]
        return encode(self.module.encoders[side], torch.from_numpy(table[touched]).to(self._device), tokens)

    def parameters(self) -> dict[str, np.ndarray]:
        """All arrays, by the names of the artifact."""
        tables = {EMBEDDING.format(side): table for side, table in enumerate(self.tables)}
        return {**tables, **self._arrays}

    def save(self, folder: Path) -> None:
        """Write model.safetensors and model.json."""
        settings = self.hyperparameters
        encoders = {
            f"enc{side}": {name: getattr(encoder, name) for name in encoder.__dataclass_fields__}
            for side, encoder in enumerate(settings.encoders)
        }
        facts: dict[str, Any] = {"format": FORMAT, **encoders}
        chosen = settings.model_dump(mode="json", exclude_unset=True)
        artifact.write(folder, SLUG, self.parameters(), chosen, facts)


def load(folder: Path, device: str) -> Model:
    """Load an artifact of ours. Raises UserError that says what is wrong with it."""
    if not artifact.exists(folder):
        raise UserError(
            f"{folder} holds no model of optml: expected model.json with model.safetensors; found "
            f"{artifact.listing(folder)}. What AWS's image writes is not documented: train anew here"
        )
    contents = artifact.read(folder, SLUG, (EMBEDDING.format(0),))
    try:
        settings = Hyperparameters.model_validate(contents.hyperparameters)
    except ValidationError as error:
        raise UserError(f"{folder / artifact.DESCRIPTION}: {error.errors()[0]['msg']}") from None
    names = [EMBEDDING.format(side) for side in range(1 if settings.tied_token_embedding_weight else 2)]
    with seeded(0):
        expected = {name: tuple(tensor.shape) for name, tensor in Pairing(settings).state_dict().items()}
    for name, encoder in zip(names, settings.encoders, strict=False):
        expected[name] = (encoder.vocab_size, encoder.token_embedding_dim)
    for name, shape in expected.items():
        was = tuple(contents.arrays[name].shape) if name in contents.arrays else "missing"
        if was != shape or contents.arrays[name].dtype != np.float32:
            raise UserError(
                f"{folder / artifact.ARRAYS}: {name} is {was}; expected float32 of shape {shape}, as "
                f"{artifact.DESCRIPTION} has it"
            )
    arrays = {name: contents.arrays[name] for name in expected if name not in names}
    return Model(settings, [contents.arrays[name] for name in names], arrays, device)


def _runs(sides: Sequence[Sequences]) -> Iterator[slice]:
    """Stretches of records that are computed together."""
    count = len(sides[0])
    tokens = np.sum([side.lengths for side in sides], axis=0)
    ends = np.cumsum(tokens)
    start = 0
    while start < count:
        before = ends[start - 1] if start else 0
        stop = int(np.searchsorted(ends, before + TOKENS, side="right"))
        stop = min(max(stop, start + 1), start + TOGETHER, count)
        yield slice(start, stop)
        start = stop

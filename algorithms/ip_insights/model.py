"""A trained model: scores of pairs, and artifacts of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import artifact
from optml.algorithms.ip_insights.pairs import HASH, Pairs
from optml.algorithms.ip_insights.sketch import Sketch
from optml.algorithms.kernels.pairs.terms import BITS, LENGTHS, PREFIXES, WIDEST, bits
from optml.algorithms.kernels.pairs.view_cpu import prefix_rows_of
from optml.errors import UserError
from optml.formats.records import Columns

SLUG = "ipinsights"
ENTITIES, PREFIX_TABLE, BIT_MAP, SEEN = "entity_table", "encoder.prefixes", "encoder.bits", "seen"


@dataclass(frozen=True, slots=True)
class Model:
    """Scores as `algorithms.kernels.pairs` defines them, computed by NumPy on any device: an answer reads
    a few rows.

    arrays: by the names of the artifact: entity_table (num_entity_vectors, d), encoder.bits (32, d), of each
            layer encoder.<i>.weight (d, d) and .bias (d,), and encoder.prefixes (PREFIXES, d) unless it goes
            by the bits alone; float32.
    """

    arrays: Mapping[str, np.ndarray]
    seen: Sketch
    hyperparameters: Mapping[str, Any]
    facts: Mapping[str, Any]

    @property
    def width(self) -> None:
        """Pairs are no table of numbers."""
        return

    def predict(self, batch: Pairs, options: Mapping[str, str]) -> Columns:
        """`dot_product` (n,); with verbose=true both vectors, with seen=true whether the entity occurred in
        training."""
        entities = self.arrays[ENTITIES][batch.rows(len(self.arrays[ENTITIES]))]
        vectors = self.encode(batch.addresses)
        columns: dict[str, np.ndarray] = {"dot_product": np.einsum("ij,ij->i", entities, vectors)}
        if options.get("verbose") == "true":
            columns |= {"ip_embedding": vectors, "entity_embedding": entities}
        if options.get("seen") == "true":
            columns["entity_seen"] = self.seen.seen(batch.hashes)
        return columns

    def encode(self, addresses: np.ndarray) -> np.ndarray:
        """The vectors (n, d) of addresses (n,) uint32."""
        vectors: np.ndarray = bits(addresses) @ self.arrays[BIT_MAP]
        if PREFIX_TABLE in self.arrays:
            rows = prefix_rows_of(addresses)
            for place in range(rows.shape[1]):
                vectors += self.arrays[PREFIX_TABLE][rows[:, place]]
        layers = self._layers()
        for layer in range(layers):
            vectors = vectors @ self.arrays[f"encoder.{layer}.weight"] + self.arrays[f"encoder.{layer}.bias"]
            if layer < layers - 1:
                vectors = np.maximum(vectors, 0)
        return vectors

    def save(self, folder: Path) -> None:
        """Write model.safetensors and model.json."""
        facts = {
            "hash": HASH,
            "encoder": {
                "layers": self._layers(),
                "prefix_lengths": list(LENGTHS) if PREFIX_TABLE in self.arrays else [],
                "hashed_to_bits": WIDEST,
            },
            **self.facts,
        }
        artifact.write(folder, SLUG, {**self.arrays, SEEN: self.seen.bits}, self.hyperparameters, facts)

    def _layers(self) -> int:
        return sum(name.endswith(".weight") for name in self.arrays)


def load(folder: Path, device: str) -> Model:
    """Load an artifact. Raises UserError that says what is wrong with it."""
    saved = artifact.read(folder, SLUG, (ENTITIES, BIT_MAP, SEEN))
    path = folder / artifact.ARRAYS
    arrays = dict(saved.arrays)
    seen = arrays.pop(SEEN)
    table = arrays[ENTITIES]
    if table.ndim != 2 or not table.size:
        raise UserError(f"{path}: {ENTITIES} must be a matrix of vectors, found shape {table.shape}")
    if seen.ndim != 1 or seen.dtype != np.uint8 or not len(seen):
        raise UserError(f"{path}: {SEEN} must be bytes, found shape {seen.shape} of {seen.dtype}")
    width = table.shape[1]
    shapes = {ENTITIES: table.shape, BIT_MAP: (BITS, width), PREFIX_TABLE: (PREFIXES, width)}
    layers = sum(name.endswith(".weight") for name in arrays)
    for layer in range(layers):
        shapes |= {f"encoder.{layer}.weight": (width, width), f"encoder.{layer}.bias": (width,)}
    for name, array in arrays.items():
        if array.shape != shapes.get(name) or array.dtype != np.float32:
            expected = shapes.get(name, "no such array")
            raise UserError(
                f"{path}: {name} has shape {array.shape} of {array.dtype}; expected {expected} of float32"
            )
    missing = sorted(set(shapes) - set(arrays) - {PREFIX_TABLE})
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}")
    hash_name = saved.facts.get("hash", HASH)
    if hash_name != HASH:
        raise UserError(
            f"{folder / artifact.DESCRIPTION}: entities are hashed by '{hash_name}', here by '{HASH}'"
        )
    facts = {name: value for name, value in saved.facts.items() if name not in ("hash", "encoder")}
    return Model(arrays, Sketch(seen), saved.hyperparameters, facts)

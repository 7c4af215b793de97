"""What is learned, as it begins, on the device that trains."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import fields

import numpy as np

from optml import memory
from optml.algorithms.device import Device, host
from optml.algorithms.ip_insights.hyperparameters import Hyperparameters
from optml.algorithms.ip_insights.sampling import Samples
from optml.algorithms.kernels.machine.simd import empty, stride
from optml.algorithms.kernels.pairs.terms import BITS, PREFIXES, Array, Groups, PairState, View

log = logging.getLogger(__name__)

SIGMA = 0.05  # of the tables' values
TOGETHER = 1 << 12  # rows drawn at a time
ENTITIES, ADDRESSES, LAYERS = range(3)  # what random numbers are drawn for
TABLES = ("entities", "prefixes", "dense")


class Parameters:
    """The two tables and the dense part of the encoder, with Adam's moments.

    Vectors are padded with zeros to whole cache lines; zeros stay zeros.
    """

    def __init__(self, hyperparameters: Hyperparameters, seed: int, device: str) -> None:
        self.width = hyperparameters.vector_dim
        self.hyperparameters = hyperparameters
        self.device = Device(device)
        entities = hyperparameters.num_entity_vectors
        tables = f"num_entity_vectors ({entities}) or vector_dim ({hyperparameters.vector_dim})"
        prefixes = ", give _ip_prefix_tables=false" if hyperparameters.ip_prefix_tables else ""
        memory.require(
            self.size(), "the parameters, Adam's moments and the model", f"lower {tables}{prefixes}", device
        )
        rows = PREFIXES if hyperparameters.ip_prefix_tables else 0
        self.state = PairState(
            self._table(hyperparameters.num_entity_vectors, (seed, ENTITIES)),
            self._table(rows, (seed, ADDRESSES)),
            self._dense(seed),
        )

    def size(self) -> int:
        """Bytes that values and moments take, and in the end the model, which is a copy of the values."""
        hyperparameters = self.hyperparameters
        rows = hyperparameters.num_entity_vectors + PREFIXES * hyperparameters.ip_prefix_tables + self._depth
        return 4 * 4 * rows * stride(self.width)

    def announce(self) -> None:
        """Say what memory the parameters take."""
        hyperparameters = self.hyperparameters
        rows = (
            f"{hyperparameters.num_entity_vectors} entities"
            + f" and {PREFIXES} prefixes" * hyperparameters.ip_prefix_tables
        )
        log.info(
            "Vectors of %s take %s (vector_dim = %d values, each with two moments and a copy in the model); "
            "there are %s",
            rows,
            memory.size(self.size()),
            self.width,
            memory.size(memory.available(self.device.name)),
        )

    def view(self, samples: Samples) -> View:
        """The batch turned around, on the device."""
        from optml.algorithms.kernels.pairs.view_cpu import view

        teaching = samples.teaching if self.hyperparameters.ip_prefix_tables else None
        arrays = view(samples.rows, samples.addresses, samples.labels, teaching)
        return arrays if self.device.name == "cpu" else self._there(arrays)

    def values(self) -> dict[str, np.ndarray]:
        """What a model keeps: copies without moments and padding, by the names of an artifact."""
        state = self.state
        tables = {"entity_table": state.entities, "encoder.prefixes": state.prefixes}
        arrays = {
            name: host(table[:, 0, : self.width]).copy() for name, table in tables.items() if len(table)
        }
        dense, padded = host(state.dense[0]), stride(self.width)
        arrays["encoder.bits"] = dense[:BITS, : self.width].copy()
        for layer in range(state.layers):
            at = BITS + layer * (padded + 1)
            arrays[f"encoder.{layer}.weight"] = dense[at : at + self.width, : self.width].copy()
            arrays[f"encoder.{layer}.bias"] = dense[at + padded, : self.width].copy()
        return arrays

    def state_dict(self) -> dict[str, np.ndarray]:
        """The state as it is, not a copy of it where it lives in this memory: large tables have no room for
        one."""
        return {name: host(getattr(self.state, name)) for name in TABLES}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        for name in TABLES:
            mine = getattr(self.state, name)
            mine[...] = (
                state[name] if isinstance(mine, np.ndarray) else self.device.put(np.array(state[name]))
            )

    @property
    def _depth(self) -> int:
        """Rows of the dense part."""
        return BITS + self.hyperparameters.num_ip_encoder_layers * (stride(self.width) + 1)

    def _table(self, rows: int, seed: tuple[int, int]) -> Array:
        """(rows, 3, d): values of N(0, 0.05^2) and zeros. They depend on the seed alone."""
        from optml.algorithms.kernels.machine.threads import in_parts

        table = empty(3 * rows, self.width).reshape(rows, 3, stride(self.width))

        def fill(start: int, stop: int) -> None:
            for chunk in range(start, stop):
                part = table[chunk * TOGETHER : (chunk + 1) * TOGETHER, 0, : self.width]
                values = np.random.default_rng((*seed, chunk)).standard_normal(part.shape, np.float32)
                np.multiply(values, np.float32(SIGMA), out=part)

        in_parts(fill, -(-rows // TOGETHER), TOGETHER * self.width)
        return self.device.put(table)

    def _dense(self, seed: int) -> Array:
        """(3, 32 + layers (d + 1), d): a layer's values uniform within sqrt(6 / (inputs + outputs)) (X.
        Glorot, Y. Bengio, AISTATS 2010); the bits' so small that all 32 together are as a prefix's."""
        width = self.width
        dense = empty(3 * self._depth, width).reshape(3, self._depth, stride(width))
        generator = np.random.default_rng((seed, LAYERS))
        dense[0, :BITS, :width] = generator.standard_normal((BITS, width)) * SIGMA / np.sqrt(BITS)
        limit = np.sqrt(3 / width)
        for at in range(BITS, self._depth, stride(width) + 1):
            dense[0, at : at + width, :width] = generator.uniform(-limit, limit, (width, width))
        return self.device.put(dense)

    def _there(self, view: View) -> View:
        """The view on the device, by one copy."""
        parts = [getattr(view, field.name) for field in fields(View)]
        arrays = [a for part in parts for a in (_arrays(part) if isinstance(part, Groups) else (part,))]
        tensors = self.device.stage_all(arrays)
        plain, entities, prefixes = tensors[:6], Groups(*tensors[6:10]), Groups(*tensors[10:])
        return View(*plain, entities, prefixes)  # type: ignore[call-arg]  # mypy counts no stars


def _arrays(groups: Groups) -> tuple[np.ndarray, ...]:
    return groups.rows, groups.bounds, groups.places, groups.rates

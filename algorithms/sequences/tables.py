"""Tables of token embeddings: an update reads and moves the rows of the tokens that occur, no others.

A batch's tokens are told by their places among the distinct rows that it touches; what learns is a copy
(u, d) of these rows, as small as the batch, whose gradient is then theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from optml.algorithms.base import Setting
from optml.algorithms.device import Device, host
from optml.algorithms.kernels import rows
from optml.algorithms.kernels.rows.terms import ADAM, Rule, State, corrected

Tensor = torch.Tensor

TOGETHER = 1 << 16  # rows that are brought up to date at once


class Table:
    """values: (v, d) float32, the same on all hosts.   rule: None: a table that does not learn.

    After each update the state is the same on every host.
    """

    def __init__(self, values: np.ndarray, rule: Rule | None, setting: Setting) -> None:
        self.rule = rule
        self.updates = 0
        self._cluster = setting.cluster
        self._device = Device(setting.device)
        self._rates = np.empty(0)  # of Adam, one an update, and room for more
        held = State.of(np.ascontiguousarray(values, np.float32), 0 if rule is None else rule.kind)
        self._state = self._put(held)

    def __len__(self) -> int:
        return len(self._state.values)

    @property
    def width(self) -> int:
        return int(self._state.values.shape[1])

    def read(self, touched: np.ndarray) -> Tensor:
        """A copy (u, d) of rows, distinct int64 (u,), on the device; it asks for a gradient where the table
        learns."""
        places = self._device.put(np.ascontiguousarray(touched))
        if self.rule is None:
            return torch.as_tensor(self._state.values[places])
        copied = rows.read(self._state, self.rule, places, self.updates, self._rates[: self.updates])
        return torch.as_tensor(copied).requires_grad_()

    def step(self, touched: np.ndarray, gradient: Tensor | None, rate: float) -> None:
        """An update by the gradient (u, d) of rows that were read; None: of none on this host. On several
        hosts by the sum of all gradients, row by row; then it holds collectives."""
        if self.rule is None:
            return
        mine = np.zeros((len(touched), self.width), np.float32) if gradient is None else gradient
        if self._cluster.size > 1:
            touched, mine = self._summed(touched, host(mine))
        if self.rule.decay and not self.rule.lazy:  # every row moves
            dense = np.zeros((len(self), self.width), np.float32)
            dense[touched] = host(mine)
            touched, mine = np.arange(len(self)), dense
        self.updates += 1
        self._note(rate)
        if isinstance(mine, torch.Tensor):
            there: Any = mine.numpy() if self._device.name == "cpu" else mine
        else:
            there = self._device.put(mine)
        rows.step(
            self._state, self.rule, self._device.put(np.ascontiguousarray(touched)), there, self.updates, rate
        )

    def settle(self) -> None:
        """Bring all rows up to date. Where it is called belongs to the state: rounding differs."""
        if self.rule is not None and not self.rule.lazy:
            self._settle(self._state)

    def values(self) -> np.ndarray:
        """A copy of the table as it is now, (v, d) on the host; the state stays as it is."""
        if self.rule is None or self.rule.lazy:
            return np.array(host(self._state.values))
        arrays = self._state.arrays()
        state = State(**{name: array.copy() if isinstance(array, np.ndarray) else array.clone()
                         for name, array in arrays.items()})  # fmt: skip
        self._settle(state)
        return np.array(host(state.values))

    def state_dict(self) -> dict[str, np.ndarray]:
        state = {name: np.array(host(array)) for name, array in self._state.arrays().items()}
        return state | {"rates": self._rates[: self.updates].copy(), "updates": np.array(self.updates)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.updates = int(state["updates"])
        self._rates = np.array(state["rates"])
        names = ("values", "first", "second", "stepped")
        self._state = self._put(State(**{name: np.array(state[name]) for name in names}))

    def _put(self, state: State) -> State:
        return State(**{name: self._device.put(array) for name, array in state.arrays().items()})

    def _settle(self, state: State) -> None:
        assert self.rule is not None
        for start in range(0, len(self), TOGETHER):
            some = self._device.put(np.arange(start, min(start + TOGETHER, len(self))))
            rows.read(state, self.rule, some, self.updates, self._rates[: self.updates])

    def _summed(self, touched: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows that any host touches, and their gradients added up in the hosts' order."""
        every_row, every_gradient = self._cluster.gather(touched), self._cluster.gather(gradient)
        union = np.unique(np.concatenate(every_row)).astype(np.int64)
        summed = np.zeros((len(union), self.width), np.float32)
        for some, theirs in zip(every_row, every_gradient, strict=True):
            summed[np.searchsorted(union, some)] += theirs
        self.read(union)  # those of other hosts are brought up to date as well
        return union, summed

    def _note(self, rate: float) -> None:
        """Keep the rate of this update, by which rows will be brought up to date."""
        if self.rule is None or self.rule.kind != ADAM or self.rule.lazy:
            return
        if self.updates > len(self._rates):
            self._rates = np.append(self._rates, np.zeros(max(1024, len(self._rates))))
        self._rates[self.updates - 1] = corrected(rate, self.updates)

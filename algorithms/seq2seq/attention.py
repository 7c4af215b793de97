"""What a decoder sees of the source: a mean of the encoder's outputs, weighed anew at every step.

mlp       v . tanh(W_e e_s + W_q r)         Bahdanau, Cho, Bengio, 2014 (arXiv 1409.0473)
bilinear  r . (W_e e_s)                     Luong, Pham, Manning, 2015 (1508.04025)
dot       (W_q r) . (W_e e_s), without the products where widths agree
fixed     the output at the last token has all the weight
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn.functional import linear

from optml.algorithms.kernels import attention
from optml.algorithms.kernels.attention import Sums

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class Memory:
    """What the encoder says of n sources of up to s tokens.

    values: (n, s, w).   mask: (n, s): is there no token?   lengths: (n,) int64.
    keys:   (n, s, a), what queries are held against; None: the values.
    sums:   where the steps of a decoder add up the slopes of keys and values; None: nowhere.
    """

    values: Tensor
    mask: Tensor
    lengths: Tensor
    keys: Tensor | None = None
    sums: Sums | None = None

    def __len__(self) -> int:
        return len(self.values)

    def first(self, count: int) -> Memory:
        if count == len(self):
            return self
        keys = None if self.keys is None else self.keys[:count]
        return Memory(self.values[:count], self.mask[:count], self.lengths[:count], keys)

    def take(self, rows: Tensor) -> Memory:
        """Those of these numbers, (m,) int64."""
        keys = None if self.keys is None else self.keys.index_select(0, rows)
        values, mask, lengths = (
            part.index_select(0, rows) for part in (self.values, self.mask, self.lengths)
        )
        return Memory(values, mask, lengths, keys)

    @property
    def last(self) -> Tensor:
        """(n, w): the values of the last tokens."""
        return self.values[torch.arange(len(self), device=self.values.device), self.lengths - 1]

    @property
    def mean(self) -> Tensor:
        """(n, w): of the values of all tokens."""
        return self.values.sum(1) / self.lengths[:, None]


def mixture(scores: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
    """Context (n, w) and weights (n, s) of scores (n, s)."""
    weights = scores.masked_fill(memory.mask, -torch.inf).softmax(1)
    return torch.bmm(weights[:, None], memory.values)[:, 0], weights


def dot(queries: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
    """The same of queries (n, w) as wide as the values."""
    return mixture(torch.bmm(memory.values, queries[:, :, None])[:, :, 0], memory)


class Attention(torch.nn.Module):
    """kind: see above.   encoded, decoded: widths of values and queries.   hidden: of both inside."""

    def __init__(self, kind: str, encoded: int, decoded: int, hidden: int) -> None:
        super().__init__()
        self.kind = kind
        self.key: torch.nn.Parameter | None
        self.query: torch.nn.Parameter | None
        if kind == "mlp":
            self.key, self.query = _weight(hidden, encoded), _weight(hidden, decoded)
            self.score = _weight(1, hidden)
        elif kind == "bilinear":
            self.key = _weight(decoded, encoded)
        elif kind == "dot":
            self.key = _weight(hidden, encoded) if encoded != hidden else None
            self.query = _weight(hidden, decoded) if decoded != hidden else None

    def prepared(self, memory: Memory) -> Memory:
        """The memory with its keys: once a batch."""
        if self.kind == "fixed" or self.key is None:
            return memory
        sums = Sums() if torch.is_grad_enabled() else None
        return replace(memory, keys=linear(memory.values, self.key), sums=sums)

    def forward(self, query: Tensor, memory: Memory, *, first: bool = True) -> tuple[Tensor, Tensor]:
        """Context (m, w) and weights (m, s) of queries (m, decoded), of the first m of the sources.

        first: is it the first step of a decoder?
        """
        if self.kind == "mlp" and memory.keys is not None and attention.takes(memory.keys, memory.values):
            assert self.query is not None
            query, lengths = linear(query, self.query), memory.lengths
            parts = query, memory.keys, memory.values, self.score[0], lengths
            return attention.attend(*parts, memory.sums, first=first)
        memory = memory.first(len(query))
        if self.kind == "fixed":
            weights = torch.zeros_like(memory.mask, dtype=query.dtype)
            weights.scatter_(1, memory.lengths[:, None] - 1, 1.0)
            return memory.last, weights
        keys: Any = memory.values if memory.keys is None else memory.keys
        if self.kind != "bilinear" and self.query is not None:
            query = linear(query, self.query)
        if self.kind == "mlp":
            inner = torch.tanh(keys + query[:, None])
            return mixture(linear(inner, self.score)[:, :, 0], memory)
        return mixture(torch.bmm(keys, query[:, :, None])[:, :, 0], memory)


def _weight(rows: int, columns: int) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.empty(rows, columns))

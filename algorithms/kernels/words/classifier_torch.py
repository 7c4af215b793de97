"""Linear text classification on a GPU; what a step is, `classifier_cpu.py` tells.

Lines come some hundred at a time: features are gathered once as rows of an embedding bag, the steps of the
lines of a mini-batch are taken from the same values and added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from optml.algorithms.kernels.machine.draws import mix
from optml.algorithms.kernels.words import classifier_cpu
from optml.algorithms.kernels.words.tokens_cpu import LINE_END, word_ngrams

LINES = 256  # of text in a mini-batch


class Trainer:
    """A classifier while it learns; arguments as of `classifier_cpu.Trainer`."""

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        device: str,
        *,
        hashes: np.ndarray,
        slots: np.ndarray,
        words: int,
        end: int,
        longest: int,
        rate: float,
        total: float,
        seed: int,
    ) -> None:
        self._device = torch.device(device)
        self._x, self._y = (torch.from_numpy(np.ascontiguousarray(table)).to(device) for table in (x, y))
        self._hashes, self._slots = hashes, slots
        self._words, self._end, self._longest = words, end, longest
        self._rate, self._total, self._seed = rate, total, seed

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        return self._x.cpu().numpy(), self._y.cpu().numpy()

    def learn(self, segments: Sequence[tuple[np.ndarray, int]]) -> int:
        """See `classifier_cpu.Trainer.learn`."""
        tally = 0
        for tokens, position in segments:
            members, sizes, labels, starts = self._features(tokens)
            edges = np.concatenate([[0], np.cumsum(sizes)])
            for first in range(0, len(sizes), LINES):
                last = min(first + LINES, len(sizes))
                targets = [
                    choices[mix(np.uint64(self._seed) ^ mix(np.uint64(position + start))) % len(choices)]
                    for choices, start in zip(labels[first:last], starts[first:last], strict=True)
                ]
                rate = self._rate * max(1 - (position + starts[first]) / self._total, 0)
                self._step(members[edges[first] : edges[last]], sizes[first:last], targets, rate)
            tally += len(sizes)
        return tally

    def accuracy(self, pieces: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[int, int]:
        """Scored on the CPU, with the tables as they are now."""
        x, y = self.tables()
        rule: dict[str, Any] = {
            "hashes": self._hashes, "slots": self._slots, "words": self._words, "end": self._end,
            "longest": self._longest, "rate": self._rate, "total": self._total, "seed": self._seed,
        }  # fmt: skip
        return classifier_cpu.Trainer(x, y, **rule).accuracy(pieces)

    def _step(self, members: Any, sizes: np.ndarray, targets: list[int], rate: float) -> None:
        device = self._device
        size = torch.from_numpy(sizes).to(device)
        owner = torch.repeat_interleave(torch.arange(len(sizes), device=device), size)
        hidden = torch.zeros(len(sizes), self._x.shape[1], device=device)
        hidden.index_add_(0, owner, self._x[members])
        hidden /= size[:, None]
        step = -torch.softmax(hidden @ self._y.T, dim=1)
        step[torch.arange(len(sizes), device=device), torch.tensor(targets, device=device)] += 1
        step *= rate
        back = (step @ self._y) / size[:, None]
        self._y.addmm_(step.T, hidden)
        self._x.index_add_(0, members, back[owner])

    def _features(self, tokens: np.ndarray) -> tuple[Any, np.ndarray, list[list[int]], list[int]]:
        """Of each line that has a label and a feature: its rows (joined, on the device), how many, its labels
        and its first token."""
        rows, sizes, labels, starts = [], [], [], []
        start = 0
        for stop in (np.flatnonzero(tokens == LINE_END) + 1).tolist():
            line = tokens[start:stop]
            own_labels = (LINE_END - 1 - line[line < LINE_END]).tolist()
            numbers = np.where(line == LINE_END, self._end, line)[line >= LINE_END]
            parts = [numbers[numbers < self._words].astype(np.int64)]
            if self._longest > 1:
                out = np.empty(len(numbers) * self._longest, np.int32)
                word_hashes = np.ascontiguousarray(self._hashes[numbers])
                count = word_ngrams(word_hashes, 0, len(word_hashes), self._longest, len(self._slots), out, 0)
                parts.append(self._slots[out[:count]].astype(np.int64))
            features = np.concatenate(parts)
            if own_labels and len(features):
                rows.append(features)
                sizes.append(len(features))
                labels.append(own_labels)
                starts.append(start)
            start = stop
        whole = np.concatenate(rows) if rows else np.empty(0, np.int64)
        members = torch.from_numpy(whole).to(self._device)
        return members, np.array(sizes, np.int64), labels, starts

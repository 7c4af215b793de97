"""Word2vec on a GPU; what it computes is told in `word2vec.py`, the draws are those of `machine/draws.py`.

One program takes one sentence, lanes over the width, and goes through it target by target:

    batch_skipgram, skipgram    X the rows of the context, Y those of the target and of one set of negatives
    cbow                        X the mean of the rows of the context, whose gradient each of them takes

As Ji et al. 2016 (1604.04661) and FULL-W2V (Randall, Allen, Ge, ICS 2021), the negatives are shared by a
target's context: 6 rows of Y instead of 6 for each context word. Programs add their changes atomically, so
that no step is lost where many meet in a frequent row; their order is not fixed, so two runs differ in
rounding. Ids are prepared once; the corpus and both tables stay on the device.
"""

# mypy: ignore-errors
# ruff: noqa: N803

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from optml.algorithms.kernels.machine.alias import alias_table
from optml.algorithms.kernels.words.terms import BATCH_SKIPGRAM, CBOW, SENTENCE, WordPlan
from optml.errors import UserError

IN_FLIGHT = 2048  # sentences that are learnt from side by side, at most: more lose steps' order, not steps


class Trainer:
    """Word vectors while they are learnt; arguments as of `word2vec_cpu.Trainer`."""

    def __init__(self, x: np.ndarray, y: np.ndarray, plan: WordPlan, device: str) -> None:
        if len(plan.starts):
            raise UserError(
                "subwords are learnt on the CPU: take an instance without GPUs, or subwords=False"
            )
        self._plan = plan
        self._device = torch.device(device)
        self._x, self._y = (torch.from_numpy(np.ascontiguousarray(table)).to(device) for table in (x, y))
        alias = alias_table(plan.noise).astype(np.int64)
        self._alias = torch.from_numpy(alias).to(device)
        self._keep = torch.from_numpy(plan.keep).to(device)
        seed = np.array([plan.seed], np.uint64).view(np.int64)  # an argument of 1 would be a constant
        self._seed = torch.from_numpy(seed).to(device)
        self._resident: dict[int, Any] = {}  # segments' tokens and sentences, by their place in an epoch

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        return self._x.cpu().numpy(), self._y.cpu().numpy()

    def learn(self, segments: Sequence[tuple[np.ndarray, int]]) -> int:
        plan = self._plan
        tally = 0
        for tokens, position in segments:
            words, starts = self._on_device(tokens)
            count = len(starts) - 1
            for first in range(0, count, IN_FLIGHT):
                programs = min(IN_FLIGHT, count - first)
                sentences = torch.empty(programs * SENTENCE, dtype=torch.int32, device=self._device)
                _sentences[(programs,)](
                    words, starts[first:], sentences, self._x, self._y, self._keep, self._alias,
                    len(self._alias), position, plan.rate, plan.total, self._seed, plan.end,
                    plan.window, plan.negatives,
                    plan.batch if plan.mode == BATCH_SKIPGRAM else 2 * plan.window, self._x.shape[1],
                    CBOW=plan.mode == CBOW,
                    SENTENCE=SENTENCE,
                    OUTPUTS=max(2, triton.next_power_of_2(plan.negatives + 1)),
                    WIDTH=triton.next_power_of_2(self._x.shape[1]),
                    num_warps=4,
                )  # fmt: skip
            tally += len(tokens)
        return tally

    def _on_device(self, tokens: np.ndarray) -> tuple[Any, Any]:
        """A segment and where its sentences begin; copied when it is first met."""
        key = tokens.ctypes.data
        if key not in self._resident:
            ends = np.flatnonzero(tokens < 0) + 1
            edges = [0]
            for stop in [*ends.tolist(), len(tokens)]:
                edges += range(edges[-1] + SENTENCE, stop, SENTENCE)
                if stop > edges[-1]:
                    edges.append(stop)
            starts = torch.tensor(edges, dtype=torch.int32, device=self._device)
            self._resident[key] = (torch.from_numpy(tokens.copy()).to(self._device), starts)
        resident: tuple[Any, Any] = self._resident[key]
        return resident


@triton.jit
def _mix(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB
    return z ^ (z >> 31)


@triton.jit
def _sentences(
    tokens, starts, sentences, x, y, keep, alias, words, position, rate, total, seed, end, window, negatives,
    batch, stride,
    CBOW: tl.constexpr, SENTENCE: tl.constexpr, OUTPUTS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    start = tl.load(starts + program)
    stop = tl.load(starts + program + 1)
    lane = tl.arange(0, SENTENCE)
    there = lane < stop - start
    word = tl.load(tokens + start + lane, mask=there, other=-1)
    word = tl.where(there & (word < 0), end, word)
    counter = (lane + 1).to(tl.uint64)
    # a vector, so that the numbers wrap around the same everywhere
    place = (tl.zeros((OUTPUTS,), tl.int64) + position + start).to(tl.uint64)
    key = tl.max(_mix(_mix(place) ^ tl.load(seed).to(tl.uint64)), axis=0)
    draw = _mix(key + counter * 0x9E3779B97F4A7C15)
    bound = tl.load(keep + word, mask=there & (word >= 0), other=0)
    stays = there & (word >= 0) & ((draw >> 32).to(tl.int64) < bound)
    rank = tl.cumsum(stays.to(tl.int32), axis=0) - 1
    tl.store(sentences + program * SENTENCE + rank, word, mask=stays)
    length = tl.sum(stays.to(tl.int32), axis=0)
    tl.debug_barrier()
    slope = rate * tl.maximum(1.0 - (position + start) / total, 0.0)
    column = tl.arange(0, WIDTH)
    inside = column < stride
    output = tl.arange(0, OUTPUTS)
    for i in range(0, length):
        target = tl.load(sentences + program * SENTENCE + i)
        own = _mix(key + (output + 1 + (i + 1) * SENTENCE).to(tl.uint64) * 0x9E3779B97F4A7C15)
        reach = (((own >> 32).to(tl.int64) * window) >> 32) + 1
        span = tl.max(tl.where(output == 0, reach, 0), axis=0).to(tl.int32)
        first = tl.maximum(i - span, 0)
        last = tl.minimum(i + span, length - 1)
        size = last - first
        for begin in range(0, size, batch):
            number = _mix(own ^ (output * 0 + begin + 1).to(tl.uint64))
            other = ((number >> 32).to(tl.int64) * words) >> 32
            low = (number & 0xFFFFFFFF).to(tl.int64)
            other = tl.where(low < tl.load(alias + 2 * other), other, tl.load(alias + 2 * other + 1))
            row = tl.where(output == 0, target, other)
            # a negative that is the target itself is no example
            used = (output == 0) | ((output <= negatives) & (row != target))
            cell = row[:, None] * stride + column[None, :]
            mask = used[:, None] & inside[None, :]
            outputs = tl.load(y + cell, mask=mask, other=0.0)
            change = tl.zeros((OUTPUTS, WIDTH), tl.float32)
            until = tl.minimum(begin + batch, size)
            if CBOW:
                hidden = tl.zeros((WIDTH,), tl.float32)
                for c in range(begin, until):
                    at = first + c + tl.where(first + c >= i, 1, 0)
                    context = tl.load(sentences + program * SENTENCE + at).to(tl.int64)
                    hidden += tl.load(x + context * stride + column, mask=inside, other=0.0)
                hidden = hidden / (until - begin)
                score = tl.sum(outputs * hidden[None, :], axis=1)
                step = slope * (tl.where(output == 0, 1.0, 0.0) - tl.sigmoid(score))
                step = tl.where(used, step, 0.0).to(tl.float32)
                change = step[:, None] * hidden[None, :]
                back = tl.sum(step[:, None] * outputs, axis=0)
                for c in range(begin, until):
                    at = first + c + tl.where(first + c >= i, 1, 0)
                    context = tl.load(sentences + program * SENTENCE + at).to(tl.int64)
                    tl.atomic_add(x + context * stride + column, back, mask=inside, sem="relaxed")
            else:
                for c in range(begin, until):
                    at = first + c + tl.where(first + c >= i, 1, 0)
                    context = tl.load(sentences + program * SENTENCE + at).to(tl.int64)
                    hidden = tl.load(x + context * stride + column, mask=inside, other=0.0)
                    score = tl.sum(outputs * hidden[None, :], axis=1)
                    step = slope * (tl.where(output == 0, 1.0, 0.0) - tl.sigmoid(score))
                    step = tl.where(used, step, 0.0).to(tl.float32)
                    change += step[:, None] * hidden[None, :]
                    back = tl.sum(step[:, None] * outputs, axis=0)
                    tl.atomic_add(x + context * stride + column, back, mask=inside, sem="relaxed")
            tl.atomic_add(y + cell, change, mask=mask, sem="relaxed")

"""Word2vec on a CPU; what it computes is told in `word2vec.py`.

All rows that a target needs are drawn and asked for before the first is used: what such a loop waits for is
memory. Threads share nothing while they run (`machine/replica.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import float32, float64, int32, int64, types, uint64, void

from optml.algorithms.kernels.machine.alias import alias_table
from optml.algorithms.kernels.machine.draws import GOLDEN, alias_type, below, high, mix, pick
from optml.algorithms.kernels.machine.replica import (
    Replicas,
    claim,
    slots_type,
    strength_type,
    table_type,
    used_type,
    view_type,
)
from optml.algorithms.kernels.machine.simd import (
    LANES,
    compiled,
    empty,
    fill,
    load,
    multiply_add,
    prefetch,
    store,
    zero,
)
from optml.algorithms.kernels.machine.threads import ALONE, count, in_parts
from optml.algorithms.kernels.words.rows_cpu import dot, logistic, mean
from optml.algorithms.kernels.words.terms import BATCH_SKIPGRAM, SENTENCE, SKIPGRAM, WordPlan

BAG = 4096  # rows of a mean, at most

_ZERO, _ONE = np.float32(0), np.float32(1)

_int32s = types.Array(int32, 1, "C", readonly=True)
_int64s = types.Array(int64, 1, "C", readonly=True)
_places = types.Array(int64, 1, "C")
_floats = types.Array(float32, 1, "C")


@compiled([int64(table_type, table_type, slots_type, strength_type, used_type, int64)], inline=True)
def _fetch(table, rows, slots, strength, used, row):  # type: ignore[no-untyped-def]
    """Claim a row and ask for its memory."""
    place = claim(table, rows, slots, strength, used, row)
    lines = rows.shape[1] // LANES
    for line in range(lines):
        prefetch(rows, place * lines + line)
    return place


@compiled([
        void(
            table_type, strength_type, _places, int64, table_type, strength_type, _places, int64, int64,
            float32, _floats, table_type,
        )
    ], inline=True)  # fmt: skip
def _predict_one(  # type: ignore[no-untyped-def]
    inputs, in_strength, bag, members, outputs, out_strength, outs, start, count, rate, steps, hidden
):  # fmt: skip
    """A step on -log s(h.y_0) - sum over the others of log s(-h.y_k), h the mean of the rows in the bag.

    Every row of the bag takes the whole gradient of h.
    """
    lines = inputs.shape[1] // LANES
    mean(inputs, bag, members, lines, hidden)
    curvature = _ZERO
    for k in range(count):
        place = outs[start + k]
        p = logistic(dot(hidden, 0, outputs, place * lines, lines))
        steps[k] = rate * ((_ONE if k == 0 else _ZERO) - p)
        if len(out_strength):
            strength = rate * p * (_ONE - p)
            out_strength[place] += strength
            curvature += strength
    if len(in_strength):
        for i in range(members):
            in_strength[bag[i]] += curvature
    for line in range(lines):
        h = load(hidden, line)
        change = zero()
        for k in range(count):
            at = outs[start + k] * lines + line
            row = load(outputs, at)
            step = fill(steps[k])
            change = multiply_add(step, row, change)
            store(outputs, at, multiply_add(step, h, row))
        for i in range(members):
            at = bag[i] * lines + line
            store(inputs, at, multiply_add(fill(_ONE), load(inputs, at), change))


@compiled([
        void(
            table_type, strength_type, _places, int64, int64, table_type, strength_type, _places, _floats,
            int64, float32, _floats, table_type,
        )
    ], inline=True)  # fmt: skip
def _predict_all(  # type: ignore[no-untyped-def]
    inputs, in_strength, contexts, start, size, outputs, out_strength, outs, times, count, rate, steps, old
):  # fmt: skip
    """The step of a mini-batch of `size` context rows X and `count` output rows Y, negatives so many times:

    F = Y X^T, G = rate * times * (label - s(F)), Y += G X, X += G^T Y, both of the old values.
    """
    lines = inputs.shape[1] // LANES
    for k in range(count):
        for i in range(size):
            at = contexts[start + i] * lines
            p = logistic(dot(inputs, at, outputs, outs[k] * lines, lines))
            steps[k * size + i] = rate * times[k] * ((_ONE if k == 0 else _ZERO) - p)
            if len(out_strength):
                strength = rate * times[k] * p * (_ONE - p)
                out_strength[outs[k]] += strength
                in_strength[contexts[start + i]] += strength
    for line in range(lines):
        for k in range(count):
            store(old, k, load(outputs, outs[k] * lines + line))
        for k in range(count):
            row = load(old, k)
            for i in range(size):
                row = multiply_add(
                    fill(steps[k * size + i]), load(inputs, contexts[start + i] * lines + line), row
                )
            store(outputs, outs[k] * lines + line, row)
        for i in range(size):
            at = contexts[start + i] * lines + line
            row = load(inputs, at)
            for k in range(count):
                row = multiply_add(fill(steps[k * size + i]), load(old, k), row)
            store(inputs, at, row)


@compiled([
        int64(
            _int32s, int64, view_type, view_type, _int64s, _int32s, alias_type, _int64s,
            int64, int64, int64, int64, int64, float64, float64, uint64,
            _places, _places, _places, _floats, _floats, table_type,
        )
    ])  # fmt: skip
def train(  # type: ignore[no-untyped-def]
    tokens, position, x, y, starts, members, noise, keep,
    mode, window, negatives, batch, end, rate, total, seed,
    sentence, outs, bag, steps, times, scratch,
):  # fmt: skip
    """Learn from a run of tokens, whose first is number `position` of `total`; returns how many words took
    part. See `word2vec.Corpus` for the arrays."""
    x_table, x_rows, x_slots, x_strength, x_used = x
    y_table, y_rows, y_slots, y_strength, y_used = y
    plain = len(starts) == 0
    alone = len(noise) == 1
    columns = negatives + 1
    tally = 0
    at, count = 0, len(tokens)
    while at < count:
        key = mix(seed ^ mix(uint64(position + at)))
        slope = np.float32(rate * max(1.0 - (position + at) / total, 0.0))
        length = 0
        stop = min(at + SENTENCE, count)
        ended = False
        while at < stop and not ended:
            word = int64(tokens[at])
            at += 1
            if word < 0:
                ended = True
                word = end
            if word >= 0:
                key += GOLDEN
                if high(mix(key)) < keep[word]:
                    sentence[length] = word
                    length += 1
        tally += length
        for i in range(length):
            key += GOLDEN
            reach = below(mix(key), window) + 1
            first, last = max(0, i - reach), min(length - 1, i + reach)
            if first == last or alone:
                continue
            word = sentence[i]
            final = last - 1 if last == i else last  # of the context
            if mode == BATCH_SKIPGRAM:
                size = 0
                for j in range(first, last + 1):
                    if j != i:
                        bag[size] = _fetch(x_table, x_rows, x_slots, x_strength, x_used, sentence[j])
                        size += 1
                for start in range(0, size, batch):
                    outs[0] = _fetch(y_table, y_rows, y_slots, y_strength, y_used, word)
                    times[0] = _ONE
                    distinct = 1
                    for _ in range(negatives):
                        other = word
                        while other == word:
                            key += GOLDEN
                            other = pick(mix(key), noise)
                        place = claim(y_table, y_rows, y_slots, y_strength, y_used, other)
                        slot = 1
                        while slot < distinct and outs[slot] != place:
                            slot += 1
                        if slot == distinct:
                            outs[slot] = _fetch(y_table, y_rows, y_slots, y_strength, y_used, other)
                            times[slot] = _ZERO
                            distinct += 1
                        times[slot] += _ONE
                    few = min(batch, size - start)
                    _predict_all(
                        x_rows,
                        x_strength,
                        bag,
                        start,
                        few,
                        y_rows,
                        y_strength,
                        outs,
                        times,
                        distinct,
                        slope,
                        steps,
                        scratch,
                    )
                continue
            target = _fetch(y_table, y_rows, y_slots, y_strength, y_used, word)
            fill_count = 0
            for _ in range(last - first if mode == SKIPGRAM else 1):
                outs[fill_count] = target
                fill_count += 1
                for _ in range(negatives):
                    other = word
                    while other == word:
                        key += GOLDEN
                        other = pick(mix(key), noise)
                    outs[fill_count] = _fetch(y_table, y_rows, y_slots, y_strength, y_used, other)
                    fill_count += 1
            size, start = 0, 0
            for j in range(first, last + 1):
                if j == i:
                    continue
                if plain:
                    bag[size] = _fetch(x_table, x_rows, x_slots, x_strength, x_used, sentence[j])
                    size += 1
                else:
                    for place in range(starts[sentence[j]], starts[sentence[j] + 1]):
                        if size < BAG:
                            bag[size] = _fetch(
                                x_table, x_rows, x_slots, x_strength, x_used, int64(members[place])
                            )
                            size += 1
                if mode == SKIPGRAM or j == final:
                    _predict_one(
                        x_rows,
                        x_strength,
                        bag,
                        size,
                        y_rows,
                        y_strength,
                        outs,
                        start,
                        columns,
                        slope,
                        steps,
                        scratch,
                    )
                    size, start = 0, start + columns
    return tally


def workspace(width: int, window: int, negatives: int, batch: int) -> tuple[np.ndarray, ...]:
    """What a thread works in."""
    columns, lines = negatives + 1, -(-width // LANES)
    return (
        np.empty(SENTENCE, np.int64),
        np.empty(2 * window * columns, np.int64),
        np.empty(max(BAG, 2 * window), np.int64),
        np.empty(columns * batch, np.float32),
        np.empty(columns, np.float32),
        empty(max(columns, lines), LANES),
    )


class Trainer:
    """Word vectors while they are learnt; see `word2vec.Plan` for the rest.

    x: (rows, stride) input rows, the words' first; y: (words, stride) output rows.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, plan: WordPlan) -> None:
        self._plan = plan
        self._noise = alias_table(plan.noise)
        self._x, self._y = Replicas(x, count()), Replicas(y, count())
        self._workspaces = [
            workspace(x.shape[1], plan.window, plan.negatives, plan.batch) for _ in range(count())
        ]

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Both tables as they are now; what is written to them counts."""
        return self._x.table, self._y.table

    def learn(self, segments: Sequence[tuple[np.ndarray, int]]) -> int:
        """Learn from runs of tokens, each with the number of its first; as many runs as threads at most.
        Returns how many words took part."""
        plan = self._plan

        def part(start: int, stop: int) -> int:
            return sum(
                int(
                    train(
                        *segments[thread], self._x.view(thread), self._y.view(thread), plan.starts,
                        plan.members, self._noise, plan.keep, plan.mode, plan.window, plan.negatives,
                        plan.batch, plan.end, plan.rate, plan.total, np.uint64(plan.seed),
                        *self._workspaces[thread],
                    )
                )
                for thread in range(start, stop)
            )  # fmt: skip

        tally = sum(in_parts(part, len(segments), ALONE))
        self._x.merge()
        self._y.merge()
        return tally

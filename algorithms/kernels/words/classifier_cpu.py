"""Linear text classification on a CPU: a mean of feature rows, a softmax over labels, a step for each line.

Joulin et al., "Bag of Tricks for Efficient Text Classification", 2016. With h the mean of a line's n feature
rows, p = softmax(Y h), and one of the line's labels l drawn at random:

    g = rate * (onehot(l) - p);   each feature row += g Y / n;   Y += g h^T      both of the old values

Threads share nothing while they run (`machine/replica.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import float32, float64, int32, int64, types, uint64

from optml.algorithms.kernels.machine.draws import below, mix
from optml.algorithms.kernels.machine.replica import Replicas, claim, view_type
from optml.algorithms.kernels.machine.simd import (
    LANES,
    add_up,
    compiled,
    empty,
    exponential,
    fill,
    load,
    multiply_add,
    store,
    zero,
)
from optml.algorithms.kernels.machine.threads import ALONE, count, in_parts
from optml.algorithms.kernels.words.rows_cpu import dot, mean
from optml.algorithms.kernels.words.tokens_cpu import LINE_END, word_ngrams

FEATURES = 1 << 16  # of a line, at most; LABELS of it that one is drawn from
LABELS = 1 << 10

_ZERO, _ONE = np.float32(0), np.float32(1)
_int32s = types.Array(int32, 1, "C")
_read_int32s = types.Array(int32, 1, "C", readonly=True)
_int64s = types.Array(int64, 1, "C")
_table = types.Array(float32, 2, "C")


@compiled([
        int64(
            _read_int32s, int64, view_type, view_type, _read_int32s, _read_int32s,
            int64, int64, int64, float64, float64, uint64,
            _int32s, _int64s, _int64s, _int64s, _table, _table,
        )
    ])  # fmt: skip
def train(  # type: ignore[no-untyped-def]
    tokens, position, x, y, hashes, slots, words, end, longest, rate, total, seed,
    word_hashes, bag, places, labels, scores, scratch,
):  # fmt: skip
    """Learn from whole lines, whose first token is number `position` of `total`; returns how many lines took
    part.

    tokens: LINE_END, LINE_END - 1 - l for label l, or the number of a word; `hashes` has that of each word,
            those from `words` on have no row.
    slots:  the row of each bucket of word n-grams; those of the corpus all have one.
    end:    the number of the word that a line's end counts as.
    """
    x_table, x_rows, x_slots, x_strength, x_used = x
    y_table, y_rows, y_slots, y_strength, y_used = y
    lines = x_rows.shape[1] // LANES
    count = y_table.shape[0]
    blocks = scores.shape[1] // LANES
    for label in range(count):
        places[label] = claim(y_table, y_rows, y_slots, y_strength, y_used, label)
    tally = 0
    at = 0
    while at < len(tokens):
        start = at
        own_labels = members = size = 0
        while True:
            token = int64(tokens[at])
            at += 1
            if token < LINE_END:
                if own_labels < LABELS:
                    labels[own_labels] = LINE_END - 1 - token
                    own_labels += 1
                continue
            number = end if token == LINE_END else token
            if size < FEATURES:
                word_hashes[size] = hashes[number]
                size += 1
                if number < words and members < FEATURES:
                    bag[members] = claim(x_table, x_rows, x_slots, x_strength, x_used, number)
                    members += 1
            if token == LINE_END:
                break
        if own_labels == 0:
            continue
        if longest > 1:
            grams = word_ngrams(word_hashes, 0, size, longest, len(slots), word_hashes, size) - size
            for i in range(size, size + grams):
                if members < FEATURES:
                    row = int64(slots[word_hashes[i]])
                    bag[members] = claim(x_table, x_rows, x_slots, x_strength, x_used, row)
                    members += 1
        if members == 0:
            continue
        tally += 1
        slope = np.float32(rate * max(1.0 - (position + start) / total, 0.0))
        target = (
            labels[0]
            if own_labels == 1
            else labels[below(mix(seed ^ mix(uint64(position + start))), own_labels)]
        )
        mean(x_rows, bag, members, lines, scratch)
        top = np.float32(-3e38)
        for label in range(count):
            score = dot(scratch, 0, y_rows, places[label] * lines, lines)
            scores[0, label] = score
            top = max(top, score)
        lanes = zero()
        shift = fill(-top)
        for block in range(blocks):
            powers = exponential(multiply_add(fill(_ONE), load(scores, block), shift))
            store(scores, block, powers)
        for label in range(count, scores.shape[1]):
            scores[0, label] = _ZERO
        for block in range(blocks):
            lanes = multiply_add(fill(_ONE), load(scores, block), lanes)
        whole = _ONE / add_up(lanes)
        for line in range(lines):
            store(scratch, lines + line, zero())
        squares = _ZERO
        for label in range(count):
            p = scores[0, label] * whole
            squares += p * p
            step = fill(slope * ((_ONE if label == target else _ZERO) - p))
            place = places[label] * lines
            if len(y_slots):
                y_strength[places[label]] += slope * p * (_ONE - p)
            for line in range(lines):
                row = load(y_rows, place + line)
                store(scratch, lines + line, multiply_add(step, row, load(scratch, lines + line)))
                store(y_rows, place + line, multiply_add(step, load(scratch, line), row))
        part = _ONE / np.float32(members)
        share = fill(part)
        for i in range(members):
            place = bag[i] * lines
            if len(x_slots):
                x_strength[bag[i]] += slope * (_ONE - squares) * part
            for line in range(lines):
                change = load(scratch, lines + line)
                store(x_rows, place + line, multiply_add(share, change, load(x_rows, place + line)))
    return tally


@compiled([types.void(_read_int32s, _read_int32s, int64, int64, types.Array(types.uint8, 1, "C"), _int32s)])
def mark(tokens, hashes, end, longest, marks, word_hashes):  # type: ignore[no-untyped-def]
    """Set `marks` for each bucket of word n-grams that occurs in whole lines of tokens."""
    size = 0
    for token in tokens:
        if token < LINE_END:
            continue
        if size < FEATURES:
            word_hashes[size] = hashes[end if token == LINE_END else token]
            size += 1
        if token == LINE_END:
            stop = word_ngrams(word_hashes, 0, size, longest, len(marks), word_hashes, size)
            for i in range(size, stop):
                marks[word_hashes[i]] = 1
            size = 0


def workspace(width: int, labels: int, longest: int) -> tuple[np.ndarray, ...]:
    """What a thread works in."""
    lines = -(-width // LANES)
    return (
        np.empty(FEATURES * max(longest, 1), np.int32),
        np.empty(FEATURES, np.int64),
        np.empty(labels, np.int64),
        np.empty(LABELS, np.int64),
        empty(1, labels),
        empty(2 * lines, LANES),
    )


@compiled([
        types.UniTuple(int64, 2)(  # type: ignore[no-untyped-call]
            _read_int32s, _read_int32s, _table, _table, _read_int32s, int64, int64, int64, int64,
            _int32s, _int64s, _int64s, _int64s, _table, _table,
        )
    ])  # fmt: skip
def score(  # type: ignore[no-untyped-def]
    tokens, token_hashes, x, y, slots, words, end, end_hash, longest,
    word_hashes, bag, places, labels, scores, scratch,
):  # fmt: skip
    """Of whole lines: how many have the label of the largest score among theirs, and how many were scored.

    token_hashes: of each token.   end: the row of a line's end, -1 for none.   slots: -1: a row of zeros.
    """
    lines = x.shape[1] // LANES
    hits = tally = 0
    own_labels = members = size = features = 0
    for at in range(len(tokens)):
        token = int64(tokens[at])
        if token < LINE_END:
            if own_labels < LABELS:
                labels[own_labels] = LINE_END - 1 - token
                own_labels += 1
            continue
        row = end if token == LINE_END else token
        if size < FEATURES:
            word_hashes[size] = end_hash if token == LINE_END else int64(token_hashes[at])
            size += 1
            if 0 <= row < words and members < FEATURES:
                bag[members] = row
                members += 1
                features += 1
        if token != LINE_END:
            continue
        if longest > 1:
            stop = word_ngrams(word_hashes, 0, size, longest, len(slots), word_hashes, size)
            for i in range(size, stop):
                features += 1
                row = int64(slots[word_hashes[i]])
                if row >= 0 and members < FEATURES:
                    bag[members] = row
                    members += 1
        if own_labels and features:
            tally += 1
            best = 0
            if members:
                mean(x, bag, members, lines, scratch)  # of those that are not zero: the order is the same
                top = np.float32(-3e38)
                for label in range(len(y)):
                    found_score = dot(scratch, 0, y, label * lines, lines)
                    if found_score > top:
                        top = found_score
                        best = label
            for i in range(own_labels):
                if labels[i] == best:
                    hits += 1
                    break
        own_labels = members = size = features = 0
    return hits, tally


class Trainer:
    """A classifier while it learns.

    x: (rows, stride) of features, the words first; y: (labels, stride).
    The other arguments are those of `train`.
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
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
        self._rule = (hashes, slots, words, end, longest, rate, total, np.uint64(seed))
        self._x, self._y = Replicas(x, count()), Replicas(y, count())
        self._workspaces = [workspace(x.shape[1], len(y), longest) for _ in range(count())]

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        return self._x.table, self._y.table

    def learn(self, segments: Sequence[tuple[np.ndarray, int]]) -> int:
        """Learn from runs of whole lines, each with the number of its first token; as many as threads at
        most. Returns how many lines took part."""

        def part(start: int, stop: int) -> int:
            return sum(
                int(train(*segments[thread], self._x.view(thread), self._y.view(thread), *self._rule,
                          *self._workspaces[thread]))
                for thread in range(start, stop)
            )  # fmt: skip

        tally = sum(in_parts(part, len(segments), ALONE))
        self._x.merge()
        self._y.merge()
        return tally

    def accuracy(self, pieces: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[int, int]:
        """Lines that get one of their labels, and lines, of pieces of (tokens, their hashes)."""
        x, y = self.tables()
        hashes, slots, words, end, longest = self._rule[:5]
        row = end if end < words else -1

        def part(start: int, stop: int) -> tuple[int, int]:
            place = workspace(x.shape[1], len(y), longest)
            counts = [
                score(*piece, x, y, slots, words, row, int(hashes[end]), longest, *place)
                for piece in pieces[start:stop]
            ]
            return sum(hits for hits, _ in counts), sum(lines for _, lines in counts)

        parts = in_parts(part, len(pieces), ALONE)
        return sum(hits for hits, _ in parts), sum(lines for _, lines in parts)

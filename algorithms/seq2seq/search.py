"""Beam search: the likeliest targets, a token at a time.

A hypothesis is worth its -log p over ((beta + tokens) / (beta + 1)) ^ alpha with alpha 1 and beta 0: the mean
per token, `</s>` counted; one that has ended keeps its worth. The first place of the beam is always the
likeliest token's behind the first place's, so what is found is never worse than what a greedy search finds,
and a beam of one is that search.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from optml.algorithms.seq2seq.network import Translator
from optml.algorithms.seq2seq.records import BEGIN, END, PADDING
from optml.algorithms.seq2seq.tokens import Source
from optml.algorithms.sequences.ragged import Sequences
from optml.deadline import check

Tensor = torch.Tensor

ROOM = 1 << 24  # numbers of what is searched at a time: memories, and the probabilities of a step


@dataclass(frozen=True, slots=True)
class Translation:
    """ids: (t,) int64 without `</s>`.   weights: (t, s) attention of each, where it was asked for.
    score: mean -log p of its tokens, `</s>` counted."""

    ids: np.ndarray
    weights: np.ndarray | None
    score: float


@torch.no_grad()
def translate(
    network: Translator,
    sources: Sequences,
    limits: np.ndarray,
    beam: int,
    device: str,
    *,
    attention: bool = False,
) -> list[Translation]:
    """The best target of each source, none of which is empty.   limits: (n,) tokens of a target, at most."""
    results: list[Translation | None] = [None] * len(sources)
    for rows in _groups(network, sources.lengths, beam):
        source = Source.of(sources.take(rows), device)
        for row, one in zip(
            rows, _search(network, source, limits[rows], beam, attention=attention), strict=True
        ):
            results[row] = one
    return [one for one in results if one is not None]


def _groups(network: Translator, lengths: np.ndarray, beam: int) -> Iterator[np.ndarray]:
    """Numbers of sources that are searched together, of like lengths, in bounded memory."""
    width, vocabulary = network.settings.encoded_width, len(network.output)
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order):
            each = beam * (vocabulary + 4 * int(lengths[order[stop]]) * width)
            if (stop + 1 - start) * each > ROOM:
                break
            stop += 1
        yield order[start:stop]
        start = stop


class _Beams:
    """The hypotheses of sources that are still searched, `beam` rows each.

    alive: (m,) numbers of these sources.   worth, sums: (m, beam), -log p by token and in all.
    """

    def __init__(self, count: int, beam: int, device: torch.device) -> None:
        self.alive = torch.arange(count, device=device)
        self.sums = torch.zeros(count, beam, device=device)
        self.lengths = torch.zeros(count, beam, device=device)
        self.ended = torch.zeros(count, beam, dtype=torch.bool, device=device)
        self.ids = torch.full((count, beam), BEGIN, device=device)

    def extend(self, costs: Tensor, first: bool) -> Tensor:
        """Take the best continuations; costs (m, beam, v). The places (m, beam) that they continue."""
        count, beam, vocabulary = costs.shape
        # An ended hypothesis goes on at no cost, by padding alone; the others never by padding or `<s>`.
        costs[:, :, PADDING] = costs[:, :, BEGIN] = torch.inf
        costs = costs.masked_fill(self.ended[:, :, None], torch.inf)
        costs[:, :, PADDING].masked_fill_(self.ended, 0.0)
        lengths = self.lengths + ~self.ended
        worth = (self.sums[:, :, None] + costs) / lengths.clamp(min=1)[:, :, None]
        if first:  # all places are the same
            worth[:, 1:] = torch.inf
        likeliest = worth[:, 0].argmin(1)
        flat = worth.view(count, -1)
        order = flat.scatter(1, likeliest[:, None], -torch.inf).topk(beam, dim=1, largest=False).indices
        places, ids = order // vocabulary, order % vocabulary
        self.sums = self.sums.gather(1, places) + costs.view(count, -1).gather(1, order)
        self.lengths = lengths.gather(1, places)
        self.ended = self.ended.gather(1, places) | (ids == END)
        self.ids = ids
        return places

    def keep(self, rows: Tensor) -> None:
        """Only the sources of these places are searched on."""
        for name in ("alive", "sums", "lengths", "ended", "ids"):
            setattr(self, name, getattr(self, name)[rows])

    @property
    def worth(self) -> Tensor:
        return self.sums / self.lengths.clamp(min=1)


def _search(
    network: Translator, source: Source, limits: np.ndarray, beam: int, *, attention: bool
) -> Sequence[Translation]:
    device = source.ids.device
    count = len(limits)
    memory = network.encode(source)
    state = network.decoder.begin(memory)
    spread = torch.arange(count, device=device).repeat_interleave(beam)
    memory, state = memory.take(spread), [tensor.index_select(0, spread) for tensor in state]
    beams = _Beams(count, beam, device)
    most = torch.from_numpy(limits).to(device)
    histories: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]] = []
    results: list[Translation | None] = [None] * count
    for number in range(int(limits.max())):
        check()
        costs, state, weights = network.step(beams.ids.view(-1), state, memory, number)
        alive = beams.alive
        places = beams.extend(costs.view(len(alive), beam, -1), first=number == 0)
        rows = (torch.arange(len(alive), device=device)[:, None] * beam + places).view(-1)
        seen = weights.index_select(0, rows).view(len(alive), beam, -1).cpu().numpy() if attention else None
        histories.append((alive.cpu().numpy(), places.cpu().numpy(), beams.ids.cpu().numpy(), seen))
        over = beams.ended.all(1) | (most[alive] == number + 1)
        worth = beams.worth.masked_fill(beams.worth.isnan(), torch.inf)
        if over.any():
            best = worth.argmin(1)
            for place in over.nonzero()[:, 0].tolist():
                one = int(alive[place])
                results[one] = _traced(histories, one, int(best[place]), float(worth[place, best[place]]))
        left = (~over).nonzero()[:, 0]
        if not len(left):
            break
        if len(left) < len(alive):
            rows = rows.view(-1, beam)[left].view(-1)
            beams.keep(left)
        state = [tensor.index_select(0, rows) for tensor in state]
        if len(left) < len(alive):
            memory = memory.take((left[:, None] * beam + torch.arange(beam, device=device)).view(-1))
    return [one for one in results if one is not None]


def _traced(histories: Sequence[tuple[Any, ...]], one: int, place: int, score: float) -> Translation:
    """A hypothesis from its last step back to its first."""
    ids, weights = [], []
    for alive, places, tokens, seen in reversed(histories):
        row = int(np.searchsorted(alive, one))
        token = int(tokens[row, place])
        origin = int(places[row, place])
        if token not in (PADDING, END):
            ids.append(token)
            if seen is not None:
                weights.append(seen[row, place])
        place = origin
    found = np.array(ids[::-1], np.int64)
    return Translation(found, np.array(weights[::-1]) if weights else None, score)

"""Beam search against a greedy one written apart, and what it promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.network import seeded  # noqa: E402
from optml.algorithms.seq2seq import search  # noqa: E402
from optml.algorithms.seq2seq.network import Translator  # noqa: E402
from optml.algorithms.seq2seq.tokens import Source  # noqa: E402
from optml.algorithms.sequences.ragged import Sequences  # noqa: E402
from tests.algorithms.seq2seq.sample import hyperparameters, sentences  # noqa: E402


def network(sharp: float = 3.0, **changes: Any) -> Translator:
    """Whose `</s>` is likely enough that targets end at different lengths."""
    with seeded(0):
        made = Translator(hyperparameters(**changes), (14, 14))
    with torch.no_grad():
        made.output *= sharp
        made.target *= sharp
        made.output_bias[3] = 0.5
    return made.requires_grad_(requires_grad=False)


def greedy(made: Translator, ids: list[int], limit: int) -> tuple[list[int], float]:
    memory = made.encode(Source.of(Sequences.of([ids]), "cpu"))
    state, token, said, costs = made.decoder.begin(memory), 2, [], []
    for step in range(limit):
        cost, state, _ = made.step(torch.tensor([token]), state, memory, step)
        cost[0, [0, 2]] = torch.inf
        token = int(cost[0].argmin())
        costs.append(float(cost[0, token]))
        if token == 3:
            break
        said.append(token)
    return said, float(np.mean(costs))


@pytest.mark.parametrize("kind", ["rnn", "cnn"])
def test_a_beam_of_one_is_greedy_and_a_wider_one_is_never_worse(kind: str) -> None:
    made = network(3.0 if kind == "rnn" else 1.0, encoder_type=kind, decoder_type=kind)
    sources = sentences(40, seed=2)
    limits = np.array([len(one) + 3 for one in sources])
    alone = [greedy(made, one, int(limit)) for one, limit in zip(sources, limits, strict=True)]
    one, five = (search.translate(made, Sequences.of(sources), limits, beam, "cpu") for beam in (1, 5))
    assert [found.ids.tolist() for found in one] == [said for said, _ in alone]
    assert [found.score for found in one] == pytest.approx([score for _, score in alone], abs=1e-5)
    assert all(wide.score <= narrow.score + 1e-6 for wide, narrow in zip(five, one, strict=True))
    assert any(wide.score < narrow.score - 1e-3 for wide, narrow in zip(five, one, strict=True))
    assert len({len(found.ids) for found in one}) > 3


def test_a_beam_of_all_targets_finds_the_best() -> None:
    with seeded(4):
        made = Translator(hyperparameters(), (14, 6)).requires_grad_(requires_grad=False)
    source = Sequences.of([[5, 6, 7]])
    memory = made.encode(Source.of(source, "cpu"))
    best = np.inf
    for first in (1, 3, 4, 5):
        for second in (1, 3, 4, 5):
            state, cost, token = made.decoder.begin(memory), [], 2
            for step, following in enumerate((first, second)):
                costs, state, _ = made.step(torch.tensor([token]), state, memory, step)
                cost.append(float(costs[0, following]))
                token = following
                if following == 3:
                    break
            best = min(best, float(np.mean(cost)))
    found = search.translate(made, source, np.array([2]), 20, "cpu")[0]
    assert found.score == pytest.approx(best, abs=1e-5)


def test_what_is_searched_together_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = network()
    sources = Sequences.of(sentences(30, seed=5))
    limits = sources.lengths + 2
    together = search.translate(made, sources, limits, 3, "cpu", attention=True)
    monkeypatch.setattr(search, "ROOM", 1)
    alone = search.translate(made, sources, limits, 3, "cpu", attention=True)
    for one, other, length in zip(together, alone, sources.lengths.tolist(), strict=True):
        assert one.ids.tolist() == other.ids.tolist()
        assert one.score == pytest.approx(other.score, abs=1e-5)
        if len(one.ids):
            assert one.weights is not None
            assert other.weights is not None
            np.testing.assert_allclose(one.weights[:, :length], other.weights[:, :length], atol=1e-5)
            assert one.weights.shape[0] == len(one.ids)


def test_no_target_is_longer_than_its_limit() -> None:
    made = network()
    with torch.no_grad():
        made.output_bias[3] = -100.0
    found = search.translate(made, Sequences.of([[4], [5, 6, 7]]), np.array([1, 5]), 4, "cpu")
    assert [len(one.ids) for one in found] == [1, 5]

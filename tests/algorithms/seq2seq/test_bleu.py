"""BLEU on sentences whose value is known."""

from __future__ import annotations

import math

import pytest

from optml.algorithms.seq2seq import bleu


def score(*pairs: tuple[str, str]) -> float:
    return bleu.score(bleu.counts((one.split(), other.split()) for one, other in pairs))


def test_known_values() -> None:
    assert score(("a b c d e", "a b c d e")) == pytest.approx(1)
    assert score(("", "a b")) == 0
    # matches 4 of 5, 2 of 4, 1 of 3 and none, taken for 0.01, of 2
    value = (4 / 5 * 2 / 4 * 1 / 3 * 0.01 / 2) ** 0.25
    assert score(("a b c x d", "a b c d e")) == pytest.approx(value)
    # clipped: "the" counts twice; too short a text is punished
    value = (2 / 7 * 0.01 / 6 * 0.01 / 5 * 0.01 / 4) ** 0.25
    assert score(("the the the the the the the", "the cat is on the mat .")) == pytest.approx(value)
    assert score(("a b c d", "a b c d e f g h")) == pytest.approx(math.exp(1 - 8 / 4))


def test_a_corpus_is_more_than_the_mean_of_its_sentences() -> None:
    pairs = [("a b c d e f", "a b c d e f"), ("x", "y z")]
    assert score(*pairs) == pytest.approx(math.exp(1 - 8 / 7) * ((6 / 7) * 1 * 1 * 1) ** 0.25)


def test_texts_of_three_tokens_have_no_runs_of_four() -> None:
    assert score(("a b c", "a b c")) == pytest.approx(1)

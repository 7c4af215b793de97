from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optml.algorithms.blazingtext.vocabulary import (
    LINE_END,
    Vocabulary,
    Words,
    character_ngrams,
    hash_of,
    word_ngrams,
)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("the", 3020861980),
        ("<wh", 1048167652),
        ("intel", 761421815),
        ("__label__1", 1406357688),
        ("é", 1023043777),
        ("</s>", 3617362777),
    ],
)
def test_hashes_are_those_of_fasttext(word: str, expected: int) -> None:
    assert hash_of(word.encode()) == expected


def test_word_ngrams_are_those_of_fasttext() -> None:
    hashes = Words.of([b"linux", b"ready", b"for"]).hashes[:3].view(np.int32)
    assert word_ngrams(hashes, 3, 2_000_000).tolist() == [870083, 1428193, 468556]


def test_character_ngrams_count_characters_and_leave_single_brackets_out() -> None:
    text = "<é>"
    expected = [hash_of(part.encode()) % 1000 for part in ("<é", "<é>", "é", "é>")]
    assert character_ngrams(text[1:-1].encode(), 1, 3, 1000).tolist() == expected


def test_n_grams_longer_than_a_word_or_a_line_take_no_room() -> None:
    assert len(character_ngrams(b"abc", 1, 2**31 - 1, 1000)) == len(character_ngrams(b"abc", 1, 5, 1000))
    hashes = Words.of([b"linux", b"ready", b"for"]).hashes[:3].view(np.int32)
    assert len(word_ngrams(hashes, 2**31 - 1, 1000)) == 3


@given(st.lists(st.binary(max_size=12), max_size=30), st.integers(1, 40))
def test_tokens_are_parted_as_fasttext_does(lines: list[bytes], cut: int) -> None:
    text = b"\n".join(lines) + b"\n"
    words = Words(16)
    ends = [at + 1 for at in range(len(text)) if text[at : at + 1] == b"\n"]
    pieces = [text[start:stop] for start, stop in zip([0, *ends], [*ends, len(text)], strict=True)]
    found = np.concatenate([words.intern(piece) for piece in pieces]).tolist()
    expected: list[bytes | None] = []
    for line in text.split(b"\n")[:-1]:
        expected += [*line.replace(b"\0", b" ").split(), None]
    assert [None if number == LINE_END else words[number] for number in found] == expected
    looked_up, hashed = words.look_up(text)
    assert looked_up.tolist() == found
    assert [h for h, word in zip(hashed.tolist(), expected, strict=True) if word] == [
        int(np.uint32(hash_of(word)).astype(np.int32)) for word in expected if word
    ]


def test_a_set_of_words_grows_beyond_its_first_room() -> None:
    words = Words(16)
    for start in range(0, 5000, 500):
        words.intern(b" ".join(b"word%d" % number for number in range(start, start + 500)))
    assert len(words) == 5000
    assert words.look_up(b"word4999 word17 word5000")[0].tolist() == [4999, 17, -2]


def test_words_come_by_falling_count_then_labels_then_what_is_not_kept() -> None:
    words = Words()
    words.intern(b"b a a __label__x c c c\n__label__y __label__y a b\n")
    vocabulary, new = Vocabulary.count(words, 2, 2, labelled=True)
    assert list(vocabulary.entries) == [b"a", b"c", b"b", b"</s>", b"__label__y", b"__label__x"]
    assert (vocabulary.words, vocabulary.labels, vocabulary.end) == (4, 2, 3)
    assert new[int(words.look_up(b"__label__y")[0][0])] == 4
    rare, _ = Vocabulary.count(Words.of([b"once", b"</s>"]), 1, 2, labelled=False)
    assert (rare.words, len(rare.entries), rare.compact().words) == (1, 2, 1)

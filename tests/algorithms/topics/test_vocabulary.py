"""vocab.txt and embeddings.txt."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optml.algorithms.topics import vocabulary
from optml.errors import UserError


@dataclass
class Files:
    """A channel of files in memory (`algorithms.sources.Source`)."""

    files: dict[str, bytes]
    name = "auxiliary"
    media = "text/plain"
    mode = "File"
    distribution = "FullyReplicated"
    wrapper = "None"

    def stopped(self) -> bool:
        return False

    def streams(self) -> Iterator[tuple[str, BinaryIO]]:
        for name, content in sorted(self.files.items()):
            yield f"auxiliary/{name}", io.BytesIO(content)

    def examples(self, size: int) -> Iterator[tuple[bytes, ...]]:
        raise NotImplementedError


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])), min_size=1))
def test_any_words_come_back(words: list[str]) -> None:
    words = [word.lstrip("\ufeff") for word in words]
    text = "\n".join(words) + "\n"
    assert vocabulary.parse_words(text.encode(), "vocab.txt", len(words)) == tuple(words)


def test_line_ends_and_marks_of_other_systems_are_no_part_of_words() -> None:
    assert vocabulary.parse_words(b"\xef\xbb\xbfone\r\ntwo", "vocab.txt", 2) == ("one", "two")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"words.txt": b"a\nb\n"}, "holds no vocab.txt (a word a line, 2 lines), but words.txt"),
        ({"vocab.txt": b"a\nb\nc\n"}, "auxiliary/vocab.txt has 3 lines, but feature_dim is 2"),
        ({"vocab.txt": b"a\n\xff\n"}, "line 2 of auxiliary/vocab.txt is not text in UTF-8"),
        (
            {"vocab.txt": b"a\nb\n", "embeddings.txt": b"a 1 2\nb 1 x\n"},
            "line 2 of auxiliary/embeddings.txt: expected a word and finite numbers",
        ),
        (
            {"vocab.txt": b"a\nb\n", "embeddings.txt": b"a 1 2\nb 1\n"},
            "line 2 of auxiliary/embeddings.txt has 1 numbers, the lines before it 2",
        ),
        ({"vocab.txt": b"a\nb\n", "embeddings.txt": b"c 1 2\n"}, "has a vector for none of the 2 words"),
        ({"vocab.txt": b"a\nb\n", "embeddings.txt": b"a 1 nan\n"}, "line 1 of auxiliary/embeddings.txt"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(files: dict[str, bytes], message: str) -> None:
    with pytest.raises(UserError) as caught:
        vocabulary.read(Files(files), 2)
    assert message in str(caught.value)


def test_vectors_are_read_for_the_vocabulary_alone(caplog: pytest.LogCaptureFixture) -> None:
    files = {"vocab.txt": b"a\nb\nc\n", "embeddings.txt": b"4 2\nb 1 2\nother x y\na 3 4\n"}
    with caplog.at_level(logging.WARNING, "optml"):
        found = vocabulary.read(Files(files), 3)
    assert found.vectors is not None
    np.testing.assert_array_equal(found.vectors, [[3, 4], [1, 2], [2, 3]])
    assert "1 out of 3 in vocabulary do not have embeddings! Default vector used" in caplog.text

"""Vocabularies and vectors of their tokens."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest

from optml.algorithms.sequences import pretrained, vocabulary
from optml.errors import UserError


def test_frequent_tokens_come_first_and_equal_ones_in_reverse_alphabetical_order() -> None:
    counts = vocabulary.count(["a b b", "c  c\tb a", "d"])
    found = vocabulary.build(counts, ["<pad>", "<unk>"], 3)
    assert found == {"<pad>": 0, "<unk>": 1, "b": 2, "c": 3, "a": 4}
    assert vocabulary.build(counts, [], 10, least=3) == {"b": 0}
    assert vocabulary.read(vocabulary.write(found), "v.json") == found
    assert vocabulary.encode("b x a", found, 1) == [2, 1, 4]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<?xml version='1.0'?><Error>AccessDenied", r"v\.json is no JSON: it begins with .*<\?xml"),
        (b"[1, 2]", "holds no object"),
        (b'{"a": 1.5}', 'token "a" has the id 1.5'),
        (b'{"a": true}', 'token "a" has the id true'),
        (b'{"a": -1}', "has the id -1"),
        (b'{"a": 1, "b": 1}', 'tokens "a" and "b" both have the id 1'),
        (b"\xff\xfe", "is no JSON"),
    ],
)
def test_what_is_no_vocabulary_is_said(data: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        vocabulary.read(data, "v.json")


IDS = {"the": 1, ". .": 2, "cat": 5}


def test_vectors_are_those_of_known_tokens_and_the_first_counts() -> None:
    text = b"5 3\nthe 1 2 3\nother x y z\n. . 4 5 6\nthe 7 8 9\n"
    ids, vectors = pretrained.parse(io.BytesIO(text), "g.txt", IDS, 3)
    assert dict(zip(ids.tolist(), vectors.tolist(), strict=True)) == {1: [1, 2, 3], 2: [4, 5, 6]}
    assert vectors.dtype == np.float32


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"the 1 2 3\ncat 1 2\n", "line 2 of g.txt has 2 numbers behind its token; expected 3"),
        (b"the 1 2 3 4\n", "line 1 of g.txt has 4 numbers"),
        (b"the 1 nan 3\n", "line 1 of g.txt: expected a token and 3 finite numbers"),
        (b"cat 1 x 3\n", "line 1 of g.txt: expected"),
        (b"dog 1 2 3\n", "has a vector for none of the 3 tokens"),
    ],
)
def test_a_line_that_is_wrong_is_named(text: bytes, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        pretrained.parse(io.BytesIO(text), "g.txt", IDS, 3)


class Files:
    """A channel of files in memory."""

    name = "auxiliary"

    def __init__(self, **files: bytes) -> None:
        self.files = {name.replace("_", "."): data for name, data in files.items()}

    def streams(self) -> list[tuple[str, io.BytesIO]]:
        return [(f"auxiliary/{name}", io.BytesIO(data)) for name, data in sorted(self.files.items())]


def test_both_files_are_looked_for_in_the_channel() -> None:
    files = Files(a_txt=b"the 1 2\n", v_json=json.dumps({"the": 3}).encode())
    ids, _ = pretrained.read(files, "a.txt", "v.json", 2, 4)  # type: ignore[arg-type]
    assert ids.tolist() == [3]
    with pytest.raises(UserError, match=r"holds no file 'b\.txt', but a\.txt, v\.json"):
        pretrained.read(files, "b.txt", "v.json", 2, 4)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="token 'the' has the id 3, not less than vocab_size=3"):
        pretrained.read(files, "a.txt", "v.json", 2, 3)  # type: ignore[arg-type]

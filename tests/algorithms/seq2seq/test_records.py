"""Records and vocabularies: AWS's bytes, and what is wrong with others."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optml.algorithms.seq2seq.records import FILES, Vocabularies, read
from optml.errors import UserError
from optml.formats.record_message import record_class
from optml.formats.recordio import frame
from tests.algorithms.seq2seq import sample

AWS = bytes.fromhex(
    "0a23d7ce 26000000 0a120a06736f7572636512083a060a0404ac0206 0a100a0674617267657412063a040a0207080000"
)
SIZES = (400, 400)
IDS = ("int32_tensor", [4])
SIDE = st.lists(st.integers(0, 399), min_size=1, max_size=30)


def pairs(body: bytes, sizes: tuple[int, int] = SIZES) -> Any:
    return read(sample.Files({"a.rec": body}), sizes)  # type: ignore[arg-type]


def message(**sides: Any) -> bytes:
    """A record made by the protobuf library."""
    made = record_class()()
    for key, (kind, values) in sides.items():
        made.features[key].SetInParent()
        if kind:
            getattr(made.features[key], kind).values.extend(values)
    return frame(made.SerializeToString())


def test_awss_record_is_read_and_written() -> None:
    read_back = pairs(AWS)
    assert read_back.sources.ids.tolist() == [4, 300, 6]
    assert read_back.targets.ids.tolist() == [7, 8]
    assert sample.encoded([([4, 300, 6], [7, 8])]) == AWS


@given(st.lists(st.tuples(SIDE, SIDE), min_size=1, max_size=5))
def test_what_is_written_is_read(written: list[tuple[list[int], list[int]]]) -> None:
    read_back = pairs(sample.encoded(written))
    for side, sequences in enumerate((read_back.sources, read_back.targets)):
        assert [part.tolist() for part in np.split(sequences.ids, sequences.bounds[1:-1])] == [
            pair[side] for pair in written
        ]


def test_any_order_of_keys_and_empty_sides() -> None:
    swapped = message(target=("int32_tensor", [7]), source=("int32_tensor", [4, 5]))
    assert pairs(swapped).sources.ids.tolist() == [4, 5]
    empty = message(source=("int32_tensor", [4]), target=("", []))
    assert len(pairs(empty + swapped)) == 1  # a pair with an empty side is no use


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            message(source=("float32_tensor", [4]), target=IDS),
            "write ids to int32_tensor, not float32",
        ),
        (message(source=IDS), "record 1 of train/a.rec has no features 'target' (it has source)"),
        (message(target=IDS), "has no features 'source' (it has target)"),
        (
            AWS + message(source=("int32_tensor", [5, 400]), target=IDS),
            "record 2 of train/a.rec: 'source'",
        ),
        (
            message(source=("int32_tensor", [400]), target=IDS),
            "vocabulary vocab.src.json has ids 0 to 399",
        ),
        (message(source=IDS, target=("int32_tensor", [-1])), "'target' has the id -1, but the vocabulary"),
        (b"", "channel 'train' holds no pair"),
        (b"no records at all", "train/a.rec"),
        (AWS[:-3], "train/a.rec"),
    ],
)
def test_what_is_wrong_with_a_record_is_told(body: bytes, words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        pairs(body)


def vocabulary(**changes: Any) -> bytes:
    return json.dumps({"<pad>": 0, "<unk>": 1, "<s>": 2, "</s>": 3, "a": 4} | changes).encode()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "holds no file 'vocab.src.json', or an empty one, but vocab.trg.json"),
        (vocabulary(a=3), "both have the id 3"),
        (vocabulary(a=2_000_000_000), 'the token "a" has the id 2000000000, but there are 5 tokens'),
        (vocabulary(**{"<pad>": 9}), "the token '<pad>' has the id 9; a vocabulary begins with <pad> 0"),
        (b'{"a": 0}', "vocab.src.json: the token '<pad>' is missing"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied", "begins with \"<?xml version='1.0'?>"),
        (b"[1]", "holds no object"),
    ],
)
def test_what_is_wrong_with_a_vocabulary_is_told(source: bytes | None, words: str) -> None:
    files = {FILES[1]: vocabulary()} | ({} if source is None else {FILES[0]: source})
    with pytest.raises(UserError, match=re.escape(words)):
        Vocabularies.of(files, "channel 'vocab'")


def test_ids_without_a_token_are_unknown_ones() -> None:
    made = Vocabularies.of(dict.fromkeys(FILES, vocabulary(z=7)), "here")
    assert made.sizes == (8, 8)
    assert made.words(0) == ["<pad>", "<unk>", "<s>", "</s>", "a", "<unk>", "<unk>", "z"]

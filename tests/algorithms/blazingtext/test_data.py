from __future__ import annotations

import logging
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from optml.algorithms.blazingtext import data, text
from optml.algorithms.blazingtext.corpus import Corpus, read
from optml.algorithms.blazingtext.data import TrainChannel
from optml.algorithms.blazingtext.vocabulary import LINE_END
from optml.algorithms.kernels.machine import threads
from optml.errors import UserError
from tests.algorithms.blazingtext.sample import channel, setting, topics
from tests.algorithms.hosts import on_hosts


def corpus(source: Any, labelled: bool = True, min_count: int = 1, ngrams: bool = True) -> Corpus:
    return read(source, labelled, min_count, ngrams)


def words(found: Corpus) -> list[list[str]]:
    """The lines of a corpus, written out."""
    out: list[list[str]] = [[]]
    for token in np.concatenate(found.pieces).tolist():
        number = token if token >= 0 else found.vocabulary.words + LINE_END - 1 - token
        if token == LINE_END:
            out.append([])
        else:
            out[-1].append(found.vocabulary.entries[number].decode("utf-8", "replace"))
    return out[:-1]


def test_lines_files_and_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = topics(200, True)
    whole = corpus(channel(plain))
    monkeypatch.setattr(text, "PIECE", 100)
    cut = corpus(channel(plain))
    assert (np.concatenate(cut.pieces) == np.concatenate(whole.pieces)).all()
    assert words(whole) == [line.split() for line in plain.splitlines()]


def test_a_last_line_without_an_end_is_a_line() -> None:
    assert words(corpus(channel("__label__a x y\n__label__b y"))) == [
        ["__label__a", "x", "y"],
        ["__label__b", "y"],
    ]


def test_rare_words_are_dropped_from_plain_text_and_kept_for_the_n_grams_of_labelled_text() -> None:
    assert words(corpus(channel("a a b\nb a c\n"), labelled=False, min_count=2)) == [
        ["a", "a", "b"],
        ["b", "a"],
    ]
    labelled = corpus(channel("__label__x a a b c\n"), min_count=2)
    assert np.concatenate(labelled.pieces).tolist()[1:] == [0, 0, 2, 3, LINE_END]
    assert labelled.vocabulary.words == 1  # a; the end of the one line is rare itself


def test_a_text_without_line_ends_is_cut_between_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "PIECE", 64)
    found = corpus(channel(" ".join(f"w{number}" for number in range(300))), labelled=False)
    assert found.vocabulary.words == 301
    assert len(found.pieces) > 5


@pytest.mark.parametrize("line", ['{"source": "x y", "label": 1}', '{"source":"x y","label":["__label__1"]}'])
def test_json_lines_are_lines_of_text(line: str) -> None:
    source = channel(line + '\n{"label": [1, 3], "source": "y\\nz"}\n', media="application/jsonlines")
    assert words(corpus(source)) == [["__label__1", "x", "y"], ["__label__1", "__label__3", "y", "z"]]


def test_records_of_an_augmented_manifest_are_lines_of_text() -> None:
    source = channel("", wrapper="RecordIO", records=[(b"x y", b"1"), (b"z", b"[0, 2]")])
    assert words(corpus(source)) == [["__label__1", "x", "y"], ["__label__0", "__label__2", "z"]]


def test_bytes_that_are_no_utf8_are_taken_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "optml"):
        found = corpus(channel(b"__label__a fine\n__label__b caf\xe9\n\xe9 __label__a\n"))
    assert b"caf\xe9" in list(found.vocabulary.entries)
    assert len(caplog.messages) == 1
    assert "Line 2 of channel 'train' (train/a.txt) is not UTF-8" in caplog.text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("no label here\n", r"channel 'train' has no label: .* its first line is 'no label here'"),
        ('"__label__1","some text"\n', r"labels inside quotes.*plain text, not CSV"),
        ("__label__1,some text\n__label__2,more\n", r"has a comma in every label, as CSV has"),
        ("__label__1 __label__2\n", r"holds labels and no words"),
        ("__label__1 rare words\n", r"no word of channel 'train' occurs min_count=5 times.*lower min_count"),
        ("\n \n", r"channel 'train' is empty"),
    ],
)
def test_text_that_nothing_can_be_learnt_from_is_refused(given: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        corpus(channel(given), min_count=5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("[1]", r"line 1 of train/a.txt must be an object such as .*, not '\[1\]'"),
        ('{"source": 1}', r"line 1 of train/a.txt must be"),
        ('{"source": "x", "label": 1.5}', r"line 1 of train/a.txt has the label 1.5"),
        ("{", r"line 1 of train/a.txt is no JSON"),
    ],
)
def test_json_of_another_kind_names_the_line(given: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        corpus(channel(given + "\n", media="application/jsonlines"))


def test_what_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "PIECE", 1000)
    monkeypatch.setattr(text, "TOKEN", 5000)
    monkeypatch.setattr(text, "LONGEST", 5000)
    with pytest.raises(UserError, match="has a token of more than"):
        corpus(channel(b"x" * 9000), labelled=False)
    with pytest.raises(UserError, match="has a line of more than"):
        corpus(channel(b"x " * 9000))


def test_an_epoch_is_the_whole_text_read_once() -> None:
    source = channel(topics(500, False), mode="Pipe")
    training = TrainChannel(source, setting(mode="skipgram", min_count=1))
    for number in range(2):
        segments = [segment for block in training.epoch(number) for segment in block.segments]
        assert segments[0].position == 0
        for before, after in pairwise(segments):
            assert after.position == before.position + len(before.tokens)
        assert sum(len(block) for block in training.epoch(number)) == 500
    assert source.passes == 1


def test_labelled_lines_come_in_an_order_of_their_own_each_epoch() -> None:
    text = topics(300, True)
    training = TrainChannel(channel(text), setting(mode="supervised", min_count=1))
    orders = []
    for number in (0, 1, 0):
        blocks = list(training.epoch(number))
        runs = [segment for block in blocks for segment in block.segments]
        tokens = np.concatenate([run.tokens for run in runs])
        assert [run.position for run in runs] == np.cumsum([0, *map(len, (r.tokens for r in runs))])[
            :-1
        ].tolist()
        found = words(Corpus(training.corpus.vocabulary, [tokens], len(tokens)))
        assert sorted(found) == sorted(line.split() for line in text.splitlines())
        orders.append(found)
    assert orders[0] == orders[2] != orders[1]


def test_runs_of_plain_text_come_in_an_order_of_their_own_each_epoch() -> None:
    training = TrainChannel(channel(topics(2000, False)), setting(mode="skipgram", min_count=1))
    orders = []
    for number in (0, 1, 0):
        blocks = list(training.epoch(number))
        runs = [segment.tokens for block in blocks for segment in block.segments]
        assert all(run[-1] == LINE_END for run in runs)
        # No copies: a GPU keeps what it was given once, and knows it again by its place in memory.
        orders.append([run.ctypes.data for run in runs])
        whole = sorted(runs, key=lambda run: run.ctypes.data)
        assert (np.concatenate(whole) == np.concatenate(training.corpus.pieces)).all()
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


def test_runs_of_a_piece_are_alike_in_length() -> None:
    found = corpus(channel(topics(2000, False)), labelled=False)
    lengths = [len(run.tokens) for run in found.segments(2 * found.tokens // 3)]
    assert len(lengths) == 2
    assert max(lengths) < 1.1 * min(lengths)


def test_threads_agree_several_times_before_hosts_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "ROUNDS", 1)
    monkeypatch.setattr(data, "AGREE", 4096)
    wanted = setting(mode="batch_skipgram", min_count=1)
    training = TrainChannel(channel(topics(2000, False)), wanted)
    first, *_ = training.epoch(0)
    assert len(first.turns) == training.corpus.tokens // 4096 == 4
    assert all(len(turn) == threads.count() for turn in first.turns)
    lengths = [sum(len(at.tokens) for at in turn) for turn in first.turns]
    assert 0.8 * 4096 < min(lengths) <= max(lengths) < 1.1 * 4096


def test_hosts_share_the_blocks() -> None:
    def positions(cluster: Any) -> list[int]:
        training = TrainChannel(
            channel(topics(3000, False)), setting(cluster, mode="batch_skipgram", min_count=1)
        )
        return [segment.position for block in training.epoch(0) for segment in block.segments]

    one, two = on_hosts(2, positions)
    assert min(len(one), len(two)) > 3
    assert not set(one) & set(two)


def test_processes_of_one_host_share_its_blocks() -> None:
    def positions(cluster: Any) -> list[int]:
        source = channel(topics(3000, False), distribution="ShardedByS3Key")
        training = TrainChannel(source, setting(cluster, mode="batch_skipgram", min_count=1))
        return [segment.position for block in training.epoch(0) for segment in block.segments]

    one, two, other, another = on_hosts(4, positions, processes=2)
    assert min(len(one), len(two)) > 3
    assert not set(one) & set(two)
    assert (one, two) == (other, another)  # of the same text: each host takes all of its own

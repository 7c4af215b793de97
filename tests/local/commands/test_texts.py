"""Plain texts: converted into records with a vocabulary, and predicted as they are."""

import gzip
import json

import pytest

pytest.importorskip("torch")

from optml.algorithms import registry
from optml.algorithms.object2vec.texts import parse
from optml.errors import UserError
from tests.serving import every

PAIRS = "1\ta man sleeps\ta man is asleep\n0\ta dog runs\ta man sleeps\n0\t\ta cat\n1.5\ta cat\ta cat\n"


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text(PAIRS)
    return path


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_pairs_become_json_lines_and_a_vocabulary_of_both_sides(optml, pairs, tmp_path):
    code, out, err = optml("convert", "--algorithm", "object2vec", pairs, tmp_path / "train.jsonl")
    assert (code, out) == (0, "")
    vocabulary = json.loads((tmp_path / "vocab.json").read_text())
    assert list(vocabulary) == ["<pad>", "a", "man", "sleeps", "cat", "runs", "is", "dog", "asleep"]
    assert lines(tmp_path / "train.jsonl") == [
        {"label": 1, "in0": [1, 2, 3], "in1": [1, 2, 6, 8]},
        {"label": 0, "in0": [1, 7, 5], "in1": [1, 2, 3]},
        {"label": 1.5, "in0": [1, 4], "in1": [1, 4]},
    ]
    assert f"{tmp_path / 'vocab.json'}: made, 9 tokens" in err
    assert f"{tmp_path / 'train.jsonl'}: 3 records; 1 with an empty side left out" in err


def test_a_vocabulary_that_is_there_is_used(optml, pairs, tmp_path):
    (tmp_path / "v.json").write_text('{"man": 5, "cat": 7}')
    words = ("--algorithm", "object2vec", pairs, tmp_path / "b.jsonl", "--vocabulary", tmp_path / "v.json")
    code, _, err = optml("convert", *words)
    assert code == 0
    assert "v.json: read, 2 tokens" in err
    assert lines(tmp_path / "b.jsonl")[0] == {"label": 1, "in0": [0, 5, 0], "in1": [0, 5, 0, 0]}
    (tmp_path / "v.json").write_text('{"man": 5, "<unk>": 7}')
    assert optml("convert", *words)[0] == 0
    assert lines(tmp_path / "b.jsonl")[0] == {"label": 1, "in0": [7, 5, 7], "in1": [7, 5, 7, 7]}


def test_each_side_may_have_a_vocabulary_of_its_own_and_of_a_size(optml, pairs, tmp_path):
    names = [tmp_path / "first.json", tmp_path / "second.json"]
    (tmp_path / "pairs.gz").write_bytes(gzip.compress(PAIRS.encode()))
    options = [word for name in names for word in ("--vocabulary", name)]
    words = ("--algorithm", "object2vec", tmp_path / "pairs.gz", tmp_path / "b.jsonl", *options)
    assert optml("convert", *words, "--vocabulary-size", 3, "--min-count", 2)[0] == 0
    assert [list(json.loads(name.read_text())) for name in names] == [
        ["<pad>", "a"],
        ["<pad>", "a", "man"],
    ]


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("ENTAILMENT\ta\tb\n", [], 'line 1 of {}/pairs.tsv: the label "ENTAILMENT" is no number'),
        ("1\ta\tb\n1\ta\tb\tc\n", [], "line 2 of {}/pairs.tsv: there are 3 tabs; expected LABEL TAB TEXT"),
        ("", [], "there are no records to convert"),
        ("1\t\t\n", [], "there are no records to convert"),
        ("1\ta\tb\n", ["--min-count", 0], "whole numbers from 1 on"),
        ("1\ta\tb\n", ["--algorithm", "kmeans"], "K-Means takes no plain texts"),
        ("1\ta\tb\n", ["--vocabulary", "{}/no.json", "--vocabulary", "{}/pairs.tsv"], "no vocabulary '{}/no"),
    ],
)
def test_what_cannot_be_converted_is_named(optml, tmp_path, text, words, message):
    (tmp_path / "pairs.tsv").write_text(text)
    words = [str(word).format(tmp_path) for word in words]
    code, _, err = optml(
        "convert", "--algorithm", "object2vec", tmp_path / "pairs.tsv", tmp_path / "b.jsonl", *words
    )
    assert code == 2
    assert message.format(tmp_path) in err
    assert not (tmp_path / "b.jsonl").exists()
    assert not (tmp_path / "vocab.json").exists()


def test_a_line_that_is_no_utf_8_is_named(optml, tmp_path):
    (tmp_path / "pairs.tsv").write_bytes(b"1\ta\tb\n1\t\xff\tb\n")
    code, _, err = optml("convert", "--algorithm", "object2vec", tmp_path / "pairs.tsv", tmp_path / "b.jsonl")
    assert code == 2
    assert f"line 2 of {tmp_path}/pairs.tsv is not UTF-8" in err


def test_two_files_and_vocabularies_are_of_texts(optml, pairs, tmp_path):
    code, _, err = optml("convert", pairs, pairs, tmp_path / "b.jsonl")
    assert (code, "add --algorithm" in err) == (2, True)
    code, _, err = optml("convert", pairs, tmp_path / "b.jsonl", "--vocabulary", pairs)
    assert (code, "add --algorithm" in err) == (2, True)
    code, _, err = optml("convert", "--algorithm", "object2vec", pairs, pairs, tmp_path / "b.jsonl")
    assert (code, "Object2Vec takes 1 file(s) of texts, IN is 2" in err) == (2, True)


def test_two_sides_are_told_apart_by_tabs():
    assert parse(["a b"]).sides == ("a b", None)
    assert parse(["\ta b"]).sides == (None, "a b")
    assert parse(["a\tb"]).sides == ("a", "b")
    assert parse(["2\ta\tb"]).label == 2
    with pytest.raises(UserError, match="no number"):
        parse(["NaN\ta\tb"])


@pytest.fixture
def model(tmp_path):
    every.served("object2vec").model.save(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "key", "count"), [("a man\ta cat\nman\t\n", "scores", 2), ("a man\n\nzebra\n", "embeddings", 3)]
)
def test_plain_sentences_are_predicted_in_their_order(optml, model, tmp_path, text, key, count):
    pytest.importorskip("matplotlib")
    (tmp_path / "v.json").write_text('{"a": 1, "man": 2, "cat": 1999}')
    (tmp_path / "a.txt").write_text(text)
    words = ("predict", model, "--input", tmp_path / "a.txt", "--vocabulary", tmp_path / "v.json")
    code, out, err = optml(*words, "--plot", tmp_path / "map.png")
    assert code == 0, err
    answers = [json.loads(line) for line in out.splitlines()]
    assert [list(answer) for answer in answers] == [[key]] * count
    assert f"a map of {count * (2 if key == 'scores' else 1)} embeddings" in err
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    if key == "embeddings":
        expected = registry.get("object2vec").inference.load(model, "cpu")
        from optml.algorithms.sequences.ragged import Sequences

        found = expected.embeddings(0, Sequences.of([[1, 2]]))[0]
        assert answers[0]["embeddings"] == pytest.approx(found.tolist(), rel=1e-5)
        assert answers[1]["embeddings"] == answers[2]["embeddings"] == [0] * 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--content-type", "text/plain"], "line 1 of {}/a.txt: a model of Object2Vec knows ids, not tokens"),
        (["--vocabulary", "{}/no.json"], "there is no vocabulary '{}/no.json'"),
        (["--vocabulary", "{}/v.json"], 'Vocab id "2000" is not less than vocab_size=2000'),
    ],
)
def test_texts_that_cannot_be_predicted_say_why(optml, model, tmp_path, words, message):
    (tmp_path / "a.txt").write_text("a\n")
    (tmp_path / "v.json").write_text('{"a": 2000}')
    words = [word.format(tmp_path) for word in words]
    code, _, err = optml("predict", model, "--input", tmp_path / "a.txt", *words)
    assert code == 2
    assert message.format(tmp_path) in err


def test_other_models_and_endpoints_take_no_vocabulary(optml, tmp_path):
    (tmp_path / "a.txt").write_text("a\n")
    every.served("kmeans").model.save(tmp_path)
    words = ("--input", tmp_path / "a.txt", "--vocabulary", tmp_path / "a.txt")
    code, _, err = optml("predict", tmp_path, *words)
    assert (code, "--vocabulary: K-Means takes no plain texts" in err) == (2, True)
    code, _, err = optml("predict", "http://localhost:1", *words)
    assert (code, "--vocabulary needs the model's folder" in err) == (2, True)

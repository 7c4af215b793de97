from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optml.algorithms.answers import Answer
from optml.algorithms.blazingtext import ALGORITHM, fasttext_file, huffman
from optml.algorithms.blazingtext.classifier import Classifier, Texts
from optml.algorithms.blazingtext.fasttext_file import FastTextSettings
from optml.algorithms.blazingtext.quantized import Dense, Quantized, Quantizer
from optml.algorithms.blazingtext.vectors import Lookup, WordVectors
from optml.algorithms.blazingtext.vocabulary import Vocabulary, Words
from optml.algorithms.registry import recognise
from optml.errors import UserError
from tests.algorithms.blazingtext.sample import topics
from tests.algorithms.blazingtext.test_learner import LABELS, VECTORS, trained


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models of each kind, saved."""
    kinds: dict[str, dict[str, Any]] = {
        "classes": LABELS,
        "words": VECTORS | {"mode": "skipgram"},
        "subwords": VECTORS
        | {"mode": "cbow", "subwords": True, "buckets": 5000, "min_char": 3, "max_char": 4},
    }
    made = {}
    for name, settings in kinds.items():
        made[name] = tmp_path_factory.mktemp(name)
        model, _ = trained(topics(300, settings["mode"] == "supervised"), **settings).finish()
        if isinstance(model, WordVectors):
            model.evaluation = {"mean_rho": 0.5}
        model.save(made[name])
        (made[name] / "kept").write_bytes(b"")
    return made


def load(folder: Path) -> Any:
    return ALGORITHM.inference.load(folder, "cpu")


def test_a_model_folder_holds_what_awss_does_and_is_recognised(folders: dict[str, Path]) -> None:
    held = {name: {path.name for path in folder.iterdir()} - {"kept"} for name, folder in folders.items()}
    vectors = {"vectors.txt", "vectors.bin", "eval.json"}
    assert held == {"classes": {"model.bin"}, "words": vectors, "subwords": vectors}
    assert {recognise(folder) for folder in folders.values()} == {"blazingtext"}
    assert json.loads((folders["words"] / "eval.json").read_text()) == {"mean_rho": 0.5}


def test_a_loaded_classifier_answers_as_the_one_that_was_trained(folders: dict[str, Path]) -> None:
    model, _ = trained(topics(300, True), **LABELS).finish()
    texts = Texts([b"cat1 cat2 the", b"sea1 unheard cat1", b""], [2, 5, 1])
    loaded = load(folders["classes"]).predict(texts, {})
    for mine, theirs in zip(model.predict(texts, {})["prob"], loaded["prob"], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)
    assert [len(labels) for labels in loaded["label"]] == [2, 2, 1]
    assert loaded["label"][0][0] == "__label__0"


def test_words_have_the_vectors_of_the_text_file(folders: dict[str, Path]) -> None:
    for name in ("words", "subwords"):
        lines = (folders[name] / "vectors.txt").read_text().splitlines()
        assert lines[0] == "28 16"
        assert all(line.endswith(" ") for line in lines[1:])
        words, values = zip(*(line.rstrip().split(" ", 1) for line in lines[1:]), strict=True)
        found = load(folders[name]).predict(Lookup([word.encode() for word in words]), {})
        assert found["word"].tolist() == list(words)
        np.testing.assert_allclose(found["vector"], [np.fromstring(v, sep=" ") for v in values], rtol=1e-5)


def test_an_unknown_word_has_the_mean_of_its_n_grams_or_zeros(folders: dict[str, Path]) -> None:
    unknown = Lookup([b"catnip", b"two words", "é".encode()])
    assert (load(folders["words"]).predict(unknown, {})["vector"] == 0).all()
    vectors = load(folders["subwords"]).predict(unknown, {})["vector"]
    assert (vectors[0] != 0).any()


def test_text_vectors_alone_can_be_served(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copy(folders["words"] / "vectors.txt", tmp_path)
    assert recognise(tmp_path) == "blazingtext"
    words = Lookup([b"cat1", b"unheard"])
    np.testing.assert_allclose(
        load(tmp_path).predict(words, {})["vector"], load(folders["words"]).predict(words, {})["vector"]
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3 2\na 1 2\n", r"truncated: it announces 3 words and holds 1"),
        ("1 2\na 1\n", r"line 2 of .* must hold a word and 2 numbers; found 1"),
        ("2 1\na 1\na 2\n", "holds a word twice"),
    ],
)
def test_broken_text_vectors_say_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "vectors.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        load(tmp_path)


def test_any_file_of_fasttexts_is_found(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copy(folders["classes"] / "model.bin", tmp_path / "lid.ftz")
    (tmp_path / "other.bin").write_bytes(b"no model")
    assert isinstance(load(tmp_path), Classifier)


def test_a_folder_without_a_model_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UserError, match=r"holds no BlazingText model.*found notes.txt"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda data: data[:4] + struct.pack("<i", 13) + data[8:],
            "is of version 13 .*; 11 and 12 can be read",
        ),
        (lambda data: data[:64] + struct.pack("<i", 10**6) + data[68:], "truncated or damaged"),
        (lambda data: data[:8] + struct.pack("<i", 9) + data[12:], "is damaged: .* of 9"),
    ],
)
def test_broken_binaries_say_what_is_wrong(
    folders: dict[str, Path], tmp_path: Path, change: Callable[[bytes], bytes], message: str
) -> None:
    (tmp_path / "model.bin").write_bytes(change((folders["classes"] / "model.bin").read_bytes()))
    with pytest.raises(UserError, match=message):
        load(tmp_path)


@given(st.data())
def test_no_cut_or_flipped_byte_gets_past_the_reader_but_as_a_users_error(
    folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = (folders["classes"] / "model.bin").read_bytes()
    path = tmp_path_factory.getbasetemp() / "damaged.bin"
    if data.draw(st.booleans()):
        path.write_bytes(whole[: data.draw(st.integers(4, len(whole) - 1))])
        with pytest.raises(UserError):
            fasttext_file.read(path)
        return
    at = data.draw(st.integers(0, 600))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
    with suppress(UserError):
        Classifier.of_file(fasttext_file.read(path)).predict(Texts([b"cat1 the sea2"], [1]), {})


def test_a_quantised_matrix_is_put_together_from_its_parts() -> None:
    centroids = np.arange(256 * 5, dtype=np.float32)
    quantizer = Quantizer(5, 2, 1, centroids)
    codes = np.array([[0, 1, 255], [3, 0, 2]], np.uint8)
    rows = Quantized(codes, quantizer, np.array([1, 10], np.float32)).rows(np.array([1, 0]))
    assert rows[1].tolist() == [0, 1, 514, 515, 1279]
    assert rows[0].tolist() == [60, 70, 5120, 5130, 10260]


def test_paths_of_the_tree_are_those_of_a_huffman_code() -> None:
    counts = np.array([40, 30, 20, 10])
    assert [len(path) for path in huffman.paths(counts)] == [1, 2, 3, 3]
    scores = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(huffman.probabilities(scores, counts).sum(axis=1), 1, rtol=1e-6)
    assert huffman.probabilities(scores, counts[:1]).tolist() == [[1.0]] * 5


@pytest.mark.parametrize("loss", [fasttext_file.NEGATIVES, fasttext_file.ONE_VS_ALL])
def test_labels_of_other_losses_are_scored_apart(loss: int) -> None:
    words = Words.of([b"a", b"</s>", b"__label__x", b"__label__y"])
    table = Dense(np.array([[1.0], [1.0]], np.float32))
    settings = FastTextSettings(1, loss=loss, model=fasttext_file.SUPERVISED)
    model = Classifier(
        settings, Vocabulary(words, 2, 2, 4), table, Dense(np.array([[0.0], [3.0]], np.float32))
    )
    answer = model.predict(Texts([b"a", b"__label__x"], [2, 1]), {})
    assert answer["label"][0] == ["__label__y", "__label__x"]
    np.testing.assert_allclose(answer["prob"][0], [1 / (1 + np.exp(-3)), 0.5], rtol=1e-6)


def test_a_line_without_a_known_feature_has_no_label() -> None:
    words = Words.of([b"a", b"__label__x"])
    settings = FastTextSettings(1, loss=fasttext_file.SOFTMAX, model=fasttext_file.SUPERVISED)
    ones = Dense(np.ones((1, 1), np.float32))
    model = Classifier(settings, Vocabulary(words, 1, 1, 2), ones, ones)
    answer = model.predict(Texts([b"unheard", b"a"], [1, 1]), {})
    assert [list(labels) for labels in answer["label"]] == [[], ["__label__x"]]
    body = bytes(ALGORITHM.inference.encode(answer, "application/json", Answer()))  # type: ignore[misc]
    assert body == b'[{"prob": [], "label": []}, {"prob": [1.0], "label": ["__label__x"]}]'

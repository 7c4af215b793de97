"""Models: their folders, requests and answers."""

from __future__ import annotations

import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.answers import Answer  # noqa: E402
from optml.algorithms.seq2seq import requests  # noqa: E402
from optml.algorithms.seq2seq.lengths import Lengths  # noqa: E402
from optml.algorithms.seq2seq.model import Model, Request, load  # noqa: E402
from optml.algorithms.sequences.ragged import Sequences  # noqa: E402
from optml.errors import UserError  # noqa: E402
from optml.formats.content_type import JSON, JSON_LINES, RECORDIO_PROTOBUF, ContentType  # noqa: E402
from optml.formats.record_message import messages  # noqa: E402
from tests.algorithms.seq2seq import sample  # noqa: E402

RECORDS = ContentType(RECORDIO_PROTOBUF)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load(folder, "cpu")


def answer(model: Model, body: bytes, media: str) -> bytes:
    batch = requests.decode(body, ContentType(media), model)
    return bytes(requests.encode(model.predict(batch, {}), media, Answer()))


def test_a_folder_is_read_as_it_was_written(folder: Path, model: Model, tmp_path: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors", "model.json", "vocab.src.json", "vocab.trg.json",
    }  # fmt: skip
    assert (folder / "vocab.src.json").read_bytes() == sample.VOCABULARY
    model.save(tmp_path)
    again = load(tmp_path, "cpu")
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(again.parameters()[name], array)
    assert again.lengths == model.lengths


def test_the_same_sentences_in_every_form_have_the_same_answers(model: Model) -> None:
    texts = ["w1 w2 w3", "w4 never-seen w5", ""]
    asked = json.dumps({"instances": [{"data": text} for text in texts]}).encode()
    whole = json.loads(answer(model, asked, JSON))
    targets = [prediction["target"] for prediction in whole["predictions"]]
    assert targets[0]
    assert targets[2] == ""
    lines = "".join(json.dumps({"source": text}) + "\n" for text in texts).encode()
    assert [json.loads(line) for line in answer(model, lines, JSON_LINES).splitlines()] == [
        {"target": target} for target in targets
    ]
    ids = [[sample.IDS.get(word, 1) for word in text.split()] for text in texts]
    body = sample.encoded([(one, []) for one in ids])
    records = messages(BytesIO(answer(model, body, RECORDIO_PROTOBUF)), source="it")
    names = {number: word for word, number in sample.IDS.items()}
    said = [record.features["target"].int32_tensor.values for record in records]
    assert [" ".join(names[number] for number in one) for one in said] == targets


def test_an_attention_matrix_has_a_row_for_each_token_that_is_said(model: Model) -> None:
    wishes = [{"attention_matrix": wish} for wish in ("true", True, False)]
    asked = [{"data": "w1 w2 w3", "configuration": wish} for wish in wishes]
    found = json.loads(answer(model, json.dumps({"instances": asked}).encode(), JSON))["predictions"]
    assert "matrix" not in found[2]
    for prediction in found[:2]:
        matrix = np.array(prediction["matrix"])
        assert matrix.shape == (len(prediction["target"].split()), 3)
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-5)


def test_long_sentences_are_translated_in_chunks(model: Model) -> None:
    most = model.lengths.source
    words = [f"w{number % 10}" for number in range(2 * most + 1)]
    parts = [words[:most], words[most : 2 * most], words[2 * most :]]
    lines = "".join(json.dumps({"source": " ".join(part)}) + "\n" for part in [words, *parts]).encode()
    whole, *pieces = [json.loads(line)["target"] for line in answer(model, lines, JSON_LINES).splitlines()]
    assert whole == " ".join(filter(None, pieces))
    asked = {"data": " ".join(words), "configuration": {"attention_matrix": True}}
    found = json.loads(answer(model, json.dumps({"instances": [asked]}).encode(), JSON))["predictions"][0]
    assert np.array(found["matrix"]).shape == (len(whole.split()), len(words))


def test_sources_are_shorter_where_targets_would_be_too_long() -> None:
    settings = sample.hyperparameters(max_seq_len_source=100, max_seq_len_target=100)
    assert Lengths.told(1.3, 0.1, settings).source == 66
    assert Lengths.told(0.5, 0.1, settings).source == 100
    assert Lengths.told(1.3, 0.1, settings).limits(np.array([1, 10])).tolist() == [2, 15]


def instances(*those: Any) -> bytes:
    return json.dumps({"instances": list(those)}).encode()


WISH = {"data": "a", "configuration": {"attention_matrix": 3}}


@pytest.mark.parametrize(
    ("body", "media", "words"),
    [
        (b'{"data": "a"}', JSON, 'must be an object with a list "instances"'),
        (
            instances({"data": "a"}, {"source": "a"}),
            JSON,
            'instance 2 of the request must be an object with "data"',
        ),
        (instances("a"), JSON, 'instance 1 of the request must be an object with "data", but it is none'),
        (instances({"data": 5}), JSON, '"data" is 5; expected a text'),
        (
            instances({"data": "w1 " * 2100, "configuration": {"attention_matrix": True}}),
            JSON,
            "instance 1 of the request: the attention matrices asked for, up to this one of 2100 tokens",
        ),
        (instances(WISH), JSON, 'expected {"attention_matrix": "true"}'),
        (b'{"data": "a"}\n', JSON_LINES, 'line 1 of the request must be an object with "source", but it has'),
        (b'{"source": "a"}\n{"source": \n', JSON_LINES, "line 2 of the request"),
        (b"no frames", RECORDIO_PROTOBUF, "the request"),
        (sample.encoded([([99], [])]), RECORDIO_PROTOBUF, "record 1 of the request: 'source' has the id 99"),
    ],
)
def test_what_is_wrong_with_a_request_is_told(model: Model, body: bytes, media: str, words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        requests.decode(body, ContentType(media), model)


def damaged(folder: Path, tmp_path: Path, change: Any) -> Path:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    change(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: (root / "model.json").unlink(), "holds no model of optml"),
        (lambda root: (root / "vocab.trg.json").unlink(), "holds no file 'vocab.trg.json'"),
        (
            lambda root: (root / "vocab.src.json").write_text(json.dumps(sample.IDS | {"more": 14})),
            "source is (14, 8); expected float32 of shape (15, 8)",
        ),
        (
            lambda root: (root / "model.json").write_text(
                (root / "model.json").read_text().replace("length_ratio_mean", "other")
            ),
            "lacks the numbers length_ratio_mean",
        ),
    ],
)
def test_what_is_wrong_with_a_folder_is_told(folder: Path, tmp_path: Path, change: Any, words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        load(damaged(folder, tmp_path, change), "cpu")


def test_a_long_sentence_costs_no_square_of_its_length(model: Model) -> None:
    sources = Sequences.of([[5] * 30_000])
    (found,) = model.translations(Request(sources, np.zeros(1, bool)))
    assert found.weights is None
    assert len(found.ids) > 1000

"""The model: its answers, its artifact, and AWS's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from optml.algorithms import mxnet_archive, registry
from optml.algorithms.ntm.model import Model, load, recognises
from optml.algorithms.ntm.parameters import AWS, Parameters
from optml.algorithms.topics import topics
from optml.algorithms.topics.topics import Topics
from optml.errors import UserError
from optml.formats import record_protobuf as recordio
from optml.formats.records import Records

WORDS, TOPICS = 30, 4


def parameters(activation: str = "sigmoid", sizes: tuple[int, ...] = (12, 8), seed: int = 0) -> Parameters:
    rng = np.random.default_rng(seed)

    def layer(after: int, before: int) -> tuple[np.ndarray, np.ndarray]:
        weight, bias = rng.normal(size=(after, before)), rng.normal(size=after)
        return weight.astype(np.float32), bias.astype(np.float32)

    widths = (WORDS, *sizes)
    encoder = tuple(layer(after, before) for before, after in zip(widths, sizes, strict=False))
    return Parameters(
        encoder, layer(TOPICS, sizes[-1]), layer(TOPICS, sizes[-1]), layer(WORDS, TOPICS), activation
    )


def model(activation: str = "sigmoid") -> Model:
    own = parameters(activation)
    words = topics.top(own.projection[0])
    return Model(own, Topics(words, topics.uniqueness(words)), {"num_topics": TOPICS})


def documents() -> np.ndarray:
    rng = np.random.default_rng(1)
    counts = (rng.integers(1, 9, (5, WORDS)) * (rng.random((5, WORDS)) < 0.2)).astype(np.float32)
    counts[2] = 0
    return counts


def weights(of: Model, counts: Any) -> np.ndarray:
    found: np.ndarray = of.predict(Records(counts), {})["topic_weights"]
    return found


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_weights_are_the_softmax_of_mu(activation: str) -> None:
    own = parameters(activation)
    act = {"sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}
    pi = documents().astype(np.float64)
    for weight, bias in own.encoder:
        pi = act[activation](pi @ weight.T.astype(np.float64) + bias)
    mu = pi @ own.mu[0].T.astype(np.float64) + own.mu[1]
    expected = np.exp(mu) / np.exp(mu).sum(axis=1, keepdims=True)
    found = weights(Model(own), documents())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-30)
    assert found.dtype == np.float32


def test_weights_are_positive_and_sum_to_one_whatever_the_counts() -> None:
    for scale in (1, 1e3, 1e30):
        found = weights(model("relu"), documents() * np.float32(scale))
        assert (found > 0).all()
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    with pytest.raises(UserError, match="record 1 holds counts so large that its topics are beyond float32"):
        weights(model("relu"), documents() * np.float32(3e37))


def test_dense_and_sparse_documents_have_the_same_weights() -> None:
    np.testing.assert_array_equal(weights(model(), documents()), weights(model(), csr_array(documents())))


def test_a_document_of_another_width_is_refused() -> None:
    with pytest.raises(UserError, match=r"record 1 has 7 values, but the vocabulary has 30 words"):
        weights(model(), np.ones((1, 7), np.float32))


def test_saved_and_loaded_it_answers_the_same(tmp_path: Path) -> None:
    model().save(tmp_path)
    assert registry.recognise(tmp_path) == "ntm"
    np.testing.assert_array_equal(weights(load(tmp_path, "cpu"), documents()), weights(model(), documents()))
    lines = (tmp_path / "topics.txt").read_text().splitlines()
    assert lines[0] == "# topic tu words"
    assert len(lines) == TOPICS + 1
    facts = json.loads((tmp_path / "model.json").read_text())["facts"]
    assert [len(words) for words in facts["topics"]] == [20] * TOPICS


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_aws_s_artifact_is_recognised_and_answers_the_same(tmp_path: Path, activation: str) -> None:
    model(activation).save(tmp_path)
    for name in ("model.json", "model.safetensors", "topics.txt"):
        (tmp_path / name).unlink()
    other = parameters(seed=5)
    mxnet_archive.write(tmp_path / "model_algo-2", "params", other.arrays(AWS), {})  # of another host
    assert recognises(tmp_path)
    assert registry.recognise(tmp_path) == "ntm"
    loaded = load(tmp_path, "cpu")
    np.testing.assert_array_equal(weights(loaded, documents()), weights(model(activation), documents()))
    assert sorted(mxnet_archive.read(tmp_path / "model_algo-1").arrays) == [
        "enc_0_bias", "enc_0_weight", "enc_1_bias", "enc_1_weight", "logsigma_bias", "logsigma_weight",
        "mean_bias", "mean_weight", "projection_bias", "projection_weight",
    ]  # fmt: skip


def test_aws_s_activation_is_read_off_the_graph(tmp_path: Path) -> None:
    graph = {"nodes": [{"op": "null"}, {"op": "Activation", "param": {"act_type": "tanh"}, "attrs": {}}]}
    own = parameters("tanh")
    mxnet_archive.write(tmp_path / "model_algo-1", "params", own.arrays(AWS), {"symbol.json": graph})
    assert load(tmp_path, "cpu").parameters.activation == "tanh"


def test_broken_artifacts_are_refused_with_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no topic model.*found nothing"):
        load(tmp_path, "cpu")
    path = tmp_path / "model_algo-1"
    arrays = parameters().arrays(AWS)

    def refused(changed: dict[str, np.ndarray | None], message: str) -> None:
        held = {name: array for name, array in (arrays | changed).items() if array is not None}
        mxnet_archive.write(path, "params", held, {})  # type: ignore[arg-type]
        with pytest.raises(UserError, match=message):
            load(tmp_path, "cpu")
        assert recognises(tmp_path)  # so that `serve` can say this of it

    refused({"mean_weight": None}, "lacks 'mean_weight'")
    refused({"mean_weight": np.ones((4, 9), np.float32)}, "the layers do not fit one another")
    refused({"mean_bias": np.ones(3, np.float32)}, "mean_weight has shape")
    refused({"enc_0_bias": np.full(12, np.nan, np.float32)}, "enc_0_bias must hold finite floats")
    refused({"enc_0_bn_moving_mean": np.ones(12, np.float32)}, "was trained with batch_norm")


def test_an_activation_that_is_none_is_refused(tmp_path: Path) -> None:
    model().save(tmp_path)
    description = json.loads((tmp_path / "model.json").read_text())
    description["hyperparameters"]["encoder_layers_activation"] = "softplus"
    (tmp_path / "model.json").write_text(json.dumps(description))
    with pytest.raises(UserError, match="encoder_layers_activation is 'softplus'; expected one of sigmoid"):
        load(tmp_path, "cpu")


def test_a_recordio_answer_holds_the_weights_under_their_name() -> None:
    columns = model().predict(Records(documents()), {})
    body = recordio.encode_columns(columns, None, None)
    assert body.count(b"topic_weights") == len(documents())

"""Scores and embeddings of a trained model, saved and loaded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.object2vec import model as module  # noqa: E402
from optml.algorithms.object2vec.model import Model, Request, load  # noqa: E402
from optml.algorithms.sequences.ragged import Sequences  # noqa: E402
from optml.errors import UserError  # noqa: E402
from tests.algorithms.object2vec.training import pairs, train  # noqa: E402


def request(count: int = 30) -> Request:
    records = pairs(count, seed=9)
    first, second = (Sequences.of([record[key] for record in records]) for key in ("in0", "in1"))
    return Request((first, second))


def trained(**changes: object) -> Model:
    model = train(pairs(), epochs=1, **changes)[0].model()
    assert model is not None
    return model


@pytest.mark.parametrize("network", ["pooled_embedding", "hcnn", "bilstm"])
@pytest.mark.parametrize("tied", [False, True])
def test_loaded_it_answers_as_it_did(tmp_path: Path, network: str, tied: bool) -> None:
    model = trained(enc0_network=network, tied_token_embedding_weight=tied, enc_dim=8)
    model.save(tmp_path)
    again = load(tmp_path, "cpu")
    scores = model.predict(request(), {})["scores"]
    np.testing.assert_array_equal(scores, again.predict(request(), {})["scores"])
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)
    for side in range(2):
        sides = request().sides
        alone = Request((sides[0], None) if side == 0 else (None, sides[1]))
        vectors = again.predict(alone, {})
        assert vectors["embeddings"].shape == (30, 6 if network == "pooled_embedding" else 8)
        assert list(vectors) == ["embeddings"]


def test_answers_do_not_depend_on_what_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained(enc0_network="bilstm", dropout=0.5)
    whole = model.predict(request(), {})["scores"]
    monkeypatch.setattr(module, "TOKENS", 20)
    np.testing.assert_allclose(model.predict(request(), {})["scores"], whole, rtol=1e-5, atol=1e-6)


def test_an_input_of_nothing_but_padding_is_the_zero_embedding() -> None:
    model = trained()
    found = model.embeddings(0, Sequences.of([[0, 0], [], [3]]))
    assert found[:2].tolist() == [[0] * 6] * 2
    assert found[2].any()


def test_a_regression_scores_one_number_a_pair() -> None:
    assert trained(output_layer="mean_squared_error").predict(request(), {})["scores"].shape == (30, 1)


def test_no_instances_are_no_scores() -> None:
    empty = Sequences.of([])
    assert len(trained().predict(Request((empty, empty)), {})["scores"]) == 0


def test_a_damaged_artifact_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no model of optml"):
        load(tmp_path, "cpu")
    trained().save(tmp_path)
    about = json.loads((tmp_path / "model.json").read_text())
    about["hyperparameters"]["mlp_dim"] = 6
    (tmp_path / "model.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match=r"mlp.0.weight is \(5, 24\); expected float32 of shape \(6, 24\)"):
        load(tmp_path, "cpu")

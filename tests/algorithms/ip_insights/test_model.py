from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from optml.algorithms.ip_insights.learner import Learner
from optml.algorithms.ip_insights.model import Model, load
from optml.algorithms.ip_insights.pairs import Pairs, scan
from optml.algorithms.kernels import pairs as pair_step
from optml.algorithms.kernels.pairs.terms import BITS
from optml.algorithms.kernels.pairs.view_cpu import prefix_rows_of
from optml.errors import UserError
from tests.algorithms.ip_insights.training import absorb, at_home, setting, training, validation


def trained(**given: Any) -> Model:
    chosen = setting(mini_batch_size=100, epochs=1, **given)
    state = Learner(chosen)
    absorb(state, training(at_home(200), chosen))
    list(state.evaluate("validation", validation(at_home(100, seed=1), chosen).epoch(0)))
    return state.finish()[0]


def some(n: int = 20) -> Pairs:
    return scan(at_home(n, seed=2), "x")[0]


@pytest.mark.parametrize(("layers", "prefixes"), [(0, True), (1, False), (1, True), (3, False)])
def test_answers_are_what_training_scores_and_the_definition(
    layers: int, prefixes: bool, tmp_path: Path
) -> None:
    trained(num_ip_encoder_layers=layers, _ip_prefix_tables=prefixes, vector_dim=5).save(tmp_path)
    model, pairs = load(tmp_path, "cpu"), some()
    columns = model.predict(pairs, {"verbose": "true"})
    assert list(columns) == ["dot_product", "ip_embedding", "entity_embedding"]
    products = (columns["ip_embedding"].astype(float) * columns["entity_embedding"]).sum(axis=1)
    np.testing.assert_allclose(columns["dot_product"], products, atol=1e-5)

    arrays = {name: array.astype(np.float64) for name, array in model.arrays.items()}
    dense = [arrays["encoder.bits"]]
    for layer in range(layers):
        dense += [arrays[f"encoder.{layer}.weight"], arrays[f"encoder.{layer}.bias"][None]]
    rows = prefix_rows_of(pairs.addresses) if prefixes else np.empty((len(pairs), 0), np.int32)
    scores, *_ = pair_step.reference(
        arrays["entity_table"],
        arrays.get("encoder.prefixes", np.empty((0, 5))),
        np.concatenate(dense),
        pairs.rows(50),
        pairs.addresses,
        rows,
        np.ones(len(pairs)),
    )
    assert len(np.concatenate(dense)) == BITS + layers * 6
    np.testing.assert_allclose(columns["dot_product"], scores, atol=1e-5)


def test_every_answer_has_its_own_place_and_an_unknown_entity_has_one_too() -> None:
    model, pairs = trained(), some()
    whole = model.predict(pairs, {})["dot_product"]
    assert whole.dtype == np.float32
    for at in (0, 7, 19):
        one = model.predict(Pairs(pairs.hashes[at : at + 1], pairs.addresses[at : at + 1]), {})
        np.testing.assert_allclose(one["dot_product"], whole[at], atol=1e-6)
    stranger = scan(b"nobody,1.2.3.4\n", "x")[0]
    assert np.isfinite(model.predict(stranger, {})["dot_product"]).all()


def test_whether_an_entity_was_seen_is_told_where_it_is_asked_for(tmp_path: Path) -> None:
    trained().save(tmp_path)
    model = load(tmp_path, "cpu")
    pairs = scan(b"user_3,1.2.3.4\nnobody,1.2.3.4\n", "x")[0]
    assert model.predict(pairs, {"verbose": "true", "seen": "true"})["entity_seen"].tolist() == [True, False]
    assert list(model.predict(pairs, {})) == ["dot_product"]


def test_an_artifact_tells_what_it_is(tmp_path: Path) -> None:
    model = trained(_ip_prefix_tables=True)
    model.save(tmp_path)
    told = json.loads((tmp_path / "model.json").read_text())
    assert told["algorithm"] == "ipinsights"
    assert told["facts"]["hash"] == "xxHash64 of the UTF-8 bytes, seed 0"
    assert told["facts"]["encoder"]["prefix_lengths"] == [4, 8, 12, 16, 20, 24]
    assert isinstance(told["facts"]["threshold"], float)
    assert told["hyperparameters"]["_ip_prefix_tables"] is True
    assert load(tmp_path, "cpu").facts == model.facts


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("entity_table", np.zeros((50, 7), np.float32), r"encoder.\S+ has shape \(\S*8,?\)"),
        ("entity_table", np.zeros(50, np.float32), "must be a matrix"),
        ("encoder.0.bias", np.zeros(8), "of float64; expected"),
        ("encoder.7.weight", np.zeros((8, 8), np.float32), "expected no such array"),
        ("seen", np.zeros(8, np.float32), "seen must be bytes"),
    ],
)
def test_a_damaged_artifact_is_refused(tmp_path: Path, name: str, array: np.ndarray, said: str) -> None:
    trained().save(tmp_path)
    path = tmp_path / "model.safetensors"
    save_file(load_file(path) | {name: array}, path)
    with pytest.raises(UserError, match=said):
        load(tmp_path, "cpu")


def test_another_way_of_hashing_is_refused(tmp_path: Path) -> None:
    trained().save(tmp_path)
    path = tmp_path / "model.json"
    told = json.loads(path.read_text())
    told["facts"]["hash"] = "CRC32"
    path.write_text(json.dumps(told))
    with pytest.raises(UserError, match="hashed by 'CRC32'"):
        load(tmp_path, "cpu")


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    trained().save(tmp_path)
    path = tmp_path / "model.safetensors"
    arrays = load_file(path)
    del arrays["encoder.0.bias"]
    save_file(arrays, path)
    with pytest.raises(UserError, match=r"lacks encoder\.0\.bias"):
        load(tmp_path, "cpu")

from __future__ import annotations

import json
import math
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy.sparse import csr_array

from optml.algorithms import artifact, mxnet_archive, registry
from optml.algorithms.factorization_machines import ALGORITHM
from optml.algorithms.factorization_machines.initial import Initial
from optml.algorithms.factorization_machines.model import Model, load
from optml.algorithms.kernels.factorized import reference
from optml.algorithms.ndarray import RowSparse
from optml.errors import UserError
from optml.formats.records import Features, Records
from tests.algorithms.factorization_machines.training import fit, learner, pairs_of_ids, plant
from tests.shared import SHARED, needs_shared

GOLDEN = "golden/aws_artifacts/factorization-machines-raghul"


def model(d: int = 12, k: int = 3, kind: str = "regressor", seed: int = 0) -> Model:
    rng = np.random.default_rng(seed)
    factors, weights = rng.normal(size=(d, k)).astype(np.float32), rng.normal(size=d).astype(np.float32)
    return Model(factors, weights, 0.25, predictor_type=kind, width=d)


def some(d: int = 12, n: int = 9) -> csr_array:
    rng = np.random.default_rng(1)
    return csr_array((rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.4)).astype(np.float32))


def expected(of: Model, features: csr_array) -> np.ndarray:
    rows = np.column_stack([of.factors, of.weights]).astype(np.float64)
    exact = features.toarray().astype(np.float64)
    return reference(rows, of.bias, exact, np.zeros(len(exact)), classifier=False)[0]


def answer(of: Model, features: Features) -> Mapping[str, np.ndarray]:
    return of.predict(Records(features), {})


def test_scores_are_the_definition_s_for_sparse_and_dense_rows() -> None:
    ours, features = model(), some()
    for form in (features, features.toarray()):
        answers = answer(ours, form)
        assert list(answers) == ["score"]
        assert answers["score"].dtype == np.float32
        np.testing.assert_allclose(answers["score"], expected(ours, features), rtol=1e-5, atol=1e-5)


def test_a_classifier_s_score_is_a_probability_and_one_half_is_label_one() -> None:
    ours, features = model(kind="binary_classifier"), some()
    answers = answer(ours, features)
    np.testing.assert_allclose(answers["score"], 1 / (1 + np.exp(-expected(ours, features))), rtol=1e-5)
    np.testing.assert_array_equal(answers["predicted_label"], answers["score"] >= 0.5)
    assert answers["predicted_label"].dtype.kind == "i"
    even = Model(ours.factors, ours.weights, 0.0, predictor_type="binary_classifier", width=12)
    assert {
        name: column.tolist() for name, column in answer(even, csr_array((1, 12), dtype=np.float32)).items()
    } == {
        "score": [0.5],
        "predicted_label": [1],
    }
    for bias, score in ((1e4, 1.0), (-1e4, 0.0)):  # exponentials that overflow
        far = Model(ours.factors, ours.weights, bias, predictor_type="binary_classifier", width=12)
        assert answer(far, np.zeros((1, 12), np.float32))["score"] == score


def test_a_row_without_keys_scores_the_bias() -> None:
    assert answer(model(), csr_array((3, 12), dtype=np.float32))["score"].tolist() == [0.25] * 3


@pytest.mark.parametrize("form", [csr_array, np.asarray])
def test_a_score_that_is_no_number_is_refused(form: Any) -> None:
    features = np.array([[0, 0, 1], [0, 1e30, 1e30]], np.float32)
    with pytest.raises(UserError, match="record 2 has values so large"):
        answer(model(3), form(features))


def test_another_width_is_refused() -> None:
    with pytest.raises(UserError, match="has 11 values, but the model was trained with 12 features"):
        answer(model(), some(11))


@pytest.mark.parametrize("kind", ["regressor", "binary_classifier"])
def test_a_saved_model_answers_the_same_by_our_file_and_by_aws_s(tmp_path: Path, kind: str) -> None:
    features, labels = some(12, 40), np.arange(40) % 2.0
    model = fit(features, labels, predictor_type=kind, factors_init_sigma=0.5)
    model.save(tmp_path)
    arrays = load_file(tmp_path / artifact.ARRAYS)
    shapes = {name: array.shape for name, array in arrays.items()}
    assert shapes == {"v": (12, 4), "w1_weight": (12, 1), "w0_weight": (1,)}
    ours = load(tmp_path, "cpu")
    (tmp_path / artifact.DESCRIPTION).unlink()
    theirs = load(tmp_path, "cpu")
    for again in (ours, theirs):
        for name, column in answer(model, features).items():
            np.testing.assert_array_equal(answer(again, features)[name], column)
    assert registry.recognise(tmp_path) == "factorization-machines"
    meta = mxnet_archive.read(tmp_path / "model_algo-1").documents["meta.json"]
    assert meta["training_parameters"]["predictor_type"] == kind
    assert meta["training_parameters"]["factors_init_sigma"] == "0.5"


def test_rows_of_a_huge_width_are_kept_with_the_seed_of_the_others(tmp_path: Path) -> None:
    width = 10**8
    indices = np.array([5, 10**7, 99_999_999, 5, 77], np.int32)
    features = csr_array((np.ones(5, np.float32), indices, np.array([0, 3, 5])), shape=(2, width))
    state = learner(width, seed=9, factors_init_sigma=0.5)
    state.update(Records(features, np.ones((2, 1))))
    model = state.finish()[0]
    model.save(tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 20_000
    ours = load(tmp_path, "cpu")
    unseen = csr_array((np.ones(2, np.float32), np.array([5, 6]), np.array([0, 2])), shape=(1, width))
    for rows in (features, unseen):
        np.testing.assert_array_equal(answer(ours, rows)["score"], answer(model, rows)["score"])
    settings = ALGORITHM.hyperparameters(
        feature_dim=width, num_factors=4, predictor_type="regressor", factors_init_sigma=0.5
    )
    six = Initial(settings, 9).rows(np.array([6]))[0]
    five = np.flatnonzero(model.ids == 5)[0]  # type: ignore[arg-type]
    by_hand = model.bias + model.weights[five] + six[-1] + model.factors[five] @ six[:-1]
    assert answer(ours, unseen)["score"][0] == pytest.approx(by_hand, rel=1e-5)
    (tmp_path / artifact.DESCRIPTION).unlink()  # AWS's file knows nothing of features that never occurred
    theirs = load(tmp_path, "cpu")
    np.testing.assert_array_equal(answer(theirs, features)["score"], answer(ours, features)["score"])
    alone = model.bias + model.weights[five]
    assert answer(theirs, unseen)["score"][0] == pytest.approx(alone, rel=1e-5)


def write_archive(path: Path, kind: str | None = "regressor", **arrays: Any) -> Path:
    path.mkdir(exist_ok=True)
    documents = {} if kind is None else {"meta.json": {"training_parameters": {"predictor_type": kind}}}
    mxnet_archive.write(path / "model_algo-1", "params", arrays, documents)
    return path


def test_a_dense_network_of_aws_s_is_read(tmp_path: Path) -> None:
    ours = model(kind="binary_classifier")
    write_archive(
        tmp_path,
        "binary_classifier",
        v=np.ascontiguousarray(ours.factors.T),
        Linear_Plus_Bias_weight=ours.weights[None],
        Linear_Plus_Bias_bias=np.array([0.25], np.float32),
    )
    read = load(tmp_path, "cpu")
    np.testing.assert_array_equal(answer(read, some())["score"], answer(ours, some())["score"])


def test_a_network_tells_its_kind_where_meta_json_is_missing(tmp_path: Path) -> None:
    ours = model(kind="binary_classifier")
    ours.save(tmp_path / "ours")
    archive = mxnet_archive.read(tmp_path / "ours" / "model_algo-1")
    graph = {"symbol.json": archive.documents["symbol.json"]}
    mxnet_archive.write(tmp_path / "model_algo-1", "params", archive.arrays, graph)
    assert load(tmp_path, "cpu").predictor_type == "binary_classifier"


V, W, B = np.ones((3, 2), np.float32), np.ones((3, 1), np.float32), np.ones(1, np.float32)


@pytest.mark.parametrize(
    ("kind", "arrays", "message"),
    [
        ("regressor", {"w1_weight": W}, "no factors 'v'; its arrays: w1_weight"),
        ("regressor", {"v": B, "w1_weight": W}, "must be a matrix"),
        ("regressor", {"v": V, "w1_weight": np.ones((4, 1), np.float32)}, r"must be \(3, 1\)"),
        ("regressor", {"v": V * np.nan, "w1_weight": W}, "v must hold finite floats"),
        ("regressor", {"v": V, "w1_weight": W, "w0_weight": np.ones(2, np.float32)}, "expected one number"),
        (None, {"v": V, "w1_weight": W, "w0_weight": B}, "does not tell whether"),
    ],
)
def test_what_is_wrong_with_an_archive_is_said(
    tmp_path: Path, kind: str | None, arrays: dict[str, np.ndarray], message: str
) -> None:
    write_archive(tmp_path, kind, **arrays)
    with pytest.raises(UserError, match=message):
        load(tmp_path, "cpu")
    assert not ALGORITHM.inference.recognises(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"predictor_type": "ranker"}, "need predictor_type and feature_dim, found ranker and 12"),
        ({"feature_dim": 13}, "holds 12 features, but feature_dim is 13"),
        ({"num_factors": 5}, "holds 4 factors, but num_factors is 5"),
    ],
)
def test_what_is_wrong_with_our_own_files_is_said(
    tmp_path: Path, damage: dict[str, Any], message: str
) -> None:
    fit(some(12, 20), np.ones(20)).save(tmp_path)
    path = tmp_path / artifact.DESCRIPTION
    description = json.loads(path.read_text())
    description["hyperparameters"] |= damage
    path.write_text(json.dumps(description))
    with pytest.raises(UserError, match=message):
        load(tmp_path, "cpu")


@pytest.mark.parametrize("seed", [np.empty(0, np.uint64), np.array([math.nan])])
def test_a_seed_that_is_no_number_is_said(tmp_path: Path, seed: np.ndarray) -> None:
    hyperparameters = {"predictor_type": "regressor", "feature_dim": 9, "num_factors": 2}
    arrays = {"v": V, "w1_weight": W, "w0_weight": B, "ids": np.arange(3), "seed": seed}
    artifact.write(tmp_path, ALGORITHM.slug, arrays, hyperparameters)
    with pytest.raises(UserError, match="seed must be one integer"):
        load(tmp_path, "cpu")


@pytest.mark.parametrize("kind", [[], {}, 3])
def test_training_parameters_of_another_kind_do_not_tell_either(tmp_path: Path, kind: object) -> None:
    arrays = {"v": V, "w1_weight": W, "w0_weight": B}
    meta = {"training_parameters": {"predictor_type": kind}}
    mxnet_archive.write(tmp_path / "model_algo-1", "params", arrays, {"meta.json": meta})
    with pytest.raises(UserError, match="does not tell whether"):
        load(tmp_path, "cpu")


def test_a_huge_width_without_weights_allocates_none(tmp_path: Path) -> None:
    v = RowSparse(V[:2], np.array([0, 2]), (10**15, 2))
    assert load(write_archive(tmp_path, v=v, w0_weight=B), "cpu").weights.tolist() == [0, 0]


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected model\.json .* found nothing"):
        load(tmp_path, "cpu")
    assert not ALGORITHM.inference.recognises(tmp_path)


@needs_shared(GOLDEN)
def test_a_model_of_aws_s_gives_the_scores_that_were_computed_from_it(tmp_path: Path) -> None:
    with tarfile.open(SHARED / GOLDEN / "model.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    assert registry.recognise(tmp_path) == "factorization-machines"
    ours = load(tmp_path, "cpu")
    assert (ours.width, ours.factors.shape, ours.predictor_type) == (2625, (2625, 64), "regressor")
    assert ours.bias == pytest.approx(3.439924, abs=1e-6)
    records = json.loads((SHARED / GOLDEN / "expected.json").read_text())["computed_by_independent_numpy"]
    keys = np.array([row["keys"] for row in records])
    features = pairs_of_ids(keys[:, 0], keys[:, 1] - 943, 943, 1682)
    scores = [row["score"] for row in records]
    np.testing.assert_allclose(answer(ours, features)["score"], scores, rtol=2e-7)  # float32
    ours.save(tmp_path / "again")
    (tmp_path / "again" / artifact.DESCRIPTION).unlink()
    np.testing.assert_array_equal(
        answer(load(tmp_path / "again", "cpu"), features)["score"], answer(ours, features)["score"]
    )
    with (
        zipfile.ZipFile(tmp_path / "model_algo-1") as theirs,
        zipfile.ZipFile(tmp_path / "again/model_algo-1") as own,
    ):
        nodes = [
            [(node["op"], node["inputs"]) for node in json.loads(z.read("symbol.json"))["nodes"]]
            for z in (theirs, own)
        ]
        assert nodes[0] == nodes[1]
        assert theirs.read("params") == own.read("params")


def test_row_sparse_factors_of_some_rows_leave_the_others_zero(tmp_path: Path) -> None:
    v = RowSparse(V[:2], np.array([0, 2]), (4, 2))
    w = RowSparse(W[:1], np.array([2]), (4, 1))
    read = load(write_archive(tmp_path, v=v, w1_weight=w, w0_weight=B), "cpu")
    assert answer(read, np.ones((1, 4), np.float32))["score"].tolist() == [1 + 1 + 2]


def test_nearest_items_by_inner_product_are_the_items_that_score_best() -> None:
    """The chain of AWS's blog: items are concat(v, w), users concat(v, 1); users' own terms are constant."""
    users, items = 60, 80
    features, labels = plant(20_000, users, items)
    model = fit(features, labels, factors_lr=0.01, linear_lr=0.01, epochs=5, num_factors=8)
    vectors = np.column_stack([model.factors, model.weights])[users:]
    for user in np.random.default_rng(0).integers(0, users, 10):
        query = np.append(model.factors[user], 1)
        nearest = np.argsort(-(vectors @ query), kind="stable")[:10]
        pairs = pairs_of_ids(np.full(items, user), np.arange(items), users, items)
        best = np.argsort(-answer(model, pairs)["score"], kind="stable")[:10]
        assert nearest.tolist() == best.tolist()

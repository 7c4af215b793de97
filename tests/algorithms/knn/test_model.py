from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from optml.algorithms.knn.flat import Flat
from optml.algorithms.knn.model import Model, load, recognises
from optml.algorithms.knn.settings import ModelSettings
from optml.errors import UserError
from optml.formats.records import Columns, Origin, Records
from tests.algorithms.knn.training import blobs, fit

LINE = np.array([[0], [1], [2], [5], [6]], np.float32)  # five points on a line
LABELS = np.array([3, 3, 8, 8, 8], np.float32)


def line(k: int, predictor: str = "classifier", **settings: object) -> Model:
    return Model(Flat(LINE, inner=False), LABELS, replace(ModelSettings(k, predictor), **settings))  # type: ignore[arg-type]


def ask(model: Model, *numbers: float, **options: str) -> Columns:
    return model.predict(Records(np.array(numbers, np.float32)[:, None]), options)


def test_a_classifier_answers_with_the_most_frequent_label() -> None:
    assert ask(line(3), 0.4, 4.0)["predicted_label"].tolist() == [3, 8]


def test_a_regressor_answers_with_the_mean() -> None:
    assert ask(line(4, "regressor"), 0)["predicted_label"].tolist() == [(3 + 3 + 8 + 8) / 4]


def test_ties_are_the_nearest_classs() -> None:
    assert ask(line(4), 0.4, 3.0)["predicted_label"].tolist() == [3, 8]


def test_verbose_answers_hold_squared_distances_and_labels_nearest_first() -> None:
    columns = ask(line(3), 2.75, verbose="true")
    assert list(columns) == ["predicted_label", "distances", "labels"]
    assert columns["distances"].tolist() == [[0.5625, 3.0625, 5.0625]]
    assert columns["labels"].tolist() == [[8, 3, 8]]


def test_distances_may_be_asked_for_as_they_are() -> None:
    assert ask(line(2, distance_sqrt=True), 2.75, verbose="true")["distances"].tolist() == [[0.75, 1.75]]


def test_indices_and_scores_are_given_on_request() -> None:
    columns = ask(line(3), 2.75, indices="true", scores="true")
    assert columns["indices"].tolist() == [[2, 1, 3]]
    assert [row.compressed().tolist() for row in columns["classes"]] == [[8, 3]]
    assert columns["scores"][0].compressed().tolist() == pytest.approx([2 / 3, 1 / 3])
    with pytest.raises(UserError, match="this model is a regressor"):
        ask(line(3, "regressor"), 2.5, scores="true")


def test_fewer_points_than_k_are_all_asked() -> None:
    assert ask(line(50), 0, verbose="true")["labels"].shape == (1, 5)


def test_products_are_best_first_and_cosines_ascend() -> None:
    rows, labels = blobs(300)
    query = Records(rows[:4])
    products = fit(rows, labels, index_metric="INNER_PRODUCT").predict(query, {"verbose": "true"})[
        "distances"
    ]
    assert (np.diff(products) <= 0).all()
    cosine = fit(rows, labels, index_metric="COSINE")
    assert cosine.settings.normalize
    columns = cosine.predict(query, {"verbose": "true", "indices": "true"})
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    expected = 1 - unit[:4] @ unit.T
    np.testing.assert_allclose(columns["distances"], np.sort(expected, axis=1)[:, :3], atol=1e-6)
    assert columns["indices"][:, 0].tolist() == [0, 1, 2, 3]
    zero = cosine.predict(Records(np.zeros((1, 6), np.float32)), {"verbose": "true"})
    assert zero["distances"].tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("kind", ["faiss.Flat", "faiss.IVFFlat", "faiss.IVFPQ"])
@pytest.mark.parametrize("reduction", [None, "sign", "fjlt"])
def test_a_saved_model_answers_as_before(tmp_path: Path, kind: str, reduction: str | None) -> None:
    rows, labels = blobs(600, width=10)
    hyperparameters = (
        {"dimension_reduction_type": reduction, "dimension_reduction_target": 6} if reduction else {}
    )
    model = fit(rows, labels, index_type=kind, seed=3, faiss_index_pq_m=4, **hyperparameters)
    model.save(tmp_path)
    again = load(tmp_path, "cpu")
    options = {"verbose": "true", "indices": "true"}
    ours, theirs = (m.predict(Records(rows[:20]), options) for m in (model, again))
    for name, column in ours.items():
        np.testing.assert_array_equal(theirs[name], column)
    assert again.hyperparameters["index_type"] == kind
    assert recognises(tmp_path)
    width = (8 if kind == "faiss.IVFPQ" else 6) if reduction else 12 if kind == "faiss.IVFPQ" else 10
    assert again.index.width == width
    assert np.fromfile(tmp_path / "model_algo-1.labels", "<f4").tolist() == labels.tolist()


def test_an_artifact_of_aws_is_served(tmp_path: Path) -> None:
    line(3).save(tmp_path)
    for name in ("model.json", "model.safetensors"):
        (tmp_path / name).unlink()
    content = {"k": 2, "predictor_type": "classifier", "dimension_reduction": None, "normalize": False}
    (tmp_path / "model_algo-1.json").write_text(json.dumps(content))
    assert recognises(tmp_path)
    model = load(tmp_path, "cpu")
    assert model.width == 1
    assert ask(model, 4.9, verbose="true")["labels"].tolist() == [[8, 8]]


def test_edits_of_k_and_predictor_type_change_the_answers(tmp_path: Path) -> None:
    line(5).save(tmp_path)
    path = tmp_path / "model_algo-1.json"
    assert ask(load(tmp_path, "cpu"), 0)["predicted_label"].tolist() == [8]
    path.write_text(path.read_text().replace('"k": 5', '"k": 2'))
    assert ask(load(tmp_path, "cpu"), 0)["predicted_label"].tolist() == [3]
    path.write_text(path.read_text().replace("classifier", "regressor").replace('"k": 2', '"k": 3'))
    assert ask(load(tmp_path, "cpu"), 0)["predicted_label"].tolist() == [pytest.approx(14 / 3)]


@pytest.mark.parametrize("missing", ["model_algo-1", "model_algo-1.labels", "model_algo-1.json"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    line(3).save(tmp_path)
    (tmp_path / missing).unlink()
    assert not recognises(tmp_path)
    with pytest.raises(UserError, match=rf"{missing} is missing: a model of knn is the files"):
        load(tmp_path, "cpu")


def test_labels_of_another_number_are_refused(tmp_path: Path) -> None:
    line(3).save(tmp_path)
    (tmp_path / "model_algo-1.labels").write_bytes(bytes(16))
    with pytest.raises(UserError, match="holds 4 labels, but the index 5 points"):
        load(tmp_path, "cpu")


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    line(3).save(tmp_path)
    labels, index = tmp_path / "model_algo-1.labels", tmp_path / "model_algo-1"
    sound = labels.read_bytes()
    labels.write_bytes(sound[:8] + b"\0\0\xc0\x7f" + sound[12:])
    with pytest.raises(UserError, match="label 2 is no number"):
        load(tmp_path, "cpu")
    labels.write_bytes(sound)
    index.write_bytes(index.read_bytes()[:-4] + b"\0\0\x80\x7f")
    with pytest.raises(UserError, match="model_algo-1 is damaged: it holds numbers that are not finite"):
        load(tmp_path, "cpu")


def test_a_list_that_names_a_vector_beyond_the_last_is_refused(tmp_path: Path) -> None:
    rows, labels = blobs(600)
    fit(rows, labels, index_type="faiss.IVFFlat").save(tmp_path)
    path = tmp_path / "model_algo-1"
    content = path.read_bytes()
    assert content.count((599).to_bytes(8, "little")) == 1
    path.write_bytes(content.replace((599).to_bytes(8, "little"), (600).to_bytes(8, "little")))
    with pytest.raises(UserError, match="names a vector beyond the 600 of it"):
        load(tmp_path, "cpu")


def test_cosines_of_aws_are_told_by_normalize(tmp_path: Path) -> None:
    rows, labels = blobs(50)
    ours = fit(rows, labels, index_metric="COSINE")
    ours.save(tmp_path)
    (tmp_path / "model.json").unlink()
    content = {"k": 3, "predictor_type": "classifier", "dimension_reduction": None, "normalize": True}
    (tmp_path / "model_algo-1.json").write_text(json.dumps(content))
    theirs = load(tmp_path, "cpu")
    distances = [m.predict(Records(rows), {"verbose": "true"})["distances"] for m in (ours, theirs)]
    np.testing.assert_array_equal(*distances)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"index_metric": null', '"index_metric": "COSINE"', "is an index of L2 distances"),
        ('"index_metric": null', '"index_metric": "L2", "normalize": true', "'normalize' do not fit"),
        ('"pad_dim": null', '"pad_dim": 4', "but the points of model_algo-1 have 1"),
        ('"feature_dim": null', '"feature_dim": 4', "4 dimensions, but the points of model_algo-1 have 1"),
    ],
)
def test_settings_that_do_not_fit_the_index_are_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    line(3).save(tmp_path)
    path = tmp_path / "model_algo-1.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        load(tmp_path, "cpu")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, r"record 2 of the request holds NaN"),
        (1e16, r"record 2 of the request holds 1e\+16 in feature 1"),
    ],
)
def test_queries_that_cannot_be_compared_are_named(value: float, message: str) -> None:
    rows = np.array([[0], [value]], np.float32)
    with pytest.raises(UserError, match=message):
        line(3).predict(Records(rows, origins=((0, Origin("the request")),)), {})


def test_another_width_is_refused() -> None:
    with pytest.raises(UserError, match="has 3 values, but the model was trained with 1 features"):
        line(3).predict(Records(np.zeros((2, 3), np.float32)), {})

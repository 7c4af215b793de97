from __future__ import annotations

import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from optml.algorithms import artifact, mxnet_archive
from optml.algorithms.linear_learner.aws import ADDITIONAL, PARAMS, SYMBOL
from optml.algorithms.linear_learner.model import Model, answers_of, load, recognises
from optml.errors import UserError
from optml.formats.records import Origin, Records
from tests.shared import SHARED, needs_shared

GOLDEN = "golden/aws_artifacts/linear-learner-aws-adult"
LOSSES = {
    "binary_classifier": "logistic",
    "multiclass_classifier": "softmax_loss",
    "regressor": "squared_loss",
}


def model(kind: str = "binary_classifier", width: int = 3, **options: Any) -> Model:
    rng = np.random.default_rng(0)
    outputs = 5 if kind == "multiclass_classifier" else 1
    options = {"loss": LOSSES[kind]} | options
    return Model(rng.normal(size=(outputs, width)), rng.normal(size=outputs), predictor_type=kind, **options)


def records(rows: Any) -> Records:
    return Records(np.array(rows, np.float32), origins=((0, Origin("the request")),))


@pytest.fixture
def adult(tmp_path: Path) -> Path:
    """The folder of a model that AWS's image trained."""
    with tarfile.open(SHARED / GOLDEN / "model.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


@needs_shared(GOLDEN)
def test_a_model_of_aws_gives_the_scores_that_aws_answered(adult: Path) -> None:
    assert recognises(adult)
    instances = json.loads((SHARED / GOLDEN / "expected.json").read_text())["request"]["instances"]
    rows = records([instance["features"] for instance in instances])
    answer = load(adult, "cpu").predict(rows, {})
    assert [float(score) for score in answer["score"]] == [0.9899773597717285, 0.5041388273239136]
    assert answer["predicted_label"].tolist() == [1, 1]
    assert answer["score"].dtype == np.float32


@needs_shared(GOLDEN)
def test_a_model_of_aws_is_written_as_aws_wrote_it(adult: Path, tmp_path: Path) -> None:
    load(adult, "cpu").save(tmp_path / "again")
    theirs, ours = (mxnet_archive.read(folder / "model_algo-1") for folder in (adult, tmp_path / "again"))
    assert ours.documents[ADDITIONAL] == theirs.documents[ADDITIONAL]
    assert ours.documents["manifest.json"] == theirs.documents["manifest.json"]
    for name, array in theirs.arrays.items():
        np.testing.assert_array_equal(ours.arrays[name], array)
    documents = [
        json.loads(json.dumps(document[SYMBOL]).replace("39", "0"))  # the number of a node
        for document in (theirs.documents, ours.documents)
    ]
    assert documents[0] == documents[1]


@pytest.mark.parametrize("kind", LOSSES)
def test_what_is_saved_is_loaded_by_us_and_in_the_form_of_aws(tmp_path: Path, kind: str) -> None:
    original = model(
        kind,
        threshold=0.25,
        hyperparameters={"f_beta": 2.0},
        choices={"learning_rate": 0.1},
        mean=np.ones(3),
        stdev=np.full(3, 2.0),
        metrics={"sampled_accuracy": 0.9},
    )
    original.save(tmp_path)
    ours = load(tmp_path, "cpu")
    assert (ours.hyperparameters, ours.choices, ours.metrics) == (
        original.hyperparameters,
        original.choices,
        original.metrics,
    )
    assert ours.mean is not None
    assert ours.stdev is not None
    assert (ours.mean.tolist(), ours.stdev.tolist()) == ([1, 1, 1], [2, 2, 2])
    (tmp_path / artifact.DESCRIPTION).unlink()
    assert recognises(tmp_path)
    rows = records(np.random.default_rng(1).normal(size=(9, 3)))
    for copy in (ours, load(tmp_path, "cpu")):
        assert (copy.predictor_type, copy.loss) == (kind, LOSSES[kind])
        for name, column in original.predict(rows, {}).items():
            np.testing.assert_array_equal(copy.predict(rows, {})[name], column)


def test_the_parameters_of_the_metrics_are_those_of_the_loss(tmp_path: Path) -> None:
    hyperparameters = {"quantile": 0.9, "huber_delta": 2.0, "loss_insensitivity": 0.1, "f_beta": 2.0}
    for loss in ("quantile_loss", "eps_insensitive_squared_loss"):
        model("regressor", loss=loss, hyperparameters=hyperparameters).save(tmp_path)
        document = mxnet_archive.read(tmp_path / "model_algo-1").documents[ADDITIONAL]
        quantile = loss == "quantile_loss"
        assert (document["loss_type"], document["threshold"]) == (loss, None)
        assert document["metrics_params"] == {
            "quantile": 0.9 if quantile else None,
            "huber_delta": None,
            "margin": None,
            "loss_insensitivity": None if quantile else 0.1,
            "eps_insensitive_loss_type": None if quantile else "squared_loss",
            "accuracy_top_k": 3,
            "f_beta": 2.0,
            "positive_example_weight_mult": 1.0,
            "class_weights": None,
            "threshold": None,
        }


@pytest.mark.parametrize("kind", LOSSES)
def test_an_answer_does_not_depend_on_the_rest_of_the_batch(kind: str) -> None:
    served_by = model(kind, width=700)
    rows = np.random.default_rng(1).normal(size=(150, 700)).astype(np.float32)
    for features in (rows, csr_array(rows * (rows > 1))):
        whole = served_by.predict(Records(features), {})
        for start, stop in ((0, 1), (5, 6), (31, 34), (3, 140)):
            part = served_by.predict(Records(features[start:stop]), {})
            for name, column in part.items():
                np.testing.assert_array_equal(column, whole[name][start:stop])


def test_sparse_rows_score_as_dense_ones_do() -> None:
    rows = np.random.default_rng(1).normal(size=(40, 30)).astype(np.float32)
    rows[rows < 1] = 0
    for kind in LOSSES:
        dense, sparse = (model(kind, 30).predict(Records(form), {}) for form in (rows, csr_array(rows)))
        np.testing.assert_allclose(
            sparse["score"], dense["score"], rtol=1e-5, atol=1e-6
        )  # of 30 float32 sums


def test_columns_are_those_of_the_predictor() -> None:
    rows = records([[1, 2, 3], [0, 0, 0]])
    assert {
        name: (column.shape, column.dtype.kind) for name, column in model().predict(rows, {}).items()
    } == {
        "score": ((2,), "f"),
        "predicted_label": ((2,), "i"),
    }
    multiclass = model("multiclass_classifier").predict(rows, {})
    assert multiclass["score"].shape == (2, 5)
    np.testing.assert_allclose(multiclass["score"].sum(axis=1), 1, rtol=1e-6)
    assert multiclass["predicted_label"].tolist() == multiclass["score"].argmax(axis=1).tolist()
    assert list(model("regressor").predict(rows, {})) == ["score"]


def test_hinge_serves_the_raw_score() -> None:
    hinge = Model(np.array([[2.0]]), np.array([1.0]), predictor_type="binary_classifier", loss="hinge_loss")
    answer = hinge.predict(records([[-3], [0], [-0.25]]), {})
    assert answer["score"].tolist() == [-5, 1, 0.5]
    assert answer["predicted_label"].tolist() == [0, 1, 0]  # 0.5 is not above the threshold


@pytest.mark.filterwarnings("error")
def test_large_scores_are_certain_and_no_warnings() -> None:
    assert answers_of(np.array([-1e4, 1e4], np.float32), "logistic").tolist() == [0, 1]
    assert answers_of(np.array([[-1e4, 1e4]], np.float32), "softmax_loss").tolist() == [[0, 1]]


def test_the_width_of_a_request_is_checked() -> None:
    for features in (np.ones((1, 2), np.float32), csr_array(np.ones((1, 2), np.float32))):
        with pytest.raises(UserError, match=r"record 1 of the request has 2 values, but .* 3 features"):
            model().predict(Records(features, origins=((0, Origin("the request")),)), {})


def test_no_rows_give_empty_columns() -> None:
    for kind in LOSSES:
        answer = model(kind).predict(Records(np.empty((0, 3), np.float32)), {})
        assert [len(column) for column in answer.values()] == [0] * len(answer)


def rewrite(folder: Path, **changes: Any) -> None:
    """An archive of AWS's, with other arrays or another additional-params.json."""
    model().save(folder)
    (folder / artifact.DESCRIPTION).unlink()
    archive = mxnet_archive.read(folder / "model_algo-1")
    arrays = archive.arrays | {name: array for name, array in changes.items() if name in archive.arrays}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    additional = archive.documents[ADDITIONAL] | {
        name: value for name, value in changes.items() if name not in archive.arrays
    }
    documents = archive.documents | {ADDITIONAL: additional}
    mxnet_archive.write(folder / "model_algo-1", PARAMS, arrays, documents)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"fc0_weight": None}, "expected a dense matrix fc0_weight"),
        ({"fc0_weight": np.ones(3, np.float32)}, "expected a dense matrix fc0_weight"),
        ({"fc0_bias": np.ones((1, 2), np.float32)}, "fc0_weight has 1 outputs, but fc0_bias is of shape"),
        ({"fc0_weight": np.full((3, 1), np.nan, np.float32)}, "the weight of the model is not finite"),
        ({"predictor_type": "clusterer"}, "predictor_type is 'clusterer', expected one of binary_classifier"),
        ({"loss_type": "squared_loss"}, "the loss 'squared_loss' is not one of a binary_classifier"),
        ({"predictor_type": "multiclass_classifier", "loss_type": "softmax_loss"}, "1 outputs of 3 features"),
    ],
)
def test_a_damaged_model_of_aws_says_what_is_wrong(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    rewrite(tmp_path, **changes)
    with pytest.raises(UserError, match="model_algo-1") as error:
        load(tmp_path, "cpu")
    assert sentence in str(error.value)


def test_a_model_of_aws_without_bias_has_none(tmp_path: Path) -> None:
    rewrite(tmp_path, fc0_bias=None)
    assert load(tmp_path, "cpu").bias.tolist() == [0]


@pytest.mark.parametrize("kind", list(LOSSES))
def test_a_row_whose_score_is_beyond_float32_is_named(kind: str) -> None:
    weight = np.array([[1e30, -1e30]] * (3 if kind == "multiclass_classifier" else 1))
    large = Model(weight, np.zeros(len(weight)), predictor_type=kind, loss=LOSSES[kind])
    with pytest.raises(UserError, match="record 2 of the request has values too large"):
        large.predict(records([[1, 1], [1e20, 1e19]] if kind == "regressor" else [[1, 1], [1e20, 1e20]]), {})


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"predictor_type": "ranker"}, "predictor_type is 'ranker'"),
        ({"loss": None}, "the loss 'None' is not one of"),
        ({"threshold": "high"}, "threshold is no number: 'high'"),
        ({"threshold": float("nan")}, "the threshold of the model is not finite"),
        ({"metrics": 3}, "chosen and metrics must be objects"),
        ({"chosen": [1, 2]}, "chosen and metrics must be objects"),
    ],
)
def test_a_damaged_model_of_ours_says_what_is_wrong(
    tmp_path: Path, facts: dict[str, Any], sentence: str
) -> None:
    model().save(tmp_path)
    path = tmp_path / artifact.DESCRIPTION
    description = json.loads(path.read_text())
    description["facts"] |= facts
    path.write_text(json.dumps(description))
    with pytest.raises(UserError) as error:
        load(tmp_path, "cpu")
    assert sentence in str(error.value)


def test_arrays_that_do_not_fit_are_named(tmp_path: Path) -> None:
    artifact.write(tmp_path, "linear-learner", {"weight": np.ones((1, 3)), "bias": np.ones(2)})
    with pytest.raises(UserError, match=r"found \(1, 3\) and \(2,\)"):
        load(tmp_path, "cpu")


def test_other_archives_are_not_recognised(tmp_path: Path) -> None:
    assert not recognises(tmp_path)
    with zipfile.ZipFile(tmp_path / "model_algo-1", "w") as archive:
        archive.writestr("meta.json", "{}")
    assert not recognises(tmp_path)
    with pytest.raises(UserError, match="holds 0 lists of parameters"):
        load(tmp_path, "cpu")


def test_a_folder_without_a_model_is_named_with_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").touch()
    with pytest.raises(UserError, match=r"or the ZIP archive model_algo-1; found model.pkl"):
        load(tmp_path, "cpu")
    with pytest.raises(UserError, match="found nothing"):
        load(tmp_path / "missing", "cpu")

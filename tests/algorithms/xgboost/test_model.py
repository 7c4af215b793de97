from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xgboost
from scipy.sparse import csr_array

from optml.algorithms import registry
from optml.algorithms.answers import Answer
from optml.algorithms.xgboost.answer import encode
from optml.algorithms.xgboost.model import Model, load
from optml.algorithms.xgboost.selection import KEYS, keys_of, select
from optml.errors import PlatformError, UserError
from optml.formats.records import Records
from tests.algorithms.xgboost.runs import CLASSES, FEATURES, NUMBERS, POSITIVE, both, train

ROWS = Records(FEATURES[:7])


def save_model(folder: Path, labels: np.ndarray = NUMBERS, **hyperparameters: object) -> Model:
    model: Model = train(both(labels), folder, num_round=3, **hyperparameters).model
    model.save(folder / "model")
    return model


def test_what_is_saved_is_the_librarys_own_file_alone(tmp_path: Path) -> None:
    model = save_model(tmp_path)
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["xgboost-model"]
    booster = xgboost.Booster()
    booster.load_model(bytearray((tmp_path / "model/xgboost-model").read_bytes()))
    np.testing.assert_array_equal(booster.inplace_predict(FEATURES[:7]), model.predict(ROWS, {})["score"])
    assert registry.recognise(tmp_path / "model") == "xgboost"


def test_json_and_other_names_are_recognised_and_read(tmp_path: Path) -> None:
    model = save_model(tmp_path)
    folder = tmp_path / "json"
    folder.mkdir()
    (folder / "booster.json").write_bytes(bytes(model.members[0].booster.save_raw("json")))  # type: ignore[attr-defined]
    (folder / ".hidden").write_bytes(b"x")
    (folder / "notes.txt").write_text("{}")
    assert registry.recognise(folder) == "xgboost"
    np.testing.assert_array_equal(
        load(folder, "cpu").predict(ROWS, {})["score"], model.predict(ROWS, {})["score"]
    )


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    assert registry.recognise(tmp_path) is None
    with pytest.raises(UserError, match="holds no XGBoost model; expected xgboost-model, found a"):
        load(tmp_path, "cpu")


def test_sparse_rows_are_answered_as_dense_ones(tmp_path: Path) -> None:
    model = save_model(tmp_path)
    np.testing.assert_array_equal(
        model.predict(Records(csr_array(FEATURES[:7])), {})["score"], model.predict(ROWS, {})["score"]
    )
    narrow = csr_array(FEATURES[:7, :3])
    holes = FEATURES[:7].copy()
    holes[:, 3:] = np.nan
    np.testing.assert_array_equal(
        model.predict(Records(narrow), {})["score"], model.predict(Records(holes), {})["score"]
    )


def test_few_rows_are_answered_as_many(tmp_path: Path) -> None:
    model = save_model(tmp_path)
    whole = model.predict(Records(FEATURES), {})["score"]
    np.testing.assert_array_equal(model.predict(ROWS, {})["score"], whole[:7])


def test_an_ensemble_answers_with_the_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model: Model = train(both(), tmp_path, num_round=3, _kfold=3).model
    model.save(tmp_path)
    mean = np.mean([member.predict(FEATURES) for member in model.members], axis=0)
    scores = load(tmp_path, "cpu").predict(Records(FEATURES), {})["score"]
    np.testing.assert_allclose(scores, mean, rtol=1e-6)
    monkeypatch.setenv("SAGEMAKER_INFERENCE_ENSEMBLE", "false")
    first = load(tmp_path, "cpu").predict(Records(FEATURES), {})["score"]
    np.testing.assert_array_equal(first, model.members[0].predict(FEATURES))


class Says:
    """A predictor that always gives the same answers."""

    def __init__(self, answers: list[float], objective: str) -> None:
        self.answers, self.objective, self.width, self.num_class = answers, objective, 1, 3

    def predict(self, features: object) -> np.ndarray:
        return np.array(self.answers, np.float32)


def test_an_ensemble_of_classes_votes_row_by_row() -> None:
    members = [Says(labels, "multi:softmax") for labels in ([2, 0, 1], [2, 1, 0], [1, 1, 2])]
    answer = Model(members).predict(Records(np.zeros((3, 1), np.float32)), {})["score"]
    assert answer.tolist() == [2, 1, 0]  # of equals the smallest


def test_models_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    save_model(tmp_path).save(tmp_path / "both")
    other = save_model(tmp_path / "other", POSITIVE, objective="binary:logistic")
    (tmp_path / "both/xgboost-model-1").write_bytes(bytes(other.members[0].booster.save_raw("ubj")))  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="cannot answer together"):
        load(tmp_path / "both", "cpu")


@pytest.mark.parametrize(
    ("labels", "hyperparameters"),
    [
        (NUMBERS, {"booster": "gblinear"}),
        (CLASSES, {"objective": "multi:softprob", "num_class": 3}),
        (CLASSES, {"objective": "multi:softmax", "num_class": 3}),
    ],
)
def test_models_of_every_shape_are_read_back(
    tmp_path: Path, labels: np.ndarray, hyperparameters: dict[str, object]
) -> None:
    model = save_model(tmp_path, labels, **hyperparameters)
    again = load(tmp_path / "model", "cpu")
    np.testing.assert_array_equal(again.predict(ROWS, {})["score"], model.predict(ROWS, {})["score"])


ALL = "predicted_label,labels,probability,probabilities,raw_score,raw_scores,predicted_score"


def lists(columns: dict[str, np.ndarray]) -> dict[str, object]:
    return {name: np.round(column, 6).tolist() for name, column in columns.items()}


def test_probabilities_are_answered_in_every_form() -> None:
    keys = keys_of({"SAGEMAKER_INFERENCE_OUTPUT": ALL.replace(",", " , ").upper()})
    columns = lists(select(np.array([0.6, 0.1], np.float32), "binary:logistic", 0, keys[:-1]))
    assert columns == {
        "predicted_label": [1, 0],
        "labels": [[0, 1], [0, 1]],
        "probability": [0.6, 0.1],
        "probabilities": [[0.4, 0.6], [0.9, 0.1]],
        "raw_score": [0.6, 0.1],
        "raw_scores": [[0.4, 0.6], [0.9, 0.1]],
    }


def test_several_classes_are_answered_in_every_form() -> None:
    columns = lists(select(np.array([[0.1, 0.7, 0.2]]), "multi:softprob", 3, ALL.split(",")[:-1]))
    assert columns == {
        "predicted_label": [1],
        "labels": [[0, 1, 2]],
        "probability": [0.7],
        "probabilities": [[0.1, 0.7, 0.2]],
        "raw_score": [0.7],
        "raw_scores": [[0.1, 0.7, 0.2]],
    }


def test_margins_and_class_indices_are_raw() -> None:
    keys = ["predicted_label", "raw_score", "raw_scores"]
    margins = select(np.array([-2.0, 0.5]), "binary:logitraw", 0, keys)
    assert lists(margins) == {
        "predicted_label": [0, 1],
        "raw_score": [-2.0, 0.5],
        "raw_scores": [[3.0, -2.0], [0.5, 0.5]],
    }
    labels = select(np.array([2.0, 6.0]), "multi:softmax", 7, ["predicted_label", "labels"])
    assert lists(labels) == {"predicted_label": [2.0, 6.0], "labels": [list(range(7))] * 2}


def test_what_an_objective_does_not_have_is_nan_and_said(caplog: pytest.LogCaptureFixture) -> None:
    columns = select(np.array([1.0, 2.0]), "reg:squarederror", 0, ["predicted_score", "probability"])
    assert columns["predicted_score"].tolist() == [1.0, 2.0]
    assert np.isnan(columns["probability"]).all()
    assert "probability is not compatible with objective reg:squarederror" in caplog.text


def test_an_objective_without_keys_is_the_servers_fault() -> None:
    assert "count:poisson" not in KEYS
    with pytest.raises(PlatformError, match="Objective count:poisson unsupported for selectable inference"):
        select(np.array([1.0]), "count:poisson", 0, ["predicted_score"])


def text(columns: dict[str, np.ndarray], *, batch: bool = False, many: bool = False) -> str:
    body = encode(columns, "text/csv", Answer(batch, many))
    content = None if body is None else bytes(body)
    assert content is not None
    return content.decode()


NUMBER = {"score": np.array([0.1, 2.5], np.float32)}
VECTOR = {"score": np.array([[0.25, 0.75], [1.0, 0.0]], np.float32)}
CHOSEN = {"predicted_label": np.array([1, 0]), "probabilities": np.array([[0.4, 0.6], [0.9, 0.1]])}


def test_csv_is_a_row_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert text(NUMBER) == "0.10000000149011612\n2.5\n"
    assert text(VECTOR) == "0.25,0.75\n1.0,0.0\n"
    assert text(NUMBER, batch=True) == "0.10000000149011612\n2.5\n"
    assert text(VECTOR, batch=True) == "[0.25, 0.75]\n[1.0, 0.0]\n"
    assert text(NUMBER, many=True) == "0.10000000149011612,2.5"
    monkeypatch.setenv("OPTML_XGB_CSV_JOIN", "comma")
    assert text(NUMBER) == "0.10000000149011612,2.5"
    assert text(VECTOR) == "0.25,0.75\n1.0,0.0\n"


def test_selected_keys_are_written_with_lists_in_quotes() -> None:
    assert text(CHOSEN) == '1,"[0.4, 0.6]"\n0,"[0.9, 0.1]"'
    assert text(CHOSEN, batch=True) == '1,"[0.4, 0.6]"\n0,"[0.9, 0.1]"\n'


def test_json_is_a_bare_list_where_there_are_many_models() -> None:
    body = encode(NUMBER, "application/json", Answer(many=True))
    assert body is not None
    assert bytes(body) == b"[0.10000000149011612, 2.5]"
    assert encode(NUMBER, "application/json", Answer()) is None
    assert encode(NUMBER, "application/jsonlines", Answer()) is None

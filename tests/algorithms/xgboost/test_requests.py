"""Requests to a trained model, as a server of one model or of many answers them, without the server."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import xgboost

from optml.algorithms.xgboost import ALGORITHM
from optml.algorithms.xgboost.model import Model, load
from optml.errors import UserError
from optml.formats.records import Records
from optml.serving.batching import Gate
from optml.serving.errors import RequestError
from optml.serving.predictor import Predictor
from optml.serving.served import Served
from optml.serving.settings import Settings
from tests.algorithms.xgboost.runs import FEATURES, both, train

BODY = "".join(",".join(map(repr, row)) + "\n" for row in FEATURES[:3].tolist()).encode()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    result: Model = train(both(), tmp_path_factory.mktemp("run")).model
    return result


def answer(
    model: Model, content_type: str = "text/csv", accept: str = "", body: bytes = BODY, **settings: str
) -> tuple[bytes, str]:
    predictor = Predictor(Served(ALGORITHM, model), Gate(1), Settings.of_environment(settings))
    return predictor.answer(body, content_type, accept, time.monotonic() + 10)


def test_no_column_of_a_request_is_taken_for_a_label(model: Model) -> None:
    whole = answer(model)
    assert answer(model, "text/csv;label_size=1") == whole
    assert whole[0].count(b"\n") == 3
    with_label = b"7," + BODY.splitlines()[0]
    with pytest.raises(RequestError, match=r"data 6 is not consistent .* model 5 .*leave the label out"):
        answer(model, "text/csv;label_size=1", body=with_label)


@pytest.mark.parametrize("accept", ["", "*/*"])
def test_a_server_of_many_models_answers_json_unless_asked_otherwise(model: Model, accept: str) -> None:
    many = {"SAGEMAKER_MULTI_MODEL": "true"}
    body, media = answer(model, accept=accept, **many)
    expected = model.predict(Records(FEATURES[:3]), {})["score"]
    assert media == "application/json"
    np.testing.assert_array_equal(np.array(json.loads(body), np.float32), expected)
    assert answer(model, accept="text/csv", **many)[1] == "text/csv"
    default = {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"}
    assert answer(model, accept="", **many, **default)[1] == "text/csv"
    assert answer(model, accept=accept)[1] == "text/csv"


@pytest.mark.parametrize("library", [False, True])
def test_a_request_that_names_its_columns_is_put_in_the_order_of_training(
    tmp_path: Path, library: bool
) -> None:
    """library: the names are those that the library keeps, as of a model trained elsewhere."""
    data = both()
    data["train"].columns = None if library else ("y", "a", "b", "c", "d", "e")
    model = train(data, tmp_path).model
    if library:
        model.members[0].booster.feature_names = list("abcde")
    model.save(tmp_path / "model")
    copy = load(tmp_path / "model", "cpu")
    assert copy.feature_names == tuple("abcde")
    plain = answer(copy)
    reverse = parquet(FEATURES[:3, ::-1], "edcba")
    assert answer(copy, "application/x-parquet", body=reverse) == plain
    rows = "".join(",".join(map(repr, row[::-1])) + "\n" for row in FEATURES[:3].tolist())
    assert answer(copy, "text/csv;header=present", body=f"e,d,c,b,a\n{rows}".encode()) == plain
    with pytest.raises(RequestError, match="the request has no column 'e', which the model has"):
        answer(copy, "application/x-parquet", body=parquet(FEATURES[:3], "abcdf"))


def test_names_do_not_keep_the_library_from_bare_arrays_nor_training_from_going_on(tmp_path: Path) -> None:
    data = both()
    data["train"].columns = ("y", "a", "b", "c", "d", "e")
    train(data, tmp_path).model.save(tmp_path / "model")
    file = tmp_path / "model/xgboost-model"
    booster = xgboost.Booster()
    booster.load_model(bytearray(file.read_bytes()))
    booster.predict(xgboost.DMatrix(FEATURES))
    booster.feature_names = list("abcde")
    file.write_bytes(bytes(booster.save_raw("ubj")))
    more = train(data, tmp_path, warm_start=tmp_path / "model").model
    assert more.feature_names == tuple("abcde")
    data["train"].columns = ("y", "b", "a", "c", "d", "e")
    with pytest.raises(UserError, match="feature 1 is 'a' in the model of channel 'model', but 'b' in"):
        train(data, tmp_path, warm_start=tmp_path / "model")


def parquet(features: np.ndarray, names: str) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet as file

    out = pa.BufferOutputStream()
    file.write_table(pa.table(dict(zip(names, features.T, strict=True))), out)
    return bytes(out.getvalue())

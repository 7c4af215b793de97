"""Requests to a trained model, as a server of one model or of many answers them, without the server."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from algorithms.records import Records
from algorithms.xgboost import ALGORITHM
from algorithms.xgboost.model import Model
from serving.batching import Gate
from serving.errors import RequestError
from serving.models import Served
from serving.predictor import Predictor
from serving.settings import Settings
from tests.algorithms.xgboost.runs import FEATURES, both, train

BODY = "".join(",".join(map(repr, row)) + "\n" for row in FEATURES[:3].tolist()).encode()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    trained: Model = train(both(), tmp_path_factory.mktemp("run")).model
    return trained


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

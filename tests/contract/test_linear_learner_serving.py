"""A Linear Learner model that AWS's image trained, served by `serve`: what AWS answered, to the byte."""

from __future__ import annotations

import json
import tarfile
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from optml.algorithms.linear_learner.model import Model
from optml.formats.record_encoding import encode
from optml.formats.record_message import messages
from optml.formats.records import Records
from optml.local.endpoint import Endpoint
from tests.contract.server import Server, serving
from tests.shared import SHARED, needs_shared

GOLDEN = SHARED / "golden/aws_artifacts/linear-learner-aws-adult"
JSON, LINES, CSV, RECORDIO = (
    "application/json",
    "application/jsonlines",
    "text/csv",
    "application/x-recordio-protobuf",
)
ROWS = np.array(
    [
        [28, 2, 133937, 9, 13, 2, 0, 0, 4, 1, 15024, 0, 55, 37],
        [43, 2, 72338, 12, 14, 2, 12, 0, 1, 1, 0, 0, 40, 37],
    ],
    np.float32,
)
ANSWERS = {
    JSON: b'{"predictions": [{"score": 0.9899773597717285, "predicted_label": 1}, '
    b'{"score": 0.5041388273239136, "predicted_label": 1}]}',
    LINES: b'{"predicted_label":1,"score":0.989977359771728}\n'
    b'{"predicted_label":1,"score":0.504138827323913}\n',
    CSV: b"1,0.9899773597717285\n1,0.5041388273239136\n",
}


@pytest.fixture(scope="module")
def adult(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    model = tmp_path_factory.mktemp("adult")
    with tarfile.open(GOLDEN / "model.tar.gz") as archive:
        archive.extractall(model, filter="data")
    with Endpoint(model) as endpoint:
        yield Server(endpoint._process, endpoint.port, time.monotonic())  # type: ignore[arg-type]


def sparse(row: np.ndarray) -> dict[str, Any]:
    """A row of a JSON request that leaves its zeros out."""
    keys = np.flatnonzero(row)
    features = {"keys": keys.tolist(), "shape": [len(row)], "values": row[keys].tolist()}
    return {"data": {"features": features}}


def requests() -> list[tuple[str, bytes]]:
    """The rows in every form that a request may have: content type and body."""
    plain = [{"features": row.tolist()} for row in ROWS]
    nested = [{"data": {"features": {"values": row.tolist()}}} for row in ROWS]
    thin = [sparse(row) for row in ROWS]
    bodies = [(JSON, json.dumps({"instances": rows})) for rows in (plain, nested, thin)]
    bodies += [(LINES, "\n".join(map(json.dumps, rows)) + "\n") for rows in (plain, nested, thin)]
    bodies += [(CSV, "\n".join(",".join(map(str, row)) for row in ROWS.tolist()))]
    binary = [(RECORDIO, encode(Records(rows))) for rows in (ROWS, csr_array(ROWS))]
    return [(media, body.encode()) for media, body in bodies] + binary


def labels(body: bytes) -> list[dict[str, list[float]]]:
    """The label maps of a RecordIO answer."""
    found = []
    for record in messages(BytesIO(body), source="the answer"):
        assert not record.features
        found.append({name: list(value.float32_tensor.values) for name, value in record.label.items()})
    return found


@needs_shared(str(GOLDEN.relative_to(SHARED)))
class TestAdult:
    def test_aws_answers_are_given_to_the_byte(self, adult: Server) -> None:
        expected = json.loads((GOLDEN / "expected.json").read_text())
        headers = {"Content-Type": JSON, "Accept": JSON}
        answer = adult.invoke(json.dumps(expected["request"]), headers=headers)
        assert answer.text == expected["answer_application_json"]
        headers = {"Content-Type": LINES, "Accept": LINES}
        answer = adult.invoke(expected["request_jsonlines"], headers=headers)
        assert answer.text == expected["answer_application_jsonlines"]

    @pytest.mark.parametrize("accept", [*ANSWERS, RECORDIO])
    def test_every_form_of_request_has_the_same_answer(self, adult: Server, accept: str) -> None:
        for media, body in requests():
            answer = adult.invoke(body, headers={"Content-Type": media, "Accept": accept})
            assert answer.status_code == 200, answer.text
            assert answer.headers["Content-Type"].partition(";")[0] == accept
            if accept == RECORDIO:
                assert labels(answer.content) == [
                    {"score": [0.9899773597717285], "predicted_label": [1.0]},
                    {"score": [0.5041388273239136], "predicted_label": [1.0]},
                ]
            else:
                assert answer.content == ANSWERS[accept], media

    def test_json_is_the_answer_to_no_accept(self, adult: Server) -> None:
        body = ",".join(map(str, ROWS[0].tolist()))
        for accept in ("", "*/*"):
            answer = adult.invoke(body, headers={"Content-Type": CSV, "Accept": accept})
            assert answer.headers["Content-Type"].partition(";")[0] == JSON

    def test_every_line_of_a_file_has_an_answer_of_its_own(self, adult: Server) -> None:
        body = (GOLDEN / "test-dataset.jsonl").read_bytes()
        headers = {"Content-Type": LINES, "Accept": LINES}
        lines = adult.invoke(body, headers=headers).content.splitlines()
        assert len(lines) == 334
        alone = [adult.invoke(row, headers=headers).content.strip() for row in body.splitlines()[:20]]
        assert lines[:20] == alone

    @pytest.mark.parametrize(
        ("content_type", "accept", "body", "status", "said"),
        [
            (CSV, JSON, b"1,2,3", 400, "14"),
            (LINES, JSON, b'{"features": [1, 2]}', 400, "14"),
            (JSON, JSON, b'{"instances": [{"features": [1, "a"]}]}', 400, ""),
            (JSON, JSON, b'{"instances": ', 400, ""),
            (CSV, JSON, b",".join([b"nan"] * 14), 400, ""),
            (CSV, "image/png", b",".join([b"1"] * 14), 406, "image/png"),
            ("image/png", JSON, b"abc", 415, "image/png"),
        ],
    )
    def test_what_cannot_be_answered_is_told(
        self, adult: Server, content_type: str, accept: str, body: bytes, status: int, said: str
    ) -> None:
        answer = adult.invoke(body, headers={"Content-Type": content_type, "Accept": accept})
        assert answer.status_code == status
        assert said in answer.text
        assert "Traceback" not in answer.text


def test_a_multiclass_classifier_answers_with_all_scores(tmp_path: Path) -> None:
    weight = np.log(np.array([[1], [2], [4], [3]])) / 2
    multiclass = {"predictor_type": "multiclass_classifier", "loss": "softmax_loss"}
    Model(weight, np.zeros(4), **multiclass).save(tmp_path / "model")  # type: ignore[arg-type]
    scores = [0.1, 0.2, 0.4, 0.3]
    with serving(tmp_path) as server:
        answer = server.invoke("2", headers={"Content-Type": CSV, "Accept": JSON}).json()
        (prediction,) = answer["predictions"]
        assert list(prediction) == ["score", "predicted_label"]
        assert prediction["predicted_label"] == 2
        assert prediction["score"] == pytest.approx(scores, rel=1e-6)
        answer = server.invoke("2", headers={"Content-Type": CSV, "Accept": CSV}).text
        assert [float(cell) for cell in answer.split(",")] == pytest.approx([2, *scores], rel=1e-6)


def test_a_regressor_answers_with_its_score_alone(tmp_path: Path) -> None:
    regressor = {"predictor_type": "regressor", "loss": "squared_loss"}
    Model(np.array([[0.5, 2.0]]), np.array([25.0]), **regressor).save(tmp_path / "model")  # type: ignore[arg-type]
    with serving(tmp_path) as server:
        for accept, text in (
            (JSON, '{"predictions": [{"score": 30.0}]}'),
            (LINES, '{"score":30.0}\n'),
            (CSV, "30.0\n"),
        ):
            assert server.invoke("2,2", headers={"Content-Type": CSV, "Accept": accept}).text == text

"""The application of one worker, without a server: routes, order of work, status codes, bodies of errors."""

import gzip
import io
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optml.formats import record_protobuf as protobuf
from optml.formats.recordio import payloads
from optml.formats.records import Records
from optml.serving.app import WorkerState, create_app
from optml.serving.settings import Settings
from tests.serving.sample import client as application
from tests.serving.sample import kmeans_client, served

ROW = b'{"instances": [{"features": [8, 8, 7]}]}'
JSON = "application/json"


@pytest.fixture(scope="module")
def kmeans(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    return kmeans_client(tmp_path_factory.mktemp("model"))


@pytest.fixture
def obedient() -> FlaskClient:
    return application(served())


def invoke(client: FlaskClient, body: bytes, content_type: str | None = JSON, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/invocations", data=body, content_type=content_type, headers=named)


class TestPing:
    def test_a_loaded_model_answers_200_with_an_empty_body(self, kmeans: FlaskClient) -> None:
        answer = kmeans.get("/ping?any=thing")
        assert (answer.status_code, answer.data) == (200, b"")
        assert "html" not in answer.content_type

    @pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
    def test_other_methods_are_405(self, kmeans: FlaskClient, method: str) -> None:
        answer = kmeans.open("/ping", method=method)
        assert answer.status_code == 405
        assert "GET" in answer.headers["Allow"]

    def test_a_loading_model_answers_503(self) -> None:
        answer = create_app(WorkerState(Settings(), ready=lambda: False)).test_client().get("/ping")
        assert (answer.status_code, answer.json) == (503, {"error": "loading"})


class TestInvocations:
    def test_json_is_the_answer_to_no_accept(self, kmeans: FlaskClient) -> None:
        answer = invoke(kmeans, ROW)
        assert answer.status_code == 200
        assert answer.content_type == JSON
        assert answer.data == b'{"predictions": [{"closest_cluster": 2.0, "distance_to_cluster": 1.0}]}'

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("application/json", b'{"instances": [{"features": [8, 8, 7]}, {"features": [0, 0, 0]}]}'),
            (
                "application/json",
                b'{"instances": [{"data": {"features": {"values": [8, 8, 7]}}}, [0, 0, 0]]}',
            ),
            (
                "application/json",
                b'{"instances": [{"features": [8, 8, 7]}, '
                b'{"data": {"features": {"keys": [], "shape": [3], "values": []}}}]}',
            ),
            ("application/json", b'{"projections": [{"projection": [8, 8, 7]}, {"projection": [0, 0, 0]}]}'),
            ("application/jsonlines", b'{"features": [8, 8, 7]}\n\n{"features": [0, 0, 0]}'),
            ("text/csv", b"8,8,7\n0,0,0"),
            ("text/csv; charset=utf-8", b"8,8,7\r\n0,0,0\r\n"),
            ("text/csv;label_size=1", b"5,8,8,7\n5,0,0,0\n"),
            ("text/csv; header=present", b"a,b,c\n8,8,7\n0,0,0\n"),
            (
                "application/x-recordio-protobuf",
                protobuf.encode(Records(np.array([[8, 8, 7], [0, 0, 0]], np.float32))),
            ),
        ],
    )
    def test_every_form_of_the_same_rows_gives_the_same_answer(
        self, kmeans: FlaskClient, content_type: str, body: bytes
    ) -> None:
        guessable = ";" not in content_type and b"projections" not in body
        for header in (content_type, None, "application/octet-stream")[: 3 if guessable else 1]:
            answer = invoke(kmeans, body, header, Accept="text/csv")
            assert (answer.status_code, answer.data) == (200, b"2.0,1.0\n0.0,0.0\n")

    @pytest.mark.parametrize("accept", ["application/json", "application/jsonlines", "text/csv"])
    def test_the_answer_takes_the_accepted_type(self, kmeans: FlaskClient, accept: str) -> None:
        assert invoke(kmeans, ROW, Accept=accept).content_type == accept

    def test_recordio_answers_have_a_record_for_each_row(self, kmeans: FlaskClient) -> None:
        answer = invoke(kmeans, b"1,1,1\n8,8,8\n", "text/csv", Accept="application/x-recordio-protobuf")
        assert answer.content_type == "application/x-recordio-protobuf"
        assert len(list(payloads(io.BytesIO(answer.data), source="the answer"))) == 2

    def test_no_records_are_no_error(self, kmeans: FlaskClient) -> None:
        assert invoke(kmeans, b'{"instances": []}').data == b'{"predictions": []}'

    def test_parameters_of_accept_reach_the_model(self, obedient: FlaskClient) -> None:
        answer = invoke(obedient, b"200", "text/csv", Accept="application/json; verbose=True")
        assert answer.json == {"predictions": [{"score": 200.0, "detail": [200.0, 200.0]}]}

    def test_custom_attributes_come_back(self, kmeans: FlaskClient) -> None:
        name = "X-Amzn-SageMaker-Custom-Attributes"
        assert kmeans.post("/invocations", data=ROW, headers={name: "trace=1"}).headers[name] == "trace=1"
        assert name not in kmeans.post("/invocations", data=ROW, headers={name: "x" * 1025}).headers
        assert kmeans.post("/invocations", data=b"", headers={name: "trace=2"}).headers[name] == "trace=2"

    def test_gzip_is_undone(self, kmeans: FlaskClient) -> None:
        answer = invoke(kmeans, gzip.compress(ROW), Content_Encoding="gzip")
        assert answer.json["predictions"][0]["closest_cluster"] == 2.0

    def test_a_long_answer_in_lines_is_sent_in_pieces(self, kmeans: FlaskClient) -> None:
        answer = invoke(kmeans, b"8,8,7\n" * 40000, "text/csv", Accept="application/jsonlines")
        assert "Content-Length" not in answer.headers
        assert answer.data == b'{"closest_cluster": 2.0, "distance_to_cluster": 1.0}\n' * 40000

    def test_a_batch_transform_job_gets_no_final_newline(self, tmp_path: Path) -> None:
        client = kmeans_client(tmp_path, Settings.of_environment({"SAGEMAKER_BATCH": "True"}))
        assert invoke(client, ROW, Accept="text/csv").data == b"2.0,1.0"
        assert not invoke(client, ROW, Accept="application/jsonlines").data.endswith(b"\n")

    def test_the_default_accept_can_be_set(self, tmp_path: Path) -> None:
        client = kmeans_client(tmp_path, Settings(accept="text/csv"))
        assert invoke(client, ROW).content_type == "text/csv"


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "headers", "status", "message"),
        [
            (b"", {}, 400, "payload is empty"),
            (b"1,2,3", {"content_type": "image/png"}, 415, "content-type image/png not supported"),
            (b"{", {}, 400, "unable to evaluate payload provided: the request is not valid JSON"),
            (ROW, {"Accept": "image/png"}, 406, "Accept type image/png is not supported. Please use"),
            (b"1,2\n", {"content_type": "text/csv"}, 400, "unable to evaluate payload provided: the model"),
            (b"1,2,nan\n", {"content_type": "text/csv"}, 400, "unable to evaluate payload provided: "),
            (ROW, {"Content_Encoding": "br"}, 415, "content-encoding br not supported"),
            (ROW, {"Content_Encoding": "gzip"}, 400, "unable to evaluate payload provided: "),
            (gzip.compress(ROW)[:-9], {"Content_Encoding": "gzip"}, 400, "unable to evaluate payload"),
        ],
    )
    def test_the_phrase_of_aws_comes_first(
        self, kmeans: FlaskClient, body: bytes, headers: dict[str, str], status: int, message: str
    ) -> None:
        answer = invoke(kmeans, body, **headers)
        said = answer.json["error"]["message"] if answer.content_type == JSON else answer.text
        assert answer.status_code == status
        assert said.startswith(message)

    def test_a_short_record_is_named_with_both_widths(self, kmeans: FlaskClient) -> None:
        text = invoke(kmeans, b"1,2,3\n1,2,3\n1,2\n", "text/csv").text
        assert "row 3 of the request" in text
        assert "3" in text
        assert "2 values" in text
        assert len(text) < 300

    def test_json_speakers_get_a_code_and_a_message(self, kmeans: FlaskClient) -> None:
        answer = invoke(kmeans, b"{")
        assert answer.content_type == JSON
        assert answer.json["error"]["code"] == "InvalidPayload"

    def test_others_get_plain_text(self, kmeans: FlaskClient) -> None:
        assert invoke(kmeans, b"x,y", "text/csv").content_type.startswith("text/plain")

    def test_content_type_is_judged_before_the_payload_and_that_before_accept(
        self, kmeans: FlaskClient
    ) -> None:
        assert invoke(kmeans, b"{", "image/png", Accept="image/png").status_code == 415
        assert invoke(kmeans, b"{", Accept="image/png").status_code == 400

    def test_too_much_is_413_compressed_or_not(self, tmp_path: Path) -> None:
        client = kmeans_client(tmp_path, Settings(max_content_length=1000))
        assert invoke(client, b" " * 1001).status_code == 413
        assert invoke(client, gzip.compress(b" " * 100_000), Content_Encoding="gzip").status_code == 413

    def test_a_bug_tells_its_request_id_and_nothing_else(
        self, obedient: FlaskClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.ERROR):
            answer = invoke(obedient, b'{"features": [-1]}')
        error = answer.json["error"]
        assert (answer.status_code, error["code"]) == (500, "InternalError")
        assert "secret" not in answer.text
        assert error["request_id"] in caplog.text
        assert "ZeroDivisionError" in caplog.text

    def test_what_the_model_refuses_is_the_clients_fault(self, obedient: FlaskClient) -> None:
        answer = invoke(obedient, b"-2", "text/csv")
        assert answer.status_code == 400
        assert "not to my taste" in answer.text

    @pytest.mark.parametrize("path", ["/nope", "/models/m/invoke", "/invocations/", "/%00", "/static/x"])
    def test_unknown_paths_are_404_without_html(self, kmeans: FlaskClient, path: str) -> None:
        answer = kmeans.post(path)
        assert answer.status_code == 404
        assert "<" not in answer.text

    def test_a_wrong_method_is_405(self, kmeans: FlaskClient) -> None:
        answer = kmeans.get("/invocations")
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


class TestBadRecords:
    """OPTML_BAD_RECORD=null"""

    @pytest.fixture
    def lenient(self, tmp_path: Path) -> FlaskClient:
        return kmeans_client(tmp_path, Settings(bad_record="null"))

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("text/csv", b"8,8,7\n1,x,3\n0,0,0\n"),
            ("text/csv;header=present", b"a,b,c\n8,8,7\n1,2\n0,0,0\n"),
            ("application/jsonlines", b'{"features": [8, 8, 7]}\n{"features": \n{"features": [0, 0, 0]}\n'),
            (JSON, b'{"instances": [{"features": [8, 8, 7]}, {"features": [1]}, {"features": [0, 0, 0]}]}'),
            (JSON, b"[[8, 8, 7], [1, NaN, 2], [0, 0, 0]]"),
        ],
    )
    def test_a_bad_record_leaves_its_place_to_its_error(
        self, lenient: FlaskClient, content_type: str, body: bytes
    ) -> None:
        answer = invoke(lenient, body, content_type, Accept=JSON)
        first, bad, last = answer.json["predictions"]
        assert (first["closest_cluster"], last["closest_cluster"]) == (2.0, 0.0)
        assert set(bad) == {"error"}

    def test_a_body_of_nothing_but_bad_records_is_answered_too(self, lenient: FlaskClient) -> None:
        answer = invoke(lenient, b"x,y,z\n", "text/csv", Accept="application/jsonlines")
        assert answer.status_code == 200
        assert set(json.loads(answer.data)) == {"error"}

    def test_what_cannot_be_taken_apart_is_refused(self, lenient: FlaskClient) -> None:
        assert invoke(lenient, b"{").status_code == 400


class TestOtherRoutes:
    def test_execution_parameters_leave_the_strategy_out(self, kmeans: FlaskClient) -> None:
        answer = kmeans.get("/execution-parameters")
        assert answer.json == {"MaxConcurrentTransforms": 1, "MaxPayloadInMB": 6}

    @pytest.mark.parametrize("path", ["/", "/models"])
    def test_the_model_is_described(self, kmeans: FlaskClient, path: str) -> None:
        about = kmeans.get(path).json
        assert about["algorithm"] == "kmeans"
        assert about["feature_dim"] == 3
        assert about["hyperparameters"] == {"k": 3}
        assert "application/jsonlines" in about["accepts"]

    def test_metrics_count_answers_by_code(self, kmeans: FlaskClient) -> None:
        def count(code: int) -> float:
            lines = kmeans.get("/metrics").text.splitlines()
            return sum(
                float(line.split()[1])
                for line in lines
                if line.startswith(f'optml_requests_total{{code="{code}"}}')
            )

        before = count(200), count(400)
        invoke(kmeans, ROW)
        invoke(kmeans, b"")
        assert (count(200), count(400)) == (before[0] + 1, before[1] + 1)


KEYS = ["instances", "features", "data", "values", "keys", "shape"]
CONTENT_TYPES = st.sampled_from(
    ["", JSON, "application/jsonlines", "text/csv", "text/csv;label_size=1", "text/csv;label_size=x",
     "application/x-recordio-protobuf", "application/octet-stream", "text/csv;charset=latin-9"]
) | st.text(st.characters(min_codepoint=32, max_codepoint=255))  # fmt: skip
BODIES = (
    st.binary()
    | st.text('0123456789.,-+eE\n" naif{}[]:;').map(str.encode)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode())
)


@pytest.mark.parametrize("policy", ["error", "null"])
def test_no_bytes_of_any_type_make_it_our_fault(policy: Any, tmp_path: Path) -> None:
    client = kmeans_client(tmp_path, Settings(bad_record=policy))

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(BODIES, CONTENT_TYPES, st.sampled_from(["", "*/*", "text/csv", "application/x-recordio-protobuf"]))
    def check(body: bytes, content_type: str, accept: str) -> None:
        environ = {"CONTENT_TYPE": content_type, "HTTP_ACCEPT": accept}
        assert client.post("/invocations", data=body, environ_overrides=environ).status_code < 500

    check()

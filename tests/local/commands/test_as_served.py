"""`optml predict` and `optml transform` with every algorithm: what they say is what a server says."""

from __future__ import annotations

import gzip
import json
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from flask.testing import FlaskClient

from optml.algorithms import registry
from optml.formats.content_type import CSV, JSON, JSON_LINES, PARQUET, RECORDIO_PROTOBUF, ContentType
from optml.formats.record_message import messages
from optml.local.commands import transform as command
from optml.local.transform import job
from optml.serving.models import load
from optml.serving.negotiation import readable, writable
from optml.serving.settings import Settings
from tests.local.transform.inprocess import InProcess
from tests.serving import every
from tests.serving.sample import client

ENDINGS = {CSV: "csv", JSON: "json", JSON_LINES: "jsonl", RECORDIO_PROTOBUF: "pbr", PARQUET: "parquet"}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The model folder of each algorithm, written when it is asked for."""

    @cache
    def folder(name: str) -> Path:
        made = tmp_path_factory.mktemp("model")
        every.served(name).model.save(made)
        return made

    return folder


@cache
def server(folder: Path) -> FlaskClient:
    return client(load(folder), Settings())


def asked(of: FlaskClient, body: bytes, media: str, accept: str) -> bytes:
    answer = of.post(
        "/invocations", data=body, environ_overrides={"CONTENT_TYPE": media, "HTTP_ACCEPT": accept}
    )
    assert answer.status_code == 200, answer.text
    return answer.data


def predicted(optml: Any, folder: Path, body: bytes, tmp_path: Path, media: str, *words: str) -> bytes:
    (tmp_path / "in").write_bytes(body)
    options = ["--input", tmp_path / "in", "--output", tmp_path / "out", "--content-type", media, *words]
    code, _, err = optml("predict", folder, *options)
    assert (code, err) == (0, ""), err
    return (tmp_path / "out").read_bytes()


@pytest.mark.parametrize(("name", "media"), every.CASES)
def test_predict_says_what_the_server_says_to_the_byte(
    optml: Any, folders: Any, tmp_path: Path, name: str, media: str
) -> None:
    folder, body = folders(name), every.request(name, media)
    accepts = every.accepts(name, media)
    for accept in [*accepts, *([f"{JSON_LINES};verbose=true"] if JSON_LINES in accepts else [])]:
        expected = asked(server(folder), body, media, accept)
        assert predicted(optml, folder, body, tmp_path, media, "--accept", accept) == expected
    usual = JSON_LINES if JSON_LINES in accepts else media
    assert predicted(optml, folder, gzip.compress(body), tmp_path, media) == asked(
        server(folder), body, media, usual
    )


@pytest.mark.parametrize(
    ("name", "body", "media", "accept"),
    [
        ("xgboost", b"1,,3\n,2,1\n", CSV, CSV),
        ("knn", b"1,2,3\n9,9,1\n4,4,4\n", CSV, f"{JSON_LINES};scores=true"),
        ("kmeans", every.request("kmeans", RECORDIO_PROTOBUF), RECORDIO_PROTOBUF, RECORDIO_PROTOBUF),
        ("kmeans", b"a,b,c\n1,2,3\n", f"{CSV};header=present", CSV),
        ("ipinsights", b'"a\nb",1.2.3.4\n', CSV, f"{JSON};verbose=true;seen=true"),
    ],
)
def test_so_it_does_with_missing_values_masked_columns_uids_and_metadata(
    optml: Any, folders: Any, tmp_path: Path, name: str, body: bytes, media: str, accept: str
) -> None:
    folder = folders(name)
    expected = asked(server(folder), body, media, accept)
    assert predicted(optml, folder, body, tmp_path, media, "--accept", accept) == expected


def test_predict_heeds_the_environment_as_a_server_does(
    optml: Any, folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTML_BAD_RECORD", "null")
    out = predicted(optml, folders("kmeans"), b"1,2,3\n1,2\n", tmp_path, CSV)
    assert [set(json.loads(line)) for line in out.splitlines()][1] == {"error"}


class Running:
    """`local.endpoint.Endpoint` without a process."""

    url = "http://in.process"

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None: ...


def transformed(optml: Any, name: str, body: bytes, tmp_path: Path, *words: str) -> bytes:
    (tmp_path / "in").write_bytes(body)
    with (
        patch("optml.local.endpoint.Endpoint", Running),
        patch.object(job, "Client", InProcess(every.served(name))),
    ):
        code, _, err = optml(
            "transform", "model", "--input", tmp_path / "in", "--output", tmp_path / "out", *words
        )
    assert code == 0, err
    return (tmp_path / "out" / "in.out").read_bytes()


@pytest.mark.parametrize(("name", "media"), every.CASES)
def test_transform_needs_no_option_for_what_the_model_reads(
    optml: Any, tmp_path: Path, name: str, media: str
) -> None:
    output = transformed(optml, name, every.request(name, media), tmp_path)
    accept = command.accept_for(ContentType(media)).media
    if accept == RECORDIO_PROTOBUF:
        count = sum(1 for _ in messages(BytesIO(output), source="the output"))
    elif accept == JSON:
        document = json.loads(output)
        count = len(next(iter(document.values())) if isinstance(document, dict) else document)
    elif output.startswith(b"\x89PNG"):
        count = 1
    else:
        count = len(output.splitlines())
    assert count == (1 if "image" in media else 3)  # a picture is a request


@pytest.mark.parametrize("slug", registry.available())
def test_each_algorithm_can_answer_in_what_transform_asks_for_by_default(slug: str) -> None:
    algorithm = registry.get(slug)
    offered = [accept.split(";")[0] for accept in writable(algorithm)]
    for media in readable(algorithm):
        assert command.accept_for(ContentType.parse(media)).media in (*offered, "*/*")


def test_scores_of_pairs_are_joined_to_them(optml: Any, tmp_path: Path) -> None:
    body = b'user_1,10.0.0.1\n"user, 2",10.0.0.2\n"user\n3",10.0.0.3\n'
    plain = transformed(optml, "ipinsights", body, tmp_path).splitlines()
    joined = transformed(optml, "ipinsights", body, tmp_path, "--join-source", "Input")
    scores = [score.decode() for score in plain]
    assert joined.decode() == (
        f'user_1,10.0.0.1,{scores[0]}\n"user, 2",10.0.0.2,{scores[1]}\n"user\n3",10.0.0.3,{scores[2]}\n'
    )

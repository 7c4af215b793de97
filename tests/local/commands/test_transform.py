import gzip
import subprocess
import sys

import numpy as np
import pytest

from optml.errors import UserError
from optml.local.client import Client
from optml.local.endpoint import Endpoint


def test_folder_is_transformed_through_a_real_server(optml, model, table, tmp_path):
    source = tmp_path / "in"
    (source / "deep").mkdir(parents=True)
    (source / "a.csv").write_bytes(table.read_bytes())
    (source / "deep" / "b.csv.gz").write_bytes(gzip.compress(table.read_bytes()))
    code, _, err = optml("transform", model, "--input", source, "--output", tmp_path / "out")
    assert code == 0
    assert "2 of 2 files transformed" in err
    assert "MaxConcurrentTransforms=" in err
    _, expected, _ = optml("predict", model, "--input", table, "--accept", "csv")
    for name in ("a.csv.out", "deep/b.csv.gz.out"):
        assert (tmp_path / "out" / name).read_text() == expected


def test_each_row_below_a_header_is_answered_over_several_requests(optml, model, blobs, tmp_path):
    rows = np.tile(blobs, (100, 1))
    path = tmp_path / "a.csv"
    np.savetxt(path, rows, delimiter=",", fmt="%.9f", header="a,b,c", comments="")
    assert path.stat().st_size > 1 << 20
    code, _, err = optml(
        "transform", model, "--input", path, "--output", tmp_path / "out", "--max-payload-mb", 1,
        "--content-type", "text/csv;header=present", "--join-source", "Input", "--output-filter", "$[0:3]",
    )  # fmt: skip
    assert code == 0, err
    found = np.loadtxt(tmp_path / "out" / "a.csv.out", delimiter=",", dtype=np.float32)
    np.testing.assert_allclose(found[:, :3], rows, atol=1e-6)
    assert (found[:400, 3] == found[-400:, 3]).all()


def test_a_record_that_cannot_be_answered_costs_no_file_where_that_is_asked_for(
    optml, model, tmp_path, monkeypatch
):
    monkeypatch.setenv("OPTML_BAD_RECORD", "null")
    (tmp_path / "a.csv").write_text("1,2,3\n1,2\n4,5,6\n")
    code, *_ = optml("transform", model, "--input", tmp_path / "a.csv", "--output", tmp_path / "out")
    assert code == 0
    lines = (tmp_path / "out" / "a.csv.out").read_text().splitlines()
    assert len(lines) == 3
    assert "the record has 2 values" in lines[1]


def test_filters_join_and_a_bad_file(optml, model, table, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    rows = table.read_text().splitlines()
    (source / "a.csv").write_text("".join(f"id{number},{row}\n" for number, row in enumerate(rows)))
    (source / "b.csv").write_text("id0,1,2\n")
    words = ["--input-filter", "$[1:]", "--join-source", "Input", "--output-filter", "$[0,-2]"]
    code, _, err = optml("transform", model, "--input", source, "--output", tmp_path / "out", *words)
    assert code == 1
    assert "b.csv: ClientError: 400 for record 1\n\nMessage:\nunable to evaluate payload provided" in err
    assert err.endswith("optml: 1 failed: b.csv\n")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.csv.out"]
    found = (tmp_path / "out" / "a.csv.out").read_text().splitlines()
    _, expected, _ = optml("predict", model, "--input", table, "--accept", "csv")
    clusters = [line.split(",")[0] for line in expected.splitlines()]
    assert found == [f"id{number},{cluster}" for number, cluster in enumerate(clusters)]


def test_record_io_in_and_out(optml, model, table, tmp_path):
    assert optml("convert", table, tmp_path / "a.pbr")[0] == 0
    code, *_ = optml("transform", model, "--input", tmp_path / "a.pbr", "--output", tmp_path / "out")
    assert code == 0
    optml(
        "predict",
        model,
        "--input",
        tmp_path / "a.pbr",
        "--accept",
        "recordio-protobuf",
        "--output",
        tmp_path / "x",
    )
    assert (tmp_path / "out" / "a.pbr.out").read_bytes() == (tmp_path / "x").read_bytes()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--max-concurrent", "0"], "--max-concurrent 0"),
        (["--split-type", "None", "--strategy", "MultiRecord"], "needs a split type"),
        (["--join-source", "Input", "--accept", "json"], "needs equal content type and accept"),
        (["--input-filter", "x"], "begins with '$'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(optml, model, table, tmp_path, words, problem):
    code, _, err = optml("transform", model, "--input", table, "--output", tmp_path / "out", *words)
    assert code == 2
    assert problem in err


def test_model_that_cannot_be_served_says_why(optml, table, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "foreign.bin").write_bytes(b"x")
    code, _, err = optml("transform", tmp_path / "model", "--input", table, "--output", tmp_path / "out")
    assert code == 2
    assert "the server ended with exit code" in err
    assert "foreign.bin" in err
    with pytest.raises(UserError, match="there is no model folder"):
        Endpoint(tmp_path / "none")


def test_serve_answers_until_it_is_told_to_stop(model):
    words = [sys.executable, "-m", "optml.local.cli", "serve", str(model), "--port", "0"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        url = child.stdout.readline().split()[3].removesuffix("/invocations;")
        with Client(url) as client:
            assert client.post("/invocations", b"1,2,3\n", {"Content-Type": "text/csv"}).ok
    finally:
        child.terminate()
        assert child.wait(20) == 0
        child.stdout.close()

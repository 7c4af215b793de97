import json
import tarfile

import numpy as np
import pytest

from optml.formats.content_type import ContentType
from optml.formats.layout import Layout
from optml.formats.tabular import decode
from tests.serving.stub import serving


def test_each_record_gets_an_answer_in_order(optml, model, blobs, table):
    code, out, _ = optml("predict", model, "--input", table)
    assert code == 0
    answers = [json.loads(line) for line in out.splitlines()]
    assert len(answers) == len(blobs)
    clusters = np.array([answer["closest_cluster"] for answer in answers])
    groups = np.round(blobs / 10) @ [1, 2, 3]  # 0 to 3
    assert len({*zip(clusters, groups, strict=True)}) == 4


def test_formats_in_and_out(optml, model, blobs, tmp_path):
    np.save(tmp_path / "few.npy", blobs[:2])
    (tmp_path / "few.json").write_text(
        json.dumps({"instances": [{"features": row.tolist()} for row in blobs[:2]]})
    )
    for name in ("few.npy", "few.json"):
        code, out, _ = optml("predict", model, "--input", tmp_path / name, "--accept", "json")
        assert code == 0
        assert len(json.loads(out)["predictions"]) == 2
    code, *_ = optml(
        "predict", model, "--input", tmp_path / "few.npy", "--accept", "csv", "--output", tmp_path / "out.csv"
    )
    assert code == 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 2


def test_packed_model_is_a_model_too(optml, model, table, tmp_path):
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        for path in model.iterdir():
            archive.add(path, path.name)
    _, expected, _ = optml("predict", model, "--input", table)
    assert optml("predict", tmp_path / "model.tar.gz", "--input", table)[:2] == (0, expected)


@pytest.mark.parametrize(
    ("text", "words", "problem"),
    [
        ("1,2\n", [], "the model was trained with 3 features but row 1"),
        ("1,2,nan\n", [], "row 1"),
        ("", [], "payload is empty"),
        ("1,2,3\n", ["--accept", "image/png"], "image/png is not supported"),
        ("1,2,3\n", ["--content-type", "image/png"], "x-recordio-protobuf; name one by --content-type"),
    ],
)
def test_what_cannot_be_predicted_is_named(optml, model, tmp_path, text, words, problem):
    (tmp_path / "a.csv").write_text(text)
    code, _, err = optml("predict", model, "--input", tmp_path / "a.csv", *words)
    assert code == 2
    assert problem in err


def test_file_that_is_no_model_is_called_by_its_name(optml, table):
    code, _, err = optml("predict", table, "--input", table)
    assert (code, err) == (2, f"optml: {table} is broken or no tar.gz or ZIP archive\n")


def test_missing_file_and_model_are_named(optml, model, table, tmp_path):
    assert "there is no file" in optml("predict", model, "--input", tmp_path / "none")[2]
    assert "none" in optml("predict", tmp_path / "none", "--input", table)[2]


def test_endpoint_is_asked_by_its_url(optml, blobs, tmp_path):
    np.save(tmp_path / "few.npy", blobs[:2])
    (tmp_path / "few.csv").write_text("1,2,3\n")
    with serving(lambda body: b"answer\n") as server:
        assert optml("predict", server.url + "/invocations", "--input", tmp_path / "few.csv")[:2] == (
            0,
            "answer\n",
        )
        assert optml("predict", server.url, "--input", tmp_path / "few.npy", "--accept", "csv")[0] == 0
    assert server.bodies[0] == b"1,2,3\n"
    assert (server.headers[0]["Content-Type"], server.headers[1]["Accept"]) == ("text/csv", "text/csv")
    sent = decode(server.bodies[1], ContentType.parse(server.headers[1]["Content-Type"]), Layout())
    assert np.array_equal(sent.dense(), blobs[:2])


def test_refusal_of_an_endpoint_is_passed_on(optml, tmp_path):
    (tmp_path / "few.csv").write_text("1,2,3\n")
    with serving(lambda body: (400, b"too short")) as server:
        code, _, err = optml("predict", server.url, "--input", tmp_path / "few.csv")
    assert code == 2
    assert "answers 400: too short" in err


@pytest.mark.parametrize("url", ["http://", "http://host:99999999", "http://127.0.0.1:9"])
def test_address_that_leads_nowhere_is_named(optml, tmp_path, url):
    (tmp_path / "few.csv").write_text("1,2,3\n")
    code, _, err = optml("predict", url, "--input", tmp_path / "few.csv")
    assert code in (2, 3)
    assert url in err


def test_pictures_of_a_folder_are_answered_one_by_one_and_drawn_together(optml, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("simplejpeg")
    pytest.importorskip("matplotlib")
    from tests.serving import every

    (tmp_path / "model").mkdir()
    every.served("image-classification").model.save(tmp_path / "model")
    for place, name in enumerate(("b.png", "a.png", "inner/c.jpg")):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(every.request("image-classification", "image/png", [place]))
    words = (
        "predict",
        tmp_path / "model",
        "--input",
        tmp_path / "pictures",
        "--plot",
        tmp_path / "sheet.png",
    )
    code, out, err = optml(*words)
    assert code == 0, err
    names, answers = zip(*(line.split("\t") for line in out.splitlines()), strict=True)
    assert names == ("a.png", "b.png", "inner/c.jpg")
    alone = optml("predict", tmp_path / "model", "--input", tmp_path / "pictures/b.png")[1]
    assert json.loads(answers[1]) == json.loads(alone)
    assert "3 pictures" in err
    (tmp_path / "pictures/z.txt").write_text("no picture")
    code, _, err = optml("predict", tmp_path / "model", "--input", tmp_path / "pictures")
    assert code == 2
    assert "z.txt" in err
    (tmp_path / "none").mkdir()
    assert "holds no files" in optml("predict", tmp_path / "model", "--input", tmp_path / "none")[2]

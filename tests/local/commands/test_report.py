"""The page that `optml train --report` leaves."""

import base64
import re
from pathlib import Path

import numpy as np
import pytest

from optml.algorithms import registry
from optml.local.commands import picture, report
from optml.local.commands.joblog import JobLog
from optml.local.tree import Input

SCRIPT = "<script>alert('x')</script>"


@pytest.fixture
def labelled(tmp_path):
    random = np.random.default_rng(0)
    rows = random.normal(size=(200, 3))
    path = tmp_path / "rows.csv"
    np.savetxt(path, np.column_stack([rows[:, 0] > 0, rows]), delimiter=",", fmt="%.6g")
    return path


def job(**changes):
    algorithm = registry.get("kmeans")
    values = {
        "algorithm": algorithm,
        "command": ["optml", "train", "kmeans", SCRIPT],
        "hyperparameters": {"k": "4", "feature_dim": "3", "epochs": "1"},
        "inputs": {"train": Input([Path(__file__)], SCRIPT)},
        "model": Path(SCRIPT),
        "log": JobLog((*algorithm.training.printed, *algorithm.training.metrics)),
        "seconds": 12.34,
    }
    return report.Job(**(values | changes))


def test_job_leaves_a_page_and_a_picture(optml, labelled, tmp_path):
    pytest.importorskip("matplotlib")
    words = [
        "train",
        "linear-learner",
        "--train",
        labelled,
        "--validation",
        labelled,
        "--output-dir",
        tmp_path / "data",
    ]
    words += ["-p", "predictor_type=binary_classifier", "-p", "epochs=3", "-p", "mini_batch_size=50"]
    code, out, err = optml(*words, "--model-dir", tmp_path / "model", "--report", tmp_path / "out" / "a.html")
    assert code == 0, err
    page, png = tmp_path / "out" / "a.html", tmp_path / "out" / "a.png"
    assert f"report: {page}\nreport: {png}\n" in out
    text = page.read_text()
    assert "<td>validation:objective_loss<td class=number>" in text
    assert "<td>epochs<td>3<td>15<td>" in text
    assert "<td>loss<td>" not in text  # as it would be by itself
    assert "200 records in a pass over train" in text
    assert f"<td>train<td>found out<td class=number>1<td class=number>{labelled.stat().st_size:,}" in text
    assert "--report" in text
    assert "of channel &#x27;validation&#x27;" in text
    curves, shown = map(base64.b64decode, re.findall(r'src="data:image/png;base64,([^"]+)"', text))
    assert curves.startswith(b"\x89PNG")
    assert shown == png.read_bytes()
    assert "http" not in text  # nothing comes from elsewhere
    assert (tmp_path / "data" / "a.html").read_text() == text


def test_text_of_users_is_no_html():
    text = report.page(job(), "")
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 3  # command, model, content type


def test_page_names_what_differs_from_the_defaults():
    text = report.page(job(hyperparameters={"k": "4", "feature_dim": "3", "epochs": "2"}), "")
    assert "<td>k<td>4<td>required<td>" in text
    assert "<td>epochs<td>2<td>1<td>" in text
    assert "mini_batch_size" not in text


def test_without_a_picture_the_page_says_why(tmp_path, monkeypatch):
    def draw(*arguments):
        raise report.UserError("row 3 is <short>")

    monkeypatch.setattr(picture, "draw", draw)
    assert report.write(job(), tmp_path / "a.html") == [tmp_path / "a.html"]
    assert "There is no picture: row 3 is &lt;short&gt;" in (tmp_path / "a.html").read_text()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.4, "59.4 s"), (61, "1 min 1 s"), (3599.7, "1 h 0 min")]
)
def test_durations_are_said_as_people_do(seconds, text):
    assert report.duration(seconds) == text


def test_place_is_a_file_or_a_folder(tmp_path):
    pytest.importorskip("matplotlib")
    assert report.place(tmp_path / "a" / "b.html") == tmp_path / "a" / "b.html"
    assert report.place(tmp_path / "c") == tmp_path / "c" / "report.html"
    assert (tmp_path / "c").is_dir()


@pytest.mark.parametrize("name", ["a.pdf", "file/a.html"])
def test_place_that_makes_no_sense_is_told_before_training(optml, labelled, tmp_path, name):
    (tmp_path / "file").touch()
    code, _, err = optml("train", "kmeans", "--train", labelled, "-p", "k=2", "--model-dir", tmp_path / "out",
                         "--report", tmp_path / name)  # fmt: skip
    assert code == 2
    assert "--report" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--report", "--picture"])
def test_without_matplotlib_a_sentence_comes_before_training(optml, labelled, tmp_path, monkeypatch, option):
    monkeypatch.setattr(picture, "find_spec", lambda name: None)
    path = tmp_path / ("a.html" if option == "--report" else "a.png")
    code, _, err = optml("train", "kmeans", "--train", labelled, "-p", "k=2", "--model-dir", tmp_path / "out",
                         option, path)  # fmt: skip
    assert code == 2
    assert err.endswith(f"optml: {option} needs matplotlib, of the extra 'plot': pip install 'optml[plot]'\n")
    assert not (tmp_path / "out").exists()

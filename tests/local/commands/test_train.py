import json
import os
import signal
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from optml.errors import UserError
from optml.local.commands.inputs import _content_types
from optml.local.commands.joblog import JobLog


def train(optml, table, folder, *words):
    return optml("train", "kmeans", "--train", table, "-p", "k=4", "--model-dir", folder, *words)


def test_training_leaves_a_model_and_prints_its_metrics(optml, table, tmp_path):
    code, out, err = train(optml, table, tmp_path / "out", "--test", table, "-p", "eval_metrics=msd,ssd")
    assert code == 0
    assert (tmp_path / "out" / "model.json").exists()
    shown = {line.split()[1]: line for line in out.splitlines() if "│" in line}
    assert float(shown["test:msd"].split()[3]) == pytest.approx(0.03, rel=0.2)
    assert {"train:msd", "test:ssd", "train:throughput"} <= set(shown)
    assert f"model: {tmp_path / 'out'}" in out
    assert "feature_dim=3, counted in train/blobs.csv" in err


def test_pipe_mode_and_numpy_files_give_the_same_model(optml, table, blobs, model, tmp_path):
    np.save(tmp_path / "blobs.npy", blobs)
    for name, words in {"pipe": (table, "--pipe"), "npy": (tmp_path / "blobs.npy",)}.items():
        code, *_ = train(optml, words[0], tmp_path / name, *words[1:])
        assert code == 0
        same = (tmp_path / name / "model.safetensors").read_bytes()
        assert same == (model / "model.safetensors").read_bytes()


def test_several_files_and_folders_are_one_channel(optml, blobs, tmp_path):
    for number, rows in enumerate(np.array_split(blobs, 4)):
        folder = tmp_path / f"part{number // 2}"
        folder.mkdir(exist_ok=True)
        np.savetxt(folder / f"{number}.csv", rows, delimiter=",")
    code, _, _ = train(optml, tmp_path / "part0", tmp_path / "out", "--train", tmp_path / "part1" / "2.csv")
    assert code == 0
    code, _, _ = train(optml, tmp_path / "none", tmp_path / "out2")
    assert code == 2


def test_an_earlier_model_is_gone_on_from(optml, table, model, tmp_path):
    code, _, err = train(optml, table, tmp_path / "out", "--model", model, "-v")
    assert code == 0
    assert "#quality_metric: host=algo-1, train msd" in err  # -v shows the log itself


def test_every_bad_hyperparameter_is_named_and_no_folder_is_left(optml, table, tmp_path):
    code, _, err = train(optml, table, tmp_path / "out", "-p", "epoch=3", "-p", "mini_batch_size=x")
    assert code == 2
    assert err.count("\n") <= 2
    assert "ClientError" in err
    assert "epochs" in err
    assert "mini_batch_size" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["-p", "epochs"], "-p epochs: a hyperparameter is NAME=VALUE"),
        (["-p", "k=5"], "-p k is given twice: 4 and 5"),
        (["--content-type", "tset=text/csv"], "there is no channel 'tset'"),
        (["--test", os.devnull], f"channel 'test' is empty: there are no data in '{os.devnull}'"),
        (["--checkpoint-dir", __file__], f"--checkpoint-dir {__file__}: this is a file; name a folder"),
        (["--test", "nowhere.csv"], "channel 'test': there is no file or folder 'nowhere.csv'"),
        (["--docker", "no/such-image"], ""),
    ],
)
def test_command_line_that_makes_no_sense_is_refused(optml, table, tmp_path, words, problem):
    code, _, err = train(optml, table, tmp_path / "out", *words)
    assert code != 0
    assert problem in err
    assert "Traceback" not in err


def test_missing_data_and_unknown_algorithms_are_named(optml, tmp_path):
    code, _, err = optml("train", "kmeans", "-p", "k=4", "--model-dir", tmp_path / "out")
    assert (code, err) == (2, "optml: there is no data: name it with --train PATH\n")
    code, _, err = optml("train", "kmean", "--model-dir", tmp_path / "out")
    assert code == 2
    assert "did you mean 'kmeans'?" in err


def test_an_algorithm_goes_by_other_names_and_a_misspelt_one_is_told_before_its_channels(optml, tmp_path):
    code, _, err = optml("train", "k_means", "--test", "x.csv", "--model-dir", tmp_path / "out")
    assert (code, err) == (2, "optml: channel 'test': there is no file or folder 'x.csv'\n")
    code, _, err = optml("train", "deeparr", "--test", "x.json", "--model-dir", tmp_path / "out")
    assert code == 2
    assert "there is no algorithm 'deeparr'; did you mean 'forecasting-deepar'?" in err


def test_header_in_the_data_is_explained(optml, tmp_path):
    (tmp_path / "a.csv").write_text("age,height\n1,2\n3,4\n")
    code, _, err = train(optml, tmp_path / "a.csv", tmp_path / "out")
    assert code == 2
    assert "a.csv" in err
    assert "header" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_stops_the_job_and_saves_its_model(table, tmp_path, number):
    words = [sys.executable, "-m", "optml.local.cli", "train", "kmeans", "--train", str(table), "-v"]
    words += ["-p", "k=4", "-p", "epochs=10000000", "--model-dir", str(tmp_path / "out")]
    child = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for line in child.stderr:
        if "#progress_metric" in line:
            break
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    assert "stopping: the model so far is saved" in err
    assert (tmp_path / "out" / "model.json").exists()
    assert "model:" in out


def test_checkpoints_are_kept_where_one_says(optml, table, tmp_path):
    code, *_ = train(optml, table, tmp_path / "out", "--checkpoint-dir", tmp_path / "checkpoints")
    assert code == 0
    assert any((tmp_path / "checkpoints").iterdir())


def test_docker_gets_the_same_tree(optml, table, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(
        f'#!{sys.executable}\nimport json, sys\njson.dump(sys.argv, open("{tmp_path}/said", "w"))\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    code, _, err = train(optml, table, tmp_path / "out", "--docker", "optml/kmeans:cpu", "--gpus", "all")
    assert (code, err.splitlines()[-1]) == (1, "optml: stopped before there was a model")
    said = json.loads((tmp_path / "said").read_text())
    assert said[1:3] == ["run", "--rm"]
    assert said[-2:] == ["optml/kmeans:cpu", "train"]
    volumes = [after for before, after in pairwise(said) if before == "-v"]
    assert f"{table}:/opt/ml/input/data/train/blobs.csv:ro" in volumes
    assert f"{tmp_path / 'out'}:/opt/ml/model" in volumes
    assert volumes[0].endswith(":/opt/ml")


def test_content_types_are_for_all_channels_or_for_one():
    channels = {"train": None, "test": None, "model": None}
    found = _content_types(["text/csv;label_size=1", "test=libsvm"], channels)
    assert found == {"train": "text/csv;label_size=1", "test": "libsvm", "model": None}
    with pytest.raises(UserError, match="no channel 'other'"):
        _content_types(["other=text/csv"], channels)


def test_log_yields_progress_warnings_and_the_last_value_of_each_metric():
    from optml.algorithms.metrics import MetricSpec

    log = JobLog([MetricSpec("test:msd", "#quality_metric: host={host}, test msd <loss>={value}")])
    stamp = "[01/02/2026 03:04:05 {} 1] "
    assert log.read(stamp.format("WARNING") + "mind the gap") == "mind the gap"
    for text in ("completed 50.0 % of epochs", "completed x % of epochs"):
        log.read(stamp.format("INFO") + f"#progress_metric: host=algo-1, {text}")
    for value in ("3.5", "1.5", "nonsense"):
        log.read(stamp.format("INFO") + f"#quality_metric: host=algo-1, test msd <loss>={value}")
    assert log.done == 50.0
    assert log.final() == {"test:msd": 1.5}


def test_metrics_of_xgboost_are_shown_with_and_without_a_validation_channel(optml, blobs, tmp_path):
    np.savetxt(tmp_path / "a.csv", blobs, delimiter=",")
    words = ["train", "xgb", "--train", tmp_path / "a.csv", "--content-type", "text/csv", "-p", "num_round=2"]
    shown = []
    for more in ([], ["--validation", tmp_path / "a.csv"]):
        code, out, err = optml(*words, *more, "--model-dir", tmp_path / f"out{len(shown)}")
        assert code == 0, err
        shown.append({line.split()[1] for line in out.splitlines() if "│" in line})
    assert shown == [{"train:rmse"}, {"train:rmse", "validation:rmse"}]


def test_job_that_dies_without_a_word_shows_its_last_lines(optml, table, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho half a word\nexit 137\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    code, _, err = train(optml, table, tmp_path / "out", "--docker", "image")
    assert code == 137
    assert "out of memory?" in err
    assert "half a word" in err

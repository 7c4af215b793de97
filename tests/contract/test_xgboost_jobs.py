"""XGBoost through `train` and `serve`: as AWS prints it, killed and resumed, on two hosts, over HTTP."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import requests

from optml.algorithms.xgboost.checkpoints import Checkpoints
from optml.algorithms.xgboost.model import load
from optml.formats.layout import Layout
from optml.formats.record_protobuf import decode, encode
from optml.formats.records import Records
from optml.local.ports import free_port
from tests.contract.server import serving
from tests.contract.tree import HOSTS, Ended, Tree, end, train_together
from tests.shared import SHARED, needs_shared

XGBOOST = ("-m", "optml.container", "train")
GOLDEN = SHARED / "golden" / "xgboost-container"
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(3000, 4)).round(3)
LABELS = (ROWS[:, 0] - np.abs(ROWS[:, 1]) + 0.1 * RNG.normal(size=3000)).round(3)
# What the acceptance figures were measured with.
SETTINGS = {"max_depth": 5, "eta": 0.2, "gamma": 4, "min_child_weight": 6, "subsample": 0.7, "nthread": 1}


@pytest.fixture(autouse=True)
def algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTML_ALGORITHM", "xgboost")


def csv(rows: np.ndarray) -> str:
    return "".join(",".join(map(repr, row)) + "\n" for row in rows.tolist())


def job(root: Path, content_type: str = "text/csv", **hyperparameters: object) -> Tree:
    tree = Tree(root)
    table = np.column_stack([LABELS, ROWS])
    tree.write("input/data/train/rows.csv", csv(table[:2400]))
    tree.write("input/data/validation/rows.csv", csv(table[2400:]))
    names = ("train", "validation")
    tree.write("input/config/inputdataconfig.json", {name: {"ContentType": content_type} for name in names})
    tree.hyperparameters(**({"num_round": 20, "nthread": 1} | hyperparameters))
    return tree


def abalone(root: Path, data: Path, **hyperparameters: object) -> Tree:
    tree = Tree(root)
    names = ("train", "validation")
    for name in names:
        shutil.copytree(data / name, root / "input/data" / name)
    tree.write("input/config/inputdataconfig.json", {name: {"ContentType": "text/libsvm"} for name in names})
    tree.hyperparameters(**(SETTINGS | hyperparameters))
    return tree


def rounds(log: str) -> list[str]:
    return [line for line in log.splitlines() if re.match(r"\[\d+\]\t", line)]


def values(line: str) -> dict[str, float]:
    pairs = (item.rpartition(":") for item in line.split("\t")[1:])
    return {name: float(value) for name, _, value in pairs}


def answers(tree: Tree) -> np.ndarray:
    score: np.ndarray = load(tree.model, "cpu").predict(Records(ROWS.astype(np.float32)), {})["score"]
    return score


@needs_shared("golden/xgboost-container")
def test_abalone_prints_and_serves_the_measured_values(tmp_path: Path) -> None:
    tree = abalone(tmp_path, GOLDEN / "abalone", objective="reg:squarederror", num_round=50)
    ended = tree.train(*XGBOOST)
    assert ended.code == 0, ended.log
    lines = rounds(ended.log)
    assert lines[0] == "[0]\ttrain-rmse:2.85015\tvalidation-rmse:3.03182"
    assert values(lines[49]) == pytest.approx({"train-rmse": 1.61233, "validation-rmse": 2.27984}, abs=1e-4)
    for said in ("Train matrix has 2922 rows and 9 columns", "Validation matrix has 626 rows", "Single node"):
        assert said in ended.log
    text = (GOLDEN / "abalone/validation/abalone.validation").read_text().splitlines()
    truth = np.array([float(line.split()[0]) for line in text])
    cells = [dict(item.split(":") for item in line.split()[1:]) for line in text]
    table = "\n".join("," + ",".join(row.get(str(column), "") for column in range(1, 9)) for row in cells)
    with serving(tmp_path) as server:
        for body, kind in (("\n".join(text), "text/libsvm"), (table, "text/csv")):
            answer = server.invoke(body, headers={"Content-Type": kind})
            score = np.array(answer.text.split(), float)
            assert np.sqrt(np.mean((score - truth) ** 2)) == pytest.approx(2.27984, abs=1e-4)


def test_killed_and_restarted_is_undisturbed(tmp_path: Path) -> None:
    given = {"num_round": 30, "max_depth": 6, "subsample": 0.7, "colsample_bytree": 0.8}
    tree = job(tmp_path / "killed", **given)
    folder = tree.checkpoints()
    tree.kill_at("xgboost-checkpoint.12")
    resumed = tree.train(*XGBOOST)
    assert resumed.code == 0, resumed.log
    assert "Checkpoint loaded from" in resumed.log
    first = int(re.search(r"Resuming from iteration (\d+)", resumed.log)[1])  # type: ignore[index]
    assert rounds(resumed.log)[0].startswith(f"[{first}]\t")
    assert Checkpoints(folder).rounds()[-5:] == list(range(25, 30))
    undisturbed = job(tmp_path / "undisturbed", **given)
    undisturbed.checkpoints()
    assert undisturbed.train(*XGBOOST).code == 0
    np.testing.assert_array_equal(answers(tree), answers(undisturbed))


@pytest.mark.parametrize("wanted", ["true", "false"])
def test_sigterm_leaves_a_model_only_where_it_was_asked_for(tmp_path: Path, wanted: str) -> None:
    tree = job(tmp_path, num_round=100000, save_model_on_termination=wanted)
    tree.checkpoints()
    with tree.held("xgboost-checkpoint.*") as (process,):
        process.send_signal(signal.SIGTERM)
    ended = end(process)
    assert ended.code == 0, ended.log[-2000:]
    assert [path.name for path in tree.model.iterdir()] == (["xgboost-model"] if wanted == "true" else [])


def hosts(root: Path, content_type: str = "text/csv", **hyperparameters: object) -> list[Tree]:
    pytest.importorskip("torch")
    trees = [job(root / name, content_type, **({"num_round": 8} | hyperparameters)) for name in HOSTS]
    for tree, name in zip(trees, HOSTS, strict=True):
        tree.is_host(name)
    return trees


def test_two_hosts_do_what_one_does(tmp_path: Path) -> None:
    given = {"eval_metric": "rmse,r2", "num_round": 8}
    trees = hosts(tmp_path, **given)
    ended = train_together(trees, *XGBOOST)
    for host in ended:
        assert host.code == 0, host.log
    assert not any(trees[1].model.glob("*"))
    assert not rounds(ended[1].log)
    alone = job(tmp_path / "alone", **given)
    one = alone.train(*XGBOOST)
    # Each value is one of 3000 distinct ones that 256 bins are made of: the sketches of two hosts differ.
    np.testing.assert_allclose(answers(trees[0]), answers(alone), atol=0.2)
    assert np.corrcoef(answers(trees[0]), answers(alone))[0, 1] > 0.999
    assert values(rounds(ended[0].log)[-1]) == pytest.approx(values(rounds(one.log)[-1]), rel=0.03)


def test_sigterm_on_two_hosts_leaves_one_model(tmp_path: Path) -> None:
    trees = hosts(tmp_path, num_round=100000, save_model_on_termination="true")
    trees[0].checkpoints()
    with trees[0].held("xgboost-checkpoint.*", trees[1], OPTML_PORT=str(free_port())) as processes:
        for process in processes:
            process.send_signal(signal.SIGTERM)
    for process in processes:
        ended = end(process)
        assert ended.code == 0, ended.log[-2000:]
    left = [sorted(path.name for path in tree.model.glob("*")) for tree in trees]
    assert left == [["xgboost-model"], []]


def test_a_host_that_is_frozen_ends_the_other(tmp_path: Path) -> None:
    trees = hosts(tmp_path, num_round=100000)
    trees[0].checkpoints()
    environment = {"OPTML_PORT": str(free_port()), "OPTML_PEER_TIMEOUT_S": "2"}
    with trees[0].held("xgboost-checkpoint.*", trees[1], **environment) as processes:
        processes[1].send_signal(signal.SIGSTOP)
    assert end(processes[0]).code == 3
    assert trees[0].failure.startswith("PlatformError: localhost has given no sign of life for 2 s")
    processes[1].kill()
    end(processes[1])


@pytest.mark.parametrize("media", ["text/csv", "application/x-recordio-protobuf"])
def test_a_pipe_trains_what_files_do(tmp_path: Path, media: str) -> None:
    table = np.column_stack([LABELS, ROWS])[:2400]
    records = Records(table[:, 1:].astype(np.float32), table[:, :1])
    content = csv(table).encode() if media == "text/csv" else encode(records)
    tree = job(tmp_path / "piped")
    shutil.rmtree(tree.root / "input/data/train")
    pipe = {"ContentType": media, "TrainingInputMode": "Pipe"}
    tree.write("input/config/inputdataconfig.json", {"train": pipe})
    fifo = tree.root / "input/data/train_0"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(content,))
    writer.start()
    ended = tree.train(*XGBOOST)
    writer.join()
    assert ended.code == 0, ended.log
    files = job(tmp_path / "files")
    files.write("input/config/inputdataconfig.json", {"train": {"ContentType": "text/csv"}})
    files.write("input/data/train/rows.csv", csv(table))
    assert files.train(*XGBOOST).code == 0
    np.testing.assert_array_equal(answers(tree), answers(files))


def test_a_host_without_data_takes_part(tmp_path: Path) -> None:
    trees = hosts(tmp_path)
    for tree in trees:
        config = {"ContentType": "text/csv", "S3DistributionType": "ShardedByS3Key"}
        tree.write("input/config/inputdataconfig.json", {"train": config, "validation": config})
    for name in ("train", "validation"):
        (trees[1].root / f"input/data/{name}/rows.csv").unlink()
    ended = train_together(trees, *XGBOOST)
    for host in ended:
        assert host.code == 0, host.log
    assert "This host received no training data" in ended[1].log
    alone = job(tmp_path / "alone", num_round=8)
    alone.train(*XGBOOST)
    np.testing.assert_allclose(answers(trees[0]), answers(alone), rtol=1e-4)


def sharded(trees: list[Tree], *shards: np.ndarray) -> list[Ended]:
    """Each host trained on its own rows: label, features."""
    for tree, rows in zip(trees, shards, strict=True):
        config = {"ContentType": "text/csv", "S3DistributionType": "ShardedByS3Key"}
        tree.write("input/config/inputdataconfig.json", {"train": config})
        tree.write("input/data/train/rows.csv", csv(rows))
    return train_together(trees, *XGBOOST)


def test_hosts_that_see_one_class_each_train_as_one_does(tmp_path: Path) -> None:
    given = {"objective": "binary:logistic", "eval_metric": "logloss,f1,balanced_accuracy", "max_bin": 4000}
    table = np.column_stack([LABELS > 0, ROWS])
    ended = sharded(hosts(tmp_path, **given), table[LABELS > 0], table[LABELS <= 0])
    for host in ended:
        assert host.code == 0, host.log
    alone = job(tmp_path / "alone", num_round=8, **given)
    alone.write("input/config/inputdataconfig.json", {"train": {"ContentType": "text/csv"}})
    alone.write("input/data/train/rows.csv", csv(table))
    one = alone.train(*XGBOOST)
    assert values(rounds(ended[0].log)[-1]) == pytest.approx(values(rounds(one.log)[-1]), rel=2e-3)


def test_a_mistake_on_one_host_is_told_by_both(tmp_path: Path) -> None:
    trees = hosts(tmp_path)
    table = np.column_stack([LABELS, ROWS])
    ended = sharded(trees, table[:1000], table[1000:, :4])
    for host, tree in zip(ended, trees, strict=True):
        assert host.code == 2, host.log
        assert "Traceback" not in host.log
        said = "'train' on host 2 of 2 has rows of 3 features, but channel 'train' on host 1 of 2 of 4"
        assert said in tree.failure


def test_mistakes_are_the_users_to_mend(tmp_path: Path) -> None:
    tree = job(tmp_path)
    tree.write("input/data/train/rows.csv", "age,x\n1,2\n")
    ended = tree.train(*XGBOOST)
    assert ended.code == 2, ended.log
    assert "looks like a header" in tree.failure
    assert "Traceback" not in ended.log


def test_a_server_answers_in_every_format(tmp_path: Path) -> None:
    tree = job(tmp_path, objective="reg:squarederror", num_round=5)
    assert tree.train(*XGBOOST).code == 0
    rows = ROWS[:3].astype(np.float32)
    expected = answers(tree)[:3]
    sparse = "\n".join(" ".join(f"{at}:{value:.9g}" for at, value in enumerate(row)) for row in rows.tolist())
    lines = "\n".join(json.dumps({"features": row}) for row in rows.tolist())
    bodies = {
        "text/csv": csv(rows),
        "text/libsvm": sparse,
        "text/x-libsvm": "\n".join("7 " + line for line in sparse.split("\n")),
        "application/x-recordio-protobuf": encode(Records(rows)),
        "application/json": json.dumps({"instances": [{"features": row} for row in rows.tolist()]}),
        "application/jsonlines": lines,
    }
    with serving(tmp_path) as server:
        for kind, body in bodies.items():
            answer = server.invoke(body, headers={"Content-Type": kind})
            assert answer.headers["Content-Type"] == "text/csv"
            np.testing.assert_array_equal(np.array(answer.text.split("\n")[:-1], np.float32), expected)

        def ask(accept: str, body: object = bodies["text/csv"], kind: str = "text/csv") -> requests.Response:
            return server.invoke(body, headers={"Content-Type": kind, "Accept": accept})

        found = ask("application/json;verbose=True").json()
        assert [record["score"] for record in found["predictions"]] == [float(value) for value in expected]
        lines = ask("application/jsonlines").text
        assert [json.loads(line) for line in lines.splitlines()] == found["predictions"]
        framed = decode(ask("application/x-recordio-protobuf").content, Layout())
        np.testing.assert_array_equal(framed.features[:, 0], expected)

        hole = ask("text/csv", ",1,,2\n")
        assert hole.status_code == 200
        assert (ask("text/csv", b"").status_code, ask("text/csv", b"").content) == (204, b"")
        assert ask("text/csv", "1,two,3,4\n").status_code == 415
        assert ask("text/csv", "1,2,3,4", "image/png").status_code == 415
        assert ask("image/png").status_code == 406
        for body, said in (("1,2,3,4,5\n", "leave the label out"), ("1,2,3\n", "a feature lacks")):
            answer = ask("text/csv", body)
            assert answer.status_code == 400
            assert "is not consistent with feature size of trained model 4" in answer.text
            assert said in answer.text
            answer = ask("text/csv", body, "text/csv;label_size=1")  # at inference nothing is cut off
            assert answer.status_code == 400
        assert ask("text/csv", bodies["text/csv"], "text/csv;label_size=1").text == ask("text/csv").text
        assert ask("text/csv", "0:1 9:1", "text/libsvm").status_code == 400
        narrow = ask("text/csv", "0:1", "text/libsvm")
        assert narrow.text == ask("text/csv", "1,,,\n").text


def test_selected_keys_and_batch_jobs_are_answered_as_aws_does(tmp_path: Path) -> None:
    tree = job(tmp_path, objective="binary:logistic", num_round=5)
    for name in ("train", "validation"):
        tree.write(f"input/data/{name}/rows.csv", csv(np.column_stack([LABELS > 0, ROWS])[:500]))
    assert tree.train(*XGBOOST).code == 0
    chance = float(answers(tree)[0])
    label = int(chance > 0.5)
    environment = {"SAGEMAKER_INFERENCE_OUTPUT": "predicted_label, probabilities", "SAGEMAKER_BATCH": "True"}
    with serving(tmp_path, **environment) as server:
        body = csv(ROWS[:1].astype(np.float32))
        answer = server.invoke(body, headers={"Content-Type": "text/csv"})
        assert answer.text == f'{label},"[{1 - chance}, {chance}]"\n'
        answer = server.invoke(body, headers={"Content-Type": "text/csv", "Accept": "application/json"})
        record = {"predicted_label": label, "probabilities": [1 - chance, chance]}
        assert answer.json() == {"predictions": [record]}

"""Factorization Machines through `train` and `serve`: killed, piped, on two hosts, in every format."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy.sparse import csr_array, random_array

from optml.algorithms import registry
from optml.formats import record_protobuf as recordio
from optml.formats.layout import Layout
from optml.formats.records import Records
from optml.local.describe import metric_definitions
from optml.local.feeder import Feeder
from tests.contract import server
from tests.contract.tree import HOSTS, Tree, train_together

SLUG = "factorization-machines"
TRAIN = ("-m", "optml.container", "train")
RECORDIO = "application/x-recordio-protobuf"
WIDTH = 40
SETTINGS = {
    "feature_dim": WIDTH,
    "num_factors": 6,
    "predictor_type": "regressor",
    "mini_batch_size": 50,
    "epochs": 3,
    "factors_lr": 0.01,
    "factors_init_sigma": 0.1,
    "batch_metrics_publish_interval": 10,
}


@pytest.fixture(autouse=True)
def algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTML_ALGORITHM", SLUG)


def rows(n: int = 2000, *, classes: bool = False) -> Records:
    rng = np.random.default_rng(0)
    features = csr_array(random_array((n, WIDTH), density=0.1, format="csr", rng=rng, dtype=np.float32))
    labels = features.sum(axis=1) + features[:, [0]].toarray()[:, 0] * features[:, [1]].toarray()[:, 0]
    return Records(features, ((labels > 1.5) if classes else labels)[:, None].astype(np.float64))


def job(root: Path, records: Records, channels: tuple[str, ...] = ("train",), **given: object) -> Tree:
    tree = Tree(root)
    for name in channels:
        path = root / "input/data" / name / "a.pbr"
        path.parent.mkdir(parents=True)
        path.write_bytes(recordio.encode(records))
    tree.write("input/config/inputdataconfig.json", {name: {"ContentType": RECORDIO} for name in channels})
    tree.hyperparameters(**(SETTINGS | given))
    return tree


def arrays(tree: Tree) -> dict[str, np.ndarray]:
    return load_file(tree.model / "model.safetensors")


@pytest.mark.slow
def test_killed_and_restarted_through_a_pipe_is_undisturbed(tmp_path: Path) -> None:
    records = rows()
    tree = job(tmp_path / "killed", records)
    tree.kill_at(f"{SLUG}-0.1-*.ckpt")
    resumed = tree.train(*TRAIN)
    assert resumed.code == 0, resumed.log
    assert re.search(r"Checkpoint loaded from \S+ at epoch 1", resumed.log)

    piped = job(tmp_path / "piped", records)
    config = {"train": {"ContentType": RECORDIO, "TrainingInputMode": "Pipe"}}
    piped.write("input/config/inputdataconfig.json", config)
    data = piped.root / "input/data"
    (data / "train").rename(tmp_path / "source")
    with Feeder(data, "train", [tmp_path / "source"]):
        ended = piped.train(*TRAIN)
    assert ended.code == 0, ended.log
    for name, array in arrays(piped).items():
        np.testing.assert_array_equal(arrays(tree)[name], array)


def test_two_hosts_give_the_model_of_one(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    hosts = [job(tmp_path / name, rows()) for name in HOSTS]
    for ended in train_together(hosts, *TRAIN):
        assert ended.code == 0, ended.log
    assert not any(hosts[1].model.glob("*"))
    alone = job(tmp_path / "alone", rows(), mini_batch_size=100)
    assert alone.train(*TRAIN).code == 0
    for name, array in arrays(alone).items():
        np.testing.assert_allclose(arrays(hosts[0])[name], array, atol=1e-3)  # a tenth of a step of 0.01


def test_published_regexes_read_every_metric_from_the_logs(tmp_path: Path) -> None:
    channels = ("train", "validation", "test")
    log = ""
    for kind in ("regressor", "binary_classifier"):
        records = rows(classes=kind != "regressor")
        tree = job(tmp_path / kind, records, channels, predictor_type=kind, early_stopping_patience=1)
        ended = tree.train(*TRAIN)
        assert ended.code == 0, ended.log
        log += ended.log
    for definition in metric_definitions(registry.get(SLUG)):
        found = re.findall(definition["Regex"], log)
        assert found, definition
        assert all(np.isfinite(float(number)) for number in found)
    for line in (  # as AWS prints them
        r"\[Sparse network\] Building a sparse network\.\n",
        r"#quality_metric: host=algo-1, epoch=0, batch=10 train rmse <loss>=[0-9.e-]+\n",
        r"#quality_metric: host=algo-1, epoch=1, train binary_f_1\.000 <score>=[0-9.e-]+\n",
        r"#test_score \(algo-1\) : \('absolute_loss', [0-9.e-]+\)\n",
        r"#test_score \(algo-1\) : \('binary_f_1\.000', [0-9.e-]+\)\n",
        r"#quality_metric: host=algo-1, test binary_classification_cross_entropy <loss>=[0-9.e-]+\n",
    ):
        assert re.search(line, log), line


def test_records_that_do_not_fit_are_the_user_s_to_mend(tmp_path: Path) -> None:
    tree = job(tmp_path, rows(200), predictor_type="binary_classifier")
    ended = tree.train(*TRAIN)
    assert ended.code == 2, ended.log
    assert re.search(r"record 1 of \S*a.pbr has the label .*use predictor_type=regressor", tree.failure)
    assert "Traceback" not in ended.log


def test_answers_come_in_every_form_for_sparse_and_dense_rows_together(tmp_path: Path) -> None:
    records = rows(classes=True)
    tree = job(tmp_path, records, predictor_type="binary_classifier", epochs=1)
    assert tree.train(*TRAIN).code == 0
    few = records.features[:3]
    sparse = [
        {"data": {"features": {"keys": keys.tolist(), "shape": [WIDTH], "values": values.tolist()}}}
        for keys, values in (
            (few.indices[few.indptr[i] : few.indptr[i + 1]], few.data[few.indptr[i] : few.indptr[i + 1]])
            for i in range(3)
        )
    ]
    instances = [sparse[0], {"features": few[[1]].toarray()[0].tolist()}, sparse[2]]
    model = registry.get(SLUG).inference.load(tree.model, "cpu")
    expected = model.predict(Records(few), {})
    scores, labels = expected["score"].astype(float).tolist(), expected["predicted_label"].tolist()
    with server.serving(tmp_path) as served:

        def ask(body: Any, kind: str, accept: str | None = None) -> bytes:
            headers = {"Content-Type": kind} | ({"Accept": accept} if accept else {})
            answer = served.invoke(body, headers=headers)
            assert answer.status_code == 200, answer.text
            return answer.content

        answer = ask(json.dumps({"instances": instances}), "application/json")
        found = json.loads(answer)["predictions"]
        assert [row["predicted_label"] for row in found] == labels
        assert [row["score"] for row in found] == pytest.approx(scores, rel=1e-6)
        assert re.fullmatch(
            rb'\{"score": [0-9.e-]+, "predicted_label": [01]\}',
            ask(json.dumps(sparse[0]), "application/jsonlines", "application/jsonlines").strip(),
        )
        lines = ask("\n".join(map(json.dumps, instances)), "application/jsonlines", "application/jsonlines")
        assert [json.loads(line) for line in lines.splitlines()] == found
        body = recordio.encode(Records(few))
        answer = ask(body, RECORDIO, RECORDIO)
        record = re.findall(rb"score|predicted_label", answer)
        assert record == [b"score", b"predicted_label"] * 3
        body = "\n".join(",".join(map(str, row)) for row in few.toarray().tolist())
        table = [line.split(",") for line in ask(body, "text/csv", "text/csv").decode().splitlines()]
        assert [float(score) for score, _ in table] == pytest.approx(scores, rel=1e-6)
        assert [int(label) for _, label in table] == labels

        wrong = {"instances": [{"data": {"features": {"keys": [WIDTH], "values": [1]}}}]}
        refused = served.invoke(json.dumps(wrong), headers={"Content-Type": "application/json"})
        assert refused.status_code == 400
        assert f"has key {WIDTH}" in refused.text


def test_requests_of_any_width_are_never_densified() -> None:
    from optml.formats import json as json_format

    body = b'{"instances":[{"data":{"features":{"keys":[5,99999999],"shape":[100000000],"values":[1,2]}}}]}'
    read = json_format.decode(body, Layout(10**8, 0))
    assert isinstance(read.features, csr_array)
    assert read.features.shape == (1, 10**8)

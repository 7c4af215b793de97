"""IP Insights through `train`, `serve` and batch transform: killed, stopped, on two hosts, in every form."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from optml.algorithms import registry
from optml.local.describe import metric_definitions
from tests.algorithms.ip_insights.training import at_home
from tests.contract import server
from tests.contract.tree import HOSTS, Tree, end, read_until, train_together

SLUG = "ipinsights"
TRAIN = ("-m", "optml.container", "train")
SETTINGS = {
    "num_entity_vectors": 100,
    "vector_dim": 8,
    "mini_batch_size": 100,
    "epochs": 3,
    "learning_rate": 0.01,
    "batch_metrics_publish_interval": 10,
    "_ip_prefix_tables": "false",
}


@pytest.fixture(autouse=True)
def algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTML_ALGORITHM", SLUG)


def job(root: Path, pairs: bytes, channels: tuple[str, ...] = ("train",), **given: object) -> Tree:
    tree = Tree(root)
    for name in channels:
        path = root / "input/data" / name / "part" / "a.csv"
        path.parent.mkdir(parents=True)
        path.write_bytes(pairs)
    tree.write("input/config/inputdataconfig.json", {name: {"ContentType": "text/csv"} for name in channels})
    tree.hyperparameters(**(SETTINGS | given))
    return tree


def arrays(tree: Tree) -> dict[str, np.ndarray]:
    return load_file(tree.model / "model.safetensors")


def test_killed_and_restarted_is_undisturbed(tmp_path: Path) -> None:
    pairs = at_home(2000)
    tree = job(tmp_path / "killed", pairs)
    tree.kill_at(f"{SLUG}-0.1-*.ckpt")
    resumed = tree.train(*TRAIN)
    assert resumed.code == 0, resumed.log
    assert re.search(r"Checkpoint loaded from \S+ at epoch 1", resumed.log)
    whole = job(tmp_path / "whole", pairs)
    assert whole.train(*TRAIN).code == 0
    for name, array in arrays(whole).items():
        np.testing.assert_array_equal(arrays(tree)[name], array)


def test_two_hosts_give_the_model_of_one(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    hosts = [job(tmp_path / name, at_home(2000), ("train", "validation")) for name in HOSTS]
    for ended in train_together(hosts, *TRAIN):
        assert ended.code == 0, ended.log
    assert not any(hosts[1].model.glob("*"))
    alone = job(tmp_path / "alone", at_home(2000), mini_batch_size=200)
    assert alone.train(*TRAIN).code == 0
    for name, array in arrays(alone).items():
        np.testing.assert_allclose(arrays(hosts[0])[name], array, atol=1e-3)  # a tenth of a step of 0.01


def test_published_regexes_read_every_metric_from_the_log(tmp_path: Path) -> None:
    tree = job(tmp_path, at_home(2000), ("train", "validation"))
    ended = tree.train(*TRAIN)
    assert ended.code == 0, ended.log
    for definition in metric_definitions(registry.get(SLUG)):
        found = re.findall(definition["Regex"], ended.log)
        assert found, definition
        assert all(np.isfinite(float(number)) for number in found)
    told, number = "#quality_metric: host=algo-1", r"[0-9.e-]+"
    for line in (  # as AWS prints them
        rf"{told}, epoch=0, batch=0 train binary_classification_accuracy <score>={number}\n",
        rf"{told}, epoch=2, batch=50 train binary_classification_cross_entropy <loss>={number}\n",
        rf"Epoch\[1\] Batch \[10\]\tSpeed: \d+\.\d\d samples/sec\tbinary_classification_accuracy={number}\t"
        rf"binary_classification_cross_entropy={number}\n",
        r"Epoch\[2\] Train-binary_classification_accuracy=0\.\d{6}\n",
        r"Epoch\[2\] Time cost=\d+\.\d{3}\n",
        rf"{told}, epoch=2, train binary_classification_accuracy <score>={number}\n",
        rf"{told}, epoch=2, validation discriminator_auc <score>={number}\n",
        r"Scores of the validation channel's random addresses, quantiles: ",
        r"A threshold of -?[0-9.e-]+ takes 1 % of the validation channel's pairs for unusual",
        r"Test data is not provided\.\n",
    ):
        assert re.search(line, ended.log), line
    counters = [json.loads(text) for text in re.findall(r"^#metrics (.*)$", ended.log, re.M)]
    (last,) = (
        c["Metrics"] for c in counters if c["Dimensions"].get("Meta") and c["Dimensions"].get("epoch") == 2
    )
    assert last["Total Records Seen"]["sum"] == 3 * 2000 * 3  # negatives count
    assert last["Total Batches Seen"]["sum"] == 3 * 60


def test_a_job_that_is_stopped_leaves_a_model(tmp_path: Path) -> None:
    tree = job(tmp_path, at_home(2000), epochs=100_000)
    process = tree.start(*TRAIN)
    read_until(process, "epoch=1,")
    process.send_signal(signal.SIGTERM)
    ended = end(process)
    assert ended.code == 0, ended.log
    assert arrays(tree)["entity_table"].shape == (100, 8)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            b"user,ip\na,1.2.3.4\n",
            r"line 1 of train/part/a\.csv has the address 'ip', .*remove the header line",
        ),
        (b"a,1.2.3.4\nb,fe80::1\n", r"line 2 of \S+ has the address 'fe80::1', .*IPv4 only.*'b,fe80::1'"),
        (b"\n\n", "channel 'train' is empty"),
    ],
)
def test_bad_pairs_are_the_user_s_to_mend(tmp_path: Path, text: bytes, said: str) -> None:
    tree = job(tmp_path, text)
    ended = tree.train(*TRAIN)
    assert ended.code == 2, ended.log
    assert re.search(said, tree.failure)
    assert "Traceback" not in ended.log


def test_answers_come_in_every_form(tmp_path: Path) -> None:
    tree = job(tmp_path, at_home(2000), ("train", "validation"))
    assert tree.train(*TRAIN).code == 0
    table = "user_1, 20.1.7.5\nnobody,20.1.7.5\n"
    records = [
        {"data": {"features": {"values": ["user_1", "20.1.7.5"]}}},
        {"features": ["nobody", "20.1.7.5"]},
    ]
    bodies = {
        "text/csv": table,
        "application/json": json.dumps({"instances": records}),
        "application/jsonlines": "\n".join(map(json.dumps, records)),
    }
    with server.serving(tmp_path) as served:

        def ask(media: str, accept: str = "") -> str:
            headers = {"Content-Type": media} | ({"Accept": accept} if accept else {})
            answer = served.invoke(bodies[media], headers=headers)
            assert answer.status_code == 200, answer.text
            return answer.text

        whole = ask("text/csv")
        assert re.fullmatch(r'\{"predictions": \[\{"dot_product": \S+\}, \{"dot_product": \S+\}\]\}', whole)
        assert {ask(media) for media in bodies} == {whole}
        lines = ask("application/json", "application/jsonlines")
        scores = [row["dot_product"] for row in json.loads(whole)["predictions"]]
        assert [json.loads(line)["dot_product"] for line in lines.splitlines()] == scores
        for accept in ("application/json;verbose=True", "application/json; Verbose=true"):
            for row in json.loads(ask("text/csv", accept))["predictions"]:
                assert sorted(row) == ["dot_product", "entity_embedding", "ip_embedding"]
                product = np.dot(row["entity_embedding"], row["ip_embedding"])
                assert row["dot_product"] == pytest.approx(product, abs=1e-5)
        lines = ask("text/csv", "application/jsonlines;verbose=True;seen=True").splitlines()
        assert [json.loads(line)["entity_seen"] for line in lines] == [True, False]

        refused = served.invoke(
            table, headers={"Content-Type": "text/csv", "Accept": "application/x-recordio-protobuf"}
        )
        assert refused.status_code == 406
        assert "application/jsonlines" in refused.text
        bad = {"instances": [*records, {"features": ["a", "1.2.3"]}]}
        refused = served.invoke(json.dumps(bad), headers={"Content-Type": "application/json"})
        assert (refused.status_code, "record 3 has the address" in refused.text) == (400, True)
        assert served.invoke("", headers={"Content-Type": "text/csv"}).status_code == 400
        assert "MaxPayloadInMB" in served.get("/execution-parameters").json()

        source = tmp_path / "in"
        source.mkdir()
        (source / "a.csv").write_bytes(at_home(300))
        from optml.local.transform.job import TransformSettings, transform

        settings = TransformSettings(
            content_type="text/csv", accept="application/jsonlines", split_type="Line", assemble_with="Line"
        )
        report = transform(source, tmp_path / "out", served.url, settings)
        assert not report.failed
        answers = (tmp_path / "out" / "a.csv.out").read_text().splitlines()
        assert len(answers) == 300
        assert all("dot_product" in json.loads(answer) for answer in answers)

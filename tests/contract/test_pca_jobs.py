"""PCA through `train`: through a FIFO, on two hosts, stopped, resumed, and with what is wrong."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from optml.algorithms import registry
from optml.formats.record_protobuf import encode
from optml.formats.records import Records
from optml.local.describe import metric_definitions
from tests.algorithms.pca.training import singular_values, spread
from tests.contract.tree import HOSTS, Tree, end, train_together, wait_for

PCA = ("-m", "optml.container", "train")
ROWS = spread(5000, 64)
SETTINGS = {"num_components": 5, "feature_dim": 64, "mini_batch_size": 500}
RECORDIO = {"ContentType": "application/x-recordio-protobuf"}


@pytest.fixture(autouse=True)
def algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTML_ALGORITHM", "pca")


def job(root: Path, *parts: np.ndarray, config: dict[str, str] = RECORDIO, **hyperparameters: object) -> Tree:
    tree = Tree(root)
    for number, part in enumerate(parts):
        tree.write(f"input/data/train/part-{number}", "")
        (root / f"input/data/train/part-{number}").write_bytes(encode(Records(part)))
    tree.write("input/config/inputdataconfig.json", {"train": config})
    tree.hyperparameters(**(SETTINGS | hyperparameters))
    return tree


def arrays(tree: Tree) -> dict[str, np.ndarray]:
    return load_file(tree.model / "model.safetensors")


def test_a_job_leaves_the_components_and_every_published_metric(tmp_path: Path) -> None:
    tree = job(tmp_path, ROWS[:3000], ROWS[3000:], subtract_mean="True", force_dense="true")
    (tmp_path / "input/data/test").mkdir()
    (tmp_path / "input/data/test/a").write_bytes(encode(Records(ROWS[:100])))
    tree.write("input/config/inputdataconfig.json", {"train": RECORDIO, "test": RECORDIO})
    ended = tree.train(*PCA)
    assert ended.code == 0, ended.log
    np.testing.assert_allclose(arrays(tree)["s"], singular_values(ROWS, 5), rtol=1e-6)
    assert (tree.model / "model_algo-1").exists()
    for definition in metric_definitions(registry.get("pca")):
        found = re.findall(definition["Regex"], ended.log)
        assert len(found) == 1, definition
        assert np.isfinite(float(found[0]))
    assert "64 feature(s) found in 'data'." in ended.messages
    assert '"Algorithm": "PCA"' in ended.log


def test_a_pipe_gives_what_files_give(tmp_path: Path) -> None:
    files, pipe = (
        job(tmp_path / "files", ROWS),
        job(tmp_path / "pipe", config=RECORDIO | {"TrainingInputMode": "Pipe"}),
    )
    assert files.train(*PCA).code == 0
    (pipe.root / "input/data").mkdir()
    fifo = pipe.root / "input/data/train_0"
    os.mkfifo(fifo)
    thread = threading.Thread(target=lambda: fifo.write_bytes(encode(Records(ROWS))))
    thread.start()
    ended = pipe.train(*PCA)
    thread.join()
    assert ended.code == 0, ended.log
    for name, array in arrays(files).items():
        np.testing.assert_array_equal(arrays(pipe)[name], array)


def test_a_job_that_is_stopped_leaves_the_components_of_what_it_has_read_and_goes_on(tmp_path: Path) -> None:
    """Told to stop while its Pipe is silent; restarted, with the Pipe from the beginning."""
    tree = job(tmp_path, config=RECORDIO | {"TrainingInputMode": "Pipe"}, feature_dim=512, num_components=3)
    folder = tree.checkpoints()
    (tmp_path / "input/data").mkdir()
    fifo = tmp_path / "input/data/train_0"
    os.mkfifo(fifo)
    rows = np.random.default_rng(0).standard_normal((22_000, 512), dtype=np.float32)
    rows *= np.linspace(1, 3, 512, dtype=np.float32)
    half, whole = encode(Records(rows[:20_000])), encode(Records(rows))
    fed, finish = threading.Event(), threading.Event()

    def feed() -> None:
        with fifo.open("wb") as writer:
            writer.write(half)
            writer.flush()
            fed.set()
            finish.wait()

    thread = threading.Thread(target=feed)
    thread.start()
    process = tree.start(*PCA, OPTML_CHECKPOINT_SECONDS="0")
    try:
        assert fed.wait(100)
        wait_for(folder, "pca-0*.ckpt")  # written when the first batch is there, which is then absorbed
        process.send_signal(signal.SIGTERM)
        ended = end(process)
    finally:
        finish.set()
        thread.join()
    assert ended.code == 0, ended.log
    assert "Stopping on SIGTERM after epoch 0" in ended.messages
    read = int(arrays(tree)["n"].item())
    assert 16_384 <= read <= 20_000
    np.testing.assert_allclose(arrays(tree)["s"], singular_values(rows[:read], 3), rtol=1e-5)
    assert list(folder.glob("pca-0*.ckpt"))

    thread = threading.Thread(target=lambda: fifo.write_bytes(whole))
    thread.start()
    resumed = tree.train(*PCA)
    thread.join()
    assert resumed.code == 0, resumed.log
    assert "Checkpoint loaded" in resumed.log
    assert int(arrays(tree)["n"].item()) == 22_000
    np.testing.assert_allclose(arrays(tree)["s"], singular_values(rows, 3), rtol=1e-5)


def test_two_hosts_give_the_components_of_one(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    hosts = [job(tmp_path / name, ROWS) for name in HOSTS]  # of 500 rows a mini-batch, each has five
    for ended in train_together(hosts, *PCA):
        assert ended.code == 0, ended.log
        assert "processed a total of 2500 examples" in ended.log
    assert not any(hosts[1].model.glob("*"))
    found = arrays(hosts[0])
    assert int(found["n"].item()) == len(ROWS)
    np.testing.assert_allclose(found["s"], singular_values(ROWS, 5), rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "given", "said"),
    [
        ("age,height,c\n1,2,3\n", {}, "age"),
        ("1,2,nan\n", {}, "nan"),
        ("1,2,3,4,5\n", {}, "feature_dim is 3"),
        ("1,2,3\n", {"num_components": 4}, "lower num_components"),
        ("1,2,3\n", {"algorithm_mode": "stable"}, "regular"),
        ("", {}, "channel 'train' is empty"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_the_users_to_mend(
    tmp_path: Path, text: str, given: dict[str, object], said: str
) -> None:
    tree = Tree(tmp_path)
    tree.write("input/data/train/rows.csv", text)
    tree.write("input/config/inputdataconfig.json", {"train": {"ContentType": "text/csv;label_size=0"}})
    tree.hyperparameters(**({"num_components": 2, "feature_dim": 3, "mini_batch_size": 10} | given))
    ended = tree.train(*PCA)
    assert ended.code == 2, ended.log
    assert tree.failure.startswith("ClientError: ")
    assert said in tree.failure.replace("NaN", "nan")
    assert "Traceback" not in ended.log

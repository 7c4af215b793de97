"""Semantic Segmentation through `train` and `serve`: files, Pipe, killed, stopped, gone on with, asked."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

pytest.importorskip("torch")
pytest.importorskip("simplejpeg")

from PIL import Image

from optml.algorithms import registry
from optml.formats.recordio import frame
from optml.local.describe import metric_definitions
from optml.local.feeder import Feeder
from tests.algorithms.semantic_segmentation.shapes import CLASSES, write
from tests.contract import server
from tests.contract.tree import Ended, Tree, end, read_until

TRAIN = ("-m", "optml.container", "train")
CHANNELS = {
    "train": "image/jpeg", "validation": "image/jpeg", "train_annotation": "image/png",
    "validation_annotation": "image/png",
}  # fmt: skip
SETTINGS = {
    "num_classes": CLASSES, "num_training_samples": 4, "crop_size": 24, "base_size": 32, "epochs": 1,
    "mini_batch_size": 2, "validation_mini_batch_size": 2, "learning_rate": 0.01,
}  # fmt: skip


@pytest.fixture(autouse=True)
def algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTML_ALGORITHM", "semantic-segmentation")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def job(root: Path, **given: object) -> Tree:
    tree = Tree(root)
    write(root / "input/data", "train", 4, size=(24, 32))
    write(root / "input/data", "validation", 2, first=100, size=(24, 32))
    config(tree, CHANNELS)
    tree.hyperparameters(**(SETTINGS | given))
    return tree


def config(tree: Tree, channels: dict[str, str], **others: dict[str, str]) -> None:
    entries = {name: {"ContentType": media} for name, media in channels.items()}
    tree.write("input/config/inputdataconfig.json", entries | others)


def same(one: Tree, other: Tree) -> bool:
    """Have both trained the same model?"""
    first, second = (load_file(tree.model / "model.safetensors") for tree in (one, other))
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def trained(tree: Tree) -> Ended:
    ended = tree.train(*TRAIN)
    assert ended.code == 0, ended.log
    return ended


def scores(ended: Ended) -> list[str]:
    return re.findall(r"#quality_metric\. host: algo-1, epoch: \d, (.*)", ended.log)


def pipe(folder: Path, target: Path) -> None:
    """Channel train as an augmented manifest comes through a Pipe: image, mask, image, mask ..."""
    target.mkdir()
    records = []
    for path in sorted((folder / "train").iterdir()):
        records += [path.read_bytes(), (folder / "train_annotation" / f"{path.stem}.png").read_bytes()]
    (target / "all").write_bytes(b"".join(map(frame, records)))


@pytest.mark.slow
def test_files_and_a_pipe_train_alike_and_the_log_is_as_aws_prints_it(tmp_path: Path) -> None:
    files, piped = job(tmp_path / "files"), job(tmp_path / "pipe")
    one = trained(files)
    about = {
        "ContentType": "application/x-recordio",
        "TrainingInputMode": "Pipe",
        "RecordWrapperType": "RecordIO",
    }
    data = piped.root / "input/data"
    pipe(data, tmp_path / "stream")
    (data / "train").rename(tmp_path / "unused")
    (data / "train_annotation").rename(tmp_path / "masks")
    config(piped, {name: media for name, media in CHANNELS.items() if "validation" in name}, train=about)
    with Feeder(data, "train", [tmp_path / "stream"]):
        other = trained(piped)
    assert scores(one) == scores(other)
    assert same(files, piped)
    for definition in metric_definitions(registry.get("semantic-segmentation")):
        values = re.findall(definition["Regex"], one.log)
        assert values, definition
        assert all(np.isfinite(float(number)) for number in values)
    messages = "\n".join(one.messages)
    number = r"[\d.e-]+"
    for line in (
        "label maps not provided, using defaults.\n#label_map train :{'scale': 1}",
        "LRScheduler setup: iters per epoch: 2, num_epochs 1",
        rf"#quality_metric\. host: algo-1, epoch: 0, train loss: {number} \.\n"
        rf"#throughput_metric\. host: algo-1, epoch: 0, train throughput: {number} samples/sec\.\n"
        rf"#quality_metric\. host: algo-1, epoch: 0, validation pixel_accuracy: {number} \.\n"
        rf"#quality_metric\. host: algo-1, epoch: 0, validation mIOU: {number} \.\n"
        rf"#quality_metric\. host: algo-1, epoch: 0, validation mIOU_present: {number} \.\n"
        rf"#throughput_metric\. host: algo-1, epoch: 0, validation throughput: {number} samples/sec\.\n"
        "Serializing model to model.safetensors",
        "use_pretrained_model was not given: the encoder begins at random",
        "Test data is not provided.",
    ):
        assert re.search(line, messages), line
    assert '"Algorithm": "AWS/Semantic Segmentation"' in one.log
    names = sorted(path.name for path in files.model.iterdir())
    assert names == ["hyperparams.json", "model.json", "model.safetensors", "model_last.safetensors"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_and_restarted_is_undisturbed(tmp_path: Path) -> None:
    tree = job(tmp_path / "killed", epochs=3)
    tree.kill_at("semantic-segmentation-0.1-2.ckpt")
    assert re.search(r"Checkpoint loaded from \S+ at epoch 1", trained(tree).log)
    whole = job(tmp_path / "whole", epochs=3)
    trained(whole)
    assert same(tree, whole)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_stopped_it_leaves_a_model_that_is_gone_on_with(tmp_path: Path) -> None:
    tree = job(tmp_path / "first", epochs=100_000)
    process = tree.start(*TRAIN)
    read_until(process, "validation mIOU:")
    process.terminate()
    assert end(process).code == 0
    following = job(tmp_path / "second")
    (following.root / "input/data/model").symlink_to(tree.model)
    config(following, CHANNELS, model={})
    assert "from which training goes on" in trained(following).log
    following.hyperparameters(**(SETTINGS | {"algorithm": "psp"}))
    assert following.train(*TRAIN).code == 2
    assert "algorithm is fcn there and psp here" in following.failure


def test_bad_input_is_told_in_words(tmp_path: Path) -> None:
    def refusal(tree: Tree, **given: object) -> str:
        tree.hyperparameters(**(SETTINGS | given))
        ended = tree.train(*TRAIN)
        assert ended.code == 2, ended.log
        assert "Traceback" not in ended.log
        return tree.failure

    tree = job(tmp_path)
    assert "has 4 images, fewer than mini_batch_size=5" in refusal(tree, mini_batch_size=5)
    assert "no weights of ResNet-50" in refusal(tree, use_pretrained_model=True)
    assert "pixels of no class" in refusal(tree, num_classes=2)
    config(tree, {name: media for name, media in CHANNELS.items() if name != "train_annotation"})
    assert "channel 'train_annotation' is required and was not given" in refusal(tree)
    config(tree, {name: media for name, media in CHANNELS.items() if name != "validation"})
    assert "channel 'validation' is required and was not given" in refusal(tree)


def test_a_model_answers_pictures_in_every_form(tmp_path: Path) -> None:
    from tests.serving import every

    every.served("semantic-segmentation").model.save(tmp_path / "model")
    picture = every.request("semantic-segmentation", "image/png")
    with server.serving(tmp_path) as endpoint:
        plain = endpoint.invoke(picture, headers={})
        assert plain.headers["Content-Type"] == "image/png"
        classes = np.array(Image.open(io.BytesIO(plain.content)))
        assert classes.shape == (9, 11)
        for accept in ("image/*", "image/png", "*/*"):
            headers = {"Content-Type": "image/jpeg", "Accept": accept}
            assert endpoint.invoke(picture, headers=headers).content == plain.content
        for accept in ("application/x-protobuf", "application/x-recordio-protobuf"):
            answer = endpoint.invoke(picture, headers={"Accept": accept})
            assert (answer.status_code, answer.headers["Content-Type"]) == (200, accept)
            assert answer.content[:4] == b"\x0a\x23\xd7\xce"
        told = endpoint.invoke(picture, headers={"Accept": "application/json"}).json()
        assert told == {"shape": [9, 11], "predictions": classes.tolist()}
        lines = endpoint.invoke(picture, headers={"Accept": "application/jsonlines"})
        assert json.loads(lines.text) == told
        for body, headers, status in (
            (b'{"a": 1}', {"Content-Type": "application/jsonlines"}, 415),
            (picture[:-30], {"Content-Type": "image/png"}, 400),
            (picture, {"Accept": "text/csv"}, 406),
        ):
            assert endpoint.invoke(body, headers=headers).status_code == status
        assert endpoint.get("/execution-parameters").json()["MaxPayloadInMB"] == 10

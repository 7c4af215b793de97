"""Image Classification through `train` and `serve`: every form of data, killed, stopped, on two hosts,
asked."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

pytest.importorskip("torch")
pytest.importorskip("simplejpeg")

from PIL import Image

from optml.algorithms import registry
from optml.formats.images import record
from optml.local.describe import metric_definitions
from optml.local.feeder import Feeder
from tests.algorithms.image_classification.test_aws import write
from tests.algorithms.image_classification.training import CLASSES, pictures
from tests.algorithms.vision.mxnet_graph import resnet
from tests.contract import server
from tests.contract.tree import HOSTS, Ended, Tree, end, read_until, train_together

TRAIN = ("-m", "optml.container", "train")
REC, IMAGE = "application/x-recordio", "application/x-image"
SETTINGS = {
    "num_classes": CLASSES, "num_training_samples": 80, "image_shape": "3,8,8", "num_layers": 20, "epochs": 2,
    "mini_batch_size": 16, "learning_rate": 0.05, "augmentation_type": "crop", "resize": 9,
}  # fmt: skip


@pytest.fixture(autouse=True)
def algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTML_ALGORITHM", "image-classification")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def files(count: int, seed: int = 0) -> tuple[list[bytes], list[int]]:
    """Pictures as PNG and JPEG in turn, and their classes."""
    pixels, labels = pictures(count, 3, seed)
    contents = []
    for number, picture in enumerate(pixels.astype(np.uint8)):
        stream = io.BytesIO()
        Image.fromarray(picture).resize((10, 12)).save(stream, ("PNG", "JPEG")[number % 2])
        contents.append(stream.getvalue())
    return contents, labels.tolist()


def rec(path: Path, count: int, seed: int, labels: Sequence[Sequence[float]] | None = None) -> None:
    contents, classes = files(count, seed)
    path.parent.mkdir(parents=True)
    values = [[float(label)] for label in classes] if labels is None else labels
    with path.open("wb") as file:
        record.write(
            (
                record.Image(np.array(v, np.float32), i, c)
                for i, (v, c) in enumerate(zip(values, contents, strict=True))
            ),
            file,
        )


def job(root: Path, **given: object) -> Tree:
    tree = Tree(root)
    for seed, (name, count) in enumerate({"train": 80, "validation": 20}.items()):
        rec(root / "input/data" / name / "a.rec", count, seed)
    config(tree, {name: {"ContentType": REC} for name in ("train", "validation")})
    tree.hyperparameters(**(SETTINGS | given))
    return tree


def config(tree: Tree, channels: dict[str, dict[str, str]]) -> None:
    tree.write("input/config/inputdataconfig.json", channels)


def listed(root: Path, **given: object) -> Tree:
    """The same as files and `.lst`."""
    tree = Tree(root)
    for seed, (name, count) in enumerate({"train": 80, "validation": 20}.items()):
        contents, labels = files(count, seed)
        folder = root / "input/data" / name / "all"
        folder.mkdir(parents=True)
        lines = []
        for number, (content, label) in enumerate(zip(contents, labels, strict=True)):
            (folder / f"{number}.jpg").write_bytes(content)
            lines.append(f"{number}\t{label:.6f}\tall/{number}.jpg\n")
        tree.write(f"input/data/{name}_lst/{name}.lst", "".join(lines))
    names = ("train", "validation", "train_lst", "validation_lst")
    config(tree, {name: {"ContentType": IMAGE} for name in names})
    tree.hyperparameters(**(SETTINGS | given))
    return tree


def arrays(tree: Tree) -> dict[str, np.ndarray]:
    return load_file(tree.model / "model.safetensors")


def trained(tree: Tree) -> Ended:
    ended = tree.train(*TRAIN)
    assert ended.code == 0, ended.log
    return ended


def epochs(ended: Ended) -> list[str]:
    return re.findall(r"Epoch\[\d\] (?:Train|Validation)-accuracy=\S+", ended.log)


def test_a_list_of_files_trains_as_records_do_and_the_log_is_as_aws_prints_it(tmp_path: Path) -> None:
    records, images = job(tmp_path / "rec"), listed(tmp_path / "lst")
    one, other = trained(records), trained(images)
    assert epochs(one) == epochs(other)
    assert len(epochs(one)) == 4
    for name, array in arrays(records).items():
        np.testing.assert_array_equal(arrays(images)[name], array)
    for definition in metric_definitions(registry.get("image-classification")):
        values = re.findall(definition["Regex"], one.log)
        assert values, definition
        assert all(np.isfinite(float(number)) for number in values)
    messages = "\n".join(other.messages)
    for line in (
        rf"Searching for \.lst files in {re.escape(str(tmp_path))}/lst/input/data/train_lst\.",
        "Creating record files for train.lst\nDone creating record files...",
        "checkpoint_frequency not set, will store the best model",
        r"Epoch\[0\] Train-accuracy=0\.\d{6}\nEpoch\[0\] Time cost=[\d.]+\nEpoch\[0\] "
        r"Validation-accuracy=0\.\d{6}\n"
        r"Storing the best model with validation accuracy: 0\.\d{6}\nSaved checkpoint to "
        r"\"model.safetensors\"",
    ):
        assert re.search(line, messages), line


@pytest.mark.slow
def test_a_pipe_and_a_manifest_train_as_files_do(tmp_path: Path) -> None:
    whole = job(tmp_path / "file")
    one = trained(whole)
    piped = job(tmp_path / "pipe")
    pipe = {"ContentType": REC, "TrainingInputMode": "Pipe"}
    config(piped, {"train": pipe, "validation": {"ContentType": REC}})
    data = piped.root / "input/data"
    (data / "train").rename(tmp_path / "source")
    with Feeder(data, "train", [tmp_path / "source"]):
        other = trained(piped)
    assert epochs(one) == epochs(other)

    manifests = Tree(tmp_path / "manifest")
    for seed, (name, count) in enumerate({"train": 80, "validation": 20}.items()):
        contents, labels = files(count, seed)
        folder = manifests.root / "input/data" / name
        (folder / "all").mkdir(parents=True)
        lines = []
        for number, (content, label) in enumerate(zip(contents, labels, strict=True)):
            (folder / f"all/{number}.jpg").write_bytes(content)
            about = {"class-name": "abcd"[label], "type": "groundtruth/image-classification"}
            entry = {"source-ref": f"s3://b/all/{number}.jpg", "class": str(label), "class-metadata": about}
            lines.append(json.dumps(entry) + "\n")
        manifests.write(f"input/data/{name}/{name}.manifest", "".join(lines))
    config(manifests, {name: {"ContentType": REC} for name in ("train", "validation")})
    manifests.hyperparameters(**SETTINGS)
    assert epochs(trained(manifests)) == epochs(one)
    facts = json.loads((manifests.model / "model.json").read_text())["facts"]
    assert facts["class_names"] == ["a", "b", "c", "d"]


@pytest.mark.slow
def test_killed_and_restarted_is_undisturbed(tmp_path: Path) -> None:
    given: dict[str, Any] = {"epochs": 3, "checkpoint_frequency": 1}
    tree = job(tmp_path / "killed", **given)
    tree.kill_at("image-classification-0.1-2.ckpt")
    resumed = trained(tree)
    assert re.search(r"Checkpoint loaded from \S+ at epoch 1", resumed.log)
    whole = job(tmp_path / "whole", **given)
    trained(whole)
    for name, array in arrays(whole).items():
        np.testing.assert_array_equal(arrays(tree)[name], array)
    for number in (1, 2, 3):
        path = f"checkpoints/epoch-{number:04d}.safetensors"
        np.testing.assert_array_equal(
            load_file(tree.model / path)["fc.weight"], load_file(whole.model / path)["fc.weight"]
        )


def test_two_hosts_agree_on_one_model(tmp_path: Path) -> None:
    hosts = [job(tmp_path / name, kv_store="dist_async") for name in HOSTS]
    both = train_together(hosts, *TRAIN)
    for ended in both:
        assert ended.code == 0, ended.log
    assert not any(hosts[1].model.glob("*"))
    assert "exchanged synchronously all the same" in both[0].log
    assert epochs(both[0])
    assert not epochs(both[1])
    assert arrays(hosts[0])["fc.weight"].shape == (CLASSES, 64)


def test_stopped_it_leaves_a_model(tmp_path: Path) -> None:
    tree = job(tmp_path, epochs=100_000)
    process = tree.start(*TRAIN)
    read_until(process, "Epoch[1] Train-accuracy")
    process.terminate()
    assert end(process).code == 0
    assert arrays(tree)["fc.weight"].shape == (CLASSES, 64)


@pytest.mark.slow
def test_several_labels_weighted_and_gone_on_with(tmp_path: Path) -> None:
    several = {"multi_label": 1, "use_weighted_loss": 1, "num_classes": 3, "epochs": 1}
    tree = Tree(tmp_path / "first")
    hot = np.random.default_rng(0).integers(0, 2, (80, 3)).astype(float).tolist()
    for name, count in {"train": 80, "validation": 20}.items():
        rec(tree.root / "input/data" / name / "a.rec", count, 0, hot[:count])
    config(
        tree, {name: {"ContentType": f"{REC}; label-format=multi-hot"} for name in ("train", "validation")}
    )
    tree.hyperparameters(**(SETTINGS | several))
    ended = trained(tree)
    assert "label-format is multi-hot" in ended.log
    assert "Weights of the labels in the loss: [" in ended.log
    document = json.loads((tree.model / "model.json").read_text())
    assert document["facts"]["multi_label"] == 1

    (tree.root / "model").rename(tmp_path / "model")
    (tree.root / "input/data/model").symlink_to(tmp_path / "model")
    config(tree, {"train": {"ContentType": REC}, "validation": {"ContentType": REC}, "model": {}})
    assert "from which training goes on" in trained(tree).log
    tree.hyperparameters(**(SETTINGS | several | {"num_classes": 4}))
    refused = tree.train(*TRAIN)
    assert refused.code == 2
    assert (
        "Mismatch between number of labels in the multi-label data (3) and the num_classes parameter (4)"
        in refused.log
    )


def change(tree: Tree, **given: object) -> None:
    tree.hyperparameters(**(SETTINGS | given))


def test_bad_input_is_told_in_words(tmp_path: Path) -> None:
    def refusal(tree: Tree) -> str:
        ended = tree.train(*TRAIN)
        assert ended.code == 2, ended.log
        assert "Traceback" not in ended.log
        return tree.failure

    tree = job(tmp_path / "rec")
    change(tree, mini_batch_size=81)
    assert "The number of input images must be bigger or equal to the mini_batch_size" in refusal(tree)
    change(tree, num_classes=3)
    assert "expected a whole number from 0 to 2 (num_classes=3)" in refusal(tree)
    change(tree, resize="")
    change(tree, image_shape="3,11,11", resize="")
    text = refusal(tree)
    assert "smaller than image_shape" in text
    assert "record" in text
    config(tree, {"train": {"ContentType": REC}})
    change(tree)
    assert "channel 'validation' is required and was not given" in refusal(tree)
    config(tree, {"train": {"ContentType": f"{REC};label-format=odd"}, "validation": {"ContentType": REC}})
    change(tree, multi_label=1)
    assert "label-format is 'odd'; expected multi-hot or class-id" in refusal(tree)

    images = listed(tmp_path / "lst", resize="")
    assert "for which hyperparameter resize is required" in refusal(images)
    change(images)
    (images.root / "input/data/train/all/3.jpg").unlink()
    assert "1 of 80 images of train_lst/train.lst are not in channel 'train'" in refusal(images)


def bomb(side: int) -> bytes:
    """A PNG whose header announces a square of that side."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    body = struct.pack(">I", len(head)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + body + b"\0" * 64


def test_a_model_answers_pictures_in_every_form(tmp_path: Path) -> None:
    tree = job(tmp_path, epochs=1)
    trained(tree)
    (png, jpeg, *_), _ = files(2)
    with server.serving(tree.root) as endpoint:
        for content, media in ((png, "image/png"), (jpeg, IMAGE), (png, "image/jpeg"), (jpeg, None)):
            answer = endpoint.invoke(content, headers={"Content-Type": media} if media else {})
            assert answer.status_code == 200, answer.text
            assert answer.headers["Content-Type"] == "application/json"
            assert len(answer.json()) == CLASSES
            assert sum(answer.json()) == pytest.approx(1, abs=1e-5)
        plain = endpoint.invoke(jpeg, headers={"Content-Type": IMAGE}).json()
        headers = {"Content-Type": IMAGE, "Accept": "application/jsonlines"}
        line = endpoint.invoke(jpeg, headers=headers)
        assert json.loads(line.text) == {"prediction": plain}
        assert line.text.endswith("}\n")
        headers["Accept"] = "application/jsonlines; verbose=true"
        told = endpoint.invoke(jpeg, headers=headers).json()
        best = str(int(np.argmax(plain)))
        assert told == {"probabilities": plain, "labels": ["0", "1", "2", "3"], "predicted_label": best}
        for body, headers, status, said in (
            (b'{"a": 1}', {"Content-Type": "application/jsonlines"}, 415, "application/jsonlines"),
            (b'{"a": 1}', {}, 415, ""),
            (b"no picture", {"Content-Type": IMAGE}, 400, "the request"),
            (jpeg[:-50], {"Content-Type": IMAGE}, 400, "the request"),
            (bomb(60_000), {"Content-Type": IMAGE}, 400, "60000"),
            (jpeg, {"Content-Type": IMAGE, "Accept": "text/csv"}, 406, "text/csv"),
        ):
            answer = endpoint.invoke(body, headers=headers)
            assert (answer.status_code, said in answer.text) == (status, True), answer.text
        about = endpoint.get("/execution-parameters").json()
        assert about["MaxPayloadInMB"] == 6


def test_a_model_of_aws_answers_a_batch_transform_job(tmp_path: Path) -> None:
    graph = resnet(20, CLASSES, small_stem=True, channels=3)
    write(tmp_path / "model", graph, 28)
    (png, *_), _ = files(1)
    with server.serving(tmp_path, SAGEMAKER_BATCH="true") as endpoint:
        answer = endpoint.invoke(png, headers={"Content-Type": IMAGE})
        assert answer.status_code == 200, answer.text
        assert len(json.loads(answer.text)["prediction"]) == CLASSES

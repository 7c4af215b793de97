"""Object Detection through `train` and `serve`: every form of data, killed, stopped, on two hosts, asked."""

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
from optml.formats.images import record
from optml.local.describe import metric_definitions
from optml.local.feeder import Feeder
from tests.algorithms.object_detection.training import CLASSES, shapes
from tests.contract import server
from tests.contract.tree import HOSTS, Ended, Tree, end, read_until, train_together

TRAIN = ("-m", "optml.container", "train")
REC, IMAGE = "application/x-recordio", "application/x-image"
COUNTS = {"train": 4, "validation": 1}
SETTINGS = {
    "num_classes": CLASSES, "num_training_samples": 4, "base_network": "resnet-50", "mini_batch_size": 2,
    "epochs": 2,
}  # fmt: skip


@pytest.fixture(autouse=True)
def algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTML_ALGORITHM", "object-detection")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def pictures(count: int, seed: int) -> list[tuple[bytes, np.ndarray]]:
    """As JPEG, and boxes (k, 6)."""
    made = []
    for pixels, truths in zip(*shapes(count, 80, seed, most=2), strict=True):
        stream = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(stream, "JPEG")
        made.append((stream.getvalue(), truths))
    return made


def rec(path: Path, count: int, seed: int) -> None:
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        record.write(
            (
                record.Image(
                    np.append([2, 5], truths[:, :5]).astype(np.float32), number, content, vector=True
                )
                for number, (content, truths) in enumerate(pictures(count, seed))
            ),
            file,
        )


def config(tree: Tree, **channels: dict[str, str]) -> None:
    tree.write("input/config/inputdataconfig.json", channels)


def job(root: Path, **given: object) -> Tree:
    tree = Tree(root)
    for seed, (name, count) in enumerate(COUNTS.items()):
        rec(root / "input/data" / name / "a.rec", count, seed)
    config(tree, train={"ContentType": REC}, validation={"ContentType": REC})
    tree.hyperparameters(**(SETTINGS | given))
    return tree


def annotated(root: Path, **given: object) -> Tree:
    """The same as images and JSON."""
    tree = Tree(root)
    for seed, (name, count) in enumerate(COUNTS.items()):
        for number, (content, truths) in enumerate(pictures(count, seed)):
            folder = root / "input/data" / name / "sub"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.jpg").write_bytes(content)
            rows = [
                {
                    "class_id": int(c),
                    "left": 80 * x,
                    "top": 80 * y,
                    "width": 80 * (r - x),
                    "height": 80 * (b - y),
                }
                for c, x, y, r, b, _ in truths.tolist()
            ]
            size = [{"width": 80, "height": 80, "depth": 3}]
            document = {"file": f"sub/{number}.jpg", "image_size": size, "annotations": rows}
            tree.write(f"input/data/{name}_annotation/{number}.json", document)
    names = ("train", "validation", "train_annotation", "validation_annotation")
    config(tree, **{name: {"ContentType": "image/jpeg"} for name in names})
    tree.hyperparameters(**(SETTINGS | given))
    return tree


def arrays(tree: Tree) -> dict[str, np.ndarray]:
    return load_file(tree.model / "model.safetensors")


def trained(tree: Tree) -> Ended:
    ended = tree.train(*TRAIN)
    assert ended.code == 0, ended.log
    return ended


def metrics(ended: Ended) -> list[str]:
    return re.findall(r"#quality_metric: host=algo-1, (.*)", ended.log)


@pytest.mark.slow
def test_a_job_says_what_aws_says_and_its_model_answers(tmp_path: Path) -> None:
    tree = job(tmp_path)
    ended = trained(tree)
    for definition in metric_definitions(registry.get("object-detection")):
        values = re.findall(definition["Regex"], ended.log)
        assert len(values) == 2, definition
        assert all(np.isfinite(float(number)) for number in values)
    messages = "\n".join(ended.messages)
    for line in (
        r"Training images are resized to image shape \(3, 300, 300\)",
        r"batch=2 train cross_entropy <loss>=\(\d.*\n.*batch=2 train smooth_l1 <loss>=\(\d.*\n"
        r"Round of batches complete\nUpdated the metrics\n.*epoch=0, validation mAP <score>=\(",
        r"Updating the best model with validation-mAP=\d.*\nSaved checkpoint to \"model.safetensors\"",
        r"Test data is not provided\.",
    ):
        assert re.search(line, messages), line
    assert '"Algorithm": "AWS/Object Detection"' in ended.log
    assert re.search(r'"validation_mAP": .*"validation_mAP_voc07": ', ended.log)
    content = pictures(1, 5)[0][0]
    with server.serving(tree.root) as endpoint:
        for headers in ({"Content-Type": "image/png"}, {"Content-Type": IMAGE}, {}):
            answer = endpoint.invoke(content, headers=headers)
            assert answer.status_code == 200, answer.text
            rows = answer.json()["prediction"]
            assert all(len(row) == 6 and row[0] in (0, 1) and 0.01 <= row[1] <= 1 for row in rows)
        headers = {"Content-Type": IMAGE, "Accept": "application/json; annotation=1"}
        told = endpoint.invoke(content, headers=headers).json()
        assert told["image_size"] == [{"width": 80, "height": 80, "depth": 3}]
        assert len(told["annotations"]) == len(rows)
        line = endpoint.invoke(content, headers={"Content-Type": IMAGE, "Accept": "application/jsonlines"})
        assert json.loads(line.text) == {"prediction": rows}
        for body, headers, status, said in (
            (b'{"a": 1}', {"Content-Type": "application/jsonlines"}, 415, "application/jsonlines"),
            (content[:-50], {"Content-Type": IMAGE}, 400, "the request"),
            (content, {"Content-Type": IMAGE, "Accept": "text/csv"}, 406, "text/csv"),
        ):
            refused = endpoint.invoke(body, headers=headers)
            assert (refused.status_code, said in refused.text) == (status, True), refused.text


@pytest.mark.slow
def test_files_with_json_and_a_pipe_of_a_manifest_train_alike(tmp_path: Path) -> None:
    one = metrics(trained(annotated(tmp_path / "json", epochs=1)))
    assert len(one) == 3
    piped = Tree(tmp_path / "pipe")
    wrapped = {"ContentType": REC, "TrainingInputMode": "Pipe", "RecordWrapperType": "RecordIO"}
    data = piped.root / "input/data"
    data.mkdir(parents=True)
    feeders = []
    for seed, (name, count) in enumerate(COUNTS.items()):
        source = tmp_path / f"source-{name}"
        source.mkdir()
        with (source / "a.rec").open("wb") as file:
            for content, truths in pictures(count, seed):
                rows = [
                    {
                        "class_id": int(c),
                        "left": 80 * x,
                        "top": 80 * y,
                        "width": 80 * (r - x),
                        "height": 80 * (b - y),
                    }
                    for c, x, y, r, b, _ in truths.tolist()
                ]
                size = [{"width": 80, "height": 80, "depth": 3}]
                text = json.dumps({"image_size": size, "annotations": rows}).encode()
                file.write(frame(content) + frame(text))
        feeders.append(Feeder(data, name, [source]))
    config(piped, train=wrapped, validation=wrapped)
    piped.hyperparameters(**(SETTINGS | {"epochs": 1}))
    with feeders[0], feeders[1]:
        other = metrics(trained(piped))
    assert other == one


def frame(payload: bytes) -> bytes:
    from optml.formats.recordio import frame as framed

    return framed(payload)


@pytest.mark.slow
def test_killed_and_restarted_is_undisturbed(tmp_path: Path) -> None:
    tree = job(tmp_path / "killed")
    tree.kill_at("object-detection-0.1-2.ckpt")
    resumed = trained(tree)
    assert re.search(r"Checkpoint loaded from \S+ at epoch 1", resumed.log)
    whole = job(tmp_path / "whole")
    trained(whole)
    for name, array in arrays(whole).items():
        np.testing.assert_array_equal(arrays(tree)[name], array)


@pytest.mark.slow
def test_two_hosts_agree_on_one_model(tmp_path: Path) -> None:
    hosts = [job(tmp_path / name, kv_store="dist_async", epochs=1) for name in HOSTS]
    both = train_together(hosts, *TRAIN)
    for ended in both:
        assert ended.code == 0, ended.log
    assert not any(hosts[1].model.glob("*"))
    assert "exchanged synchronously all the same" in both[0].log
    assert "validation mAP <score>=" in both[0].log
    assert "validation mAP <score>=" not in both[1].log


@pytest.mark.slow
def test_stopped_it_leaves_a_model_and_another_job_goes_on_with_it(tmp_path: Path) -> None:
    tree = job(tmp_path, epochs=100_000)
    process = tree.start(*TRAIN)
    read_until(process, "validation mAP")
    process.terminate()
    assert end(process).code == 0
    assert arrays(tree)["scores.0.bias"].shape == (4 * (CLASSES + 1),)
    (tree.root / "model").rename(tmp_path / "first")
    (tree.root / "input/data/model").symlink_to(tmp_path / "first")
    config(tree, train={"ContentType": REC}, validation={"ContentType": REC}, model={})
    tree.hyperparameters(**(SETTINGS | {"epochs": 1}))
    log = trained(tree).log
    assert "Start training from the model in the model channel." in log
    assert "done loading checkpoint" in log


def test_bad_input_is_told_in_words(tmp_path: Path) -> None:
    def refusal(tree: Tree) -> str:
        ended = tree.train(*TRAIN)
        assert ended.code == 2, ended.log
        assert "Traceback" not in ended.log
        return tree.failure

    tree = job(tmp_path / "rec", num_classes=1)
    assert "expected a whole number from 0 to 0 (num_classes=1)" in refusal(tree)
    tree.hyperparameters(**(SETTINGS | {"use_pretrained_model": 1}))
    assert "no weights of ResNet-50 (use_pretrained_model is 1)" in refusal(tree)
    images = annotated(tmp_path / "json")
    path = images.root / "input/data/train_annotation/0.json"
    path.write_text(path.read_text().replace('"left"', '"lefty"'))
    assert "annotation 0 of train_annotation/0.json has no number 'left'" in refusal(images)

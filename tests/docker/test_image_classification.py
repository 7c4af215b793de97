"""The image of Image Classification: it trains and serves without a network and without weights."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from optml.formats.images import record
from tests.algorithms.image_classification.training import CLASSES, pictures
from tests.docker.engine import BUILD_SECONDS, Job, build, docker, server

pytestmark = [pytest.mark.docker, pytest.mark.timeout(BUILD_SECONDS)]

SETTINGS = {
    "num_classes": CLASSES, "num_training_samples": 96, "image_shape": "3,8,8", "num_layers": 20, "epochs": 1,
    "mini_batch_size": 16, "learning_rate": 0.05,
}  # fmt: skip


@pytest.fixture(scope="session")
def classifier(engine: None) -> str:
    return build("Dockerfile.cpu", "image-classification")


def jpegs(count: int, seed: int = 0) -> list[tuple[bytes, int]]:
    made = []
    pixels, labels = pictures(count, 3, seed)
    for picture, label in zip(pixels.astype(np.uint8), labels.tolist(), strict=True):
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "JPEG", quality=95)
        made.append((stream.getvalue(), label))
    return made


def records(count: int, seed: int = 0) -> bytes:
    stream = io.BytesIO()
    images = (
        record.Image(np.array([label], np.float32), number, content)
        for number, (content, label) in enumerate(jpegs(count, seed))
    )
    record.write(images, stream)
    return stream.getvalue()


def test_it_trains_and_serves_without_a_network(classifier: str, tmp_path: Path) -> None:
    names = ("train", "validation")
    job = Job(
        tmp_path / "job",
        {name: str(value) for name, value in SETTINGS.items()},
        {name: {"a.rec": records(96, seed)} for seed, name in enumerate(names)},
        dict.fromkeys(names, "application/x-recordio"),
    )
    done = job.run(classifier, "train")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Epoch[0] Validation-accuracy=" in done.stdout
    with server(classifier, job.model) as running:
        answer = json.loads(running.invoke(jpegs(1)[0][0], "application/x-image"))
        assert len(answer) == CLASSES


def test_weights_are_missing_until_they_are_put_in(classifier: str, tmp_path: Path) -> None:
    settings = SETTINGS | {"use_pretrained_model": 1, "num_layers": 18}
    names = ("train", "validation")
    job = Job(
        tmp_path / "job",
        {name: str(value) for name, value in settings.items()},
        {name: {"a.rec": records(96)} for name in names},
        dict.fromkeys(names, "application/x-recordio"),
    )
    done = job.run(classifier, "train")
    assert done.returncode == 2
    assert "OPTML_PRETRAINED_DIR (/opt/pretrained) holds no .safetensors and no .params" in job.failure
    assert "optml weights fetch resnet18" in job.failure
    assert docker("run", "--rm", "--entrypoint", "ls", classifier, "/opt/pretrained").stdout == ""

"""Images and sequences go through train, serve, predict and transform by the seams that all have."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs Pillow, of the extra 'plot'")

from PIL import Image

from optml.algorithms import registry
from optml.local.cli import main as optml
from optml.local.transform.job import TransformSettings, transform
from tests.contract.server import Server, serving
from tests.contract.toys import TOYS
from tests.contract.tree import STARTED, Ended, Tree

PROGRAM = ("-m", "tests.contract.toys")
BRIGHT = np.array([[0, 255], [255, 0]], np.uint8)


@pytest.fixture(autouse=True)
def _toys_are_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for slug, module in TOYS.items():
        monkeypatch.setitem(registry.MODULES, slug, module)


def picture(kind: str, pixels: np.ndarray = BRIGHT) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.kron(pixels, np.ones((16, 16), np.uint8))).save(stream, kind)
    return stream.getvalue()


def mask(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "PNG"
        return np.asarray(image)[::16, ::16]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    tree = Tree(tmp_path_factory.mktemp("images"))
    for number, level in enumerate((50, 100, 150)):
        path = tree.write(f"input/data/train/{number % 2}/{number}.png", "")
        path.write_bytes(picture("PNG", np.full((2, 2), level, np.uint8)))
    tree.hyperparameters(epochs=2)
    ended = tree.train(*PROGRAM, "train", OPTML_ALGORITHM="toy-images")
    assert ended.code == 0, ended.log
    assert ended.log.count("train level <score>=100.0") == 2
    return tree


@pytest.fixture(scope="module")
def server(images: Tree) -> Iterator[Server]:
    with serving(images.root, (*PROGRAM, "serve"), SAGEMAKER_MODEL_SERVER_WORKERS="1") as running:
        STARTED.remove(running.process)  # it serves all tests of this file
        yield running


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        ("JPEG", {"Content-Type": "image/jpeg"}),
        ("PNG", {"Content-Type": "application/x-image", "Accept": "image/png"}),
        ("JPEG", {"Accept": "image/*"}),  # told by its bytes
        ("PNG", {"Content-Type": "application/octet-stream", "Accept": "*/*"}),
    ],
)
def test_pictures_are_answered_by_pictures(server: Server, kind: str, headers: dict[str, str]) -> None:
    answer = server.invoke(picture(kind), headers=headers)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
    np.testing.assert_array_equal(mask(answer.content), BRIGHT)


def test_what_is_no_picture_is_refused(server: Server) -> None:
    assert server.invoke(b"1,2\n").status_code == 415
    answer = server.invoke(b'{"a": 1}', headers={"Content-Type": "application/jsonlines"})
    assert answer.status_code == 415
    assert "supported: image/jpeg, image/png, application/x-image" in answer.text
    answer = server.invoke(b"1,2\n", headers={"Content-Type": "image/png"})
    assert (answer.status_code, "the request is no picture" in answer.text) == (400, True)


def test_other_answers_and_the_payload_are_the_algorithms(server: Server) -> None:
    answer = server.invoke(picture("PNG"), headers={"Accept": "application/json"})
    assert np.array(answer.json()["mask"]).shape == (32, 32)
    assert server.get("/execution-parameters").json()["MaxPayloadInMB"] == 20


def test_a_folder_of_pictures_is_transformed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.jpg").write_bytes(picture("JPEG"))
    settings = TransformSettings(content_type="image/jpeg", accept="image/png", split_type="None")
    report = transform(tmp_path / "in", tmp_path / "out", server.url, settings)
    assert not report.failed
    for number in range(3):
        np.testing.assert_array_equal(mask((tmp_path / "out" / f"{number}.jpg.out").read_bytes()), BRIGHT)


def test_predict_writes_the_picture_as_it_is(images: Tree, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(picture("JPEG"))
    words = ["predict", str(images.model), "--input", str(tmp_path / "a.jpg"), "--accept", "image/png"]
    assert optml([*words, "--output", str(tmp_path / "mask.png")]) == 0
    np.testing.assert_array_equal(mask((tmp_path / "mask.png").read_bytes()), BRIGHT)


def sequences(root: Path, **hyperparameters: int) -> tuple[Tree, Ended]:
    tree = Tree(root)
    tree.write("input/data/train/a.txt", "a b c d\n" * 10)
    tree.hyperparameters(**hyperparameters)
    return tree, tree.train(*PROGRAM, "train", OPTML_ALGORITHM="toy-sequences")


def test_a_job_of_sequences_ends_by_epochs_or_by_updates(tmp_path: Path) -> None:
    _, ended = sequences(tmp_path / "epochs", max_num_epochs=3)
    assert "train updates <score>=15" in ended.log
    tree, ended = sequences(tmp_path / "updates", max_num_epochs=3, max_num_batches=7)
    assert ended.code == 0, ended.log
    assert "train updates <score>=7" in ended.log
    assert "train updates <score>=8" not in ended.log
    with serving(tree.root, (*PROGRAM, "serve"), SAGEMAKER_MODEL_SERVER_WORKERS="1") as running:
        answer = running.invoke(b"a\nc\n", headers={"Content-Type": "text/plain; infer_max_seqlens=2"})
    assert [json.loads(line)["target"] for line in answer.text.splitlines()] == ["b c", "d"]

import json
import os
import tarfile
from pathlib import Path

import pytest

from optml.algorithms import registry
from optml.errors import UserError
from optml.serving.app import WorkerState, create_app
from optml.serving.batching import Gate
from optml.serving.models import load, unpacked
from optml.serving.predictor import Predictor
from optml.serving.settings import Settings
from tests.serving.sample import save_kmeans


def pack(folder: Path, archive: Path) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        for path in folder.iterdir():
            tar.add(path, path.name)


def test_an_artifact_names_its_algorithm(tmp_path: Path) -> None:
    served = load(save_kmeans(tmp_path))
    assert served.algorithm.slug == "kmeans"
    assert served.hyperparameters == {"k": 3}


def test_what_aws_wrote_is_recognised_by_its_content(tmp_path: Path) -> None:
    save_kmeans(tmp_path)
    for name in ("model.json", "model.safetensors"):
        (tmp_path / name).unlink()
    assert load(tmp_path).algorithm.slug == "kmeans"


def test_an_archive_alone_is_unpacked_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    pack(save_kmeans(tmp_path / "made"), folder / "model.tar.gz")
    with unpacked(folder) as content:
        assert load(content).algorithm.slug == "kmeans"
        assert content != folder
    assert not content.exists()
    assert [path.name for path in folder.iterdir()] == ["model.tar.gz"]


def test_an_archive_beside_its_content_is_left_alone(tmp_path: Path) -> None:
    save_kmeans(tmp_path)
    (tmp_path / "model.tar.gz").write_bytes(b"no archive")
    with unpacked(tmp_path) as content:
        assert content == tmp_path


@pytest.mark.parametrize("made", [True, False])
def test_a_folder_without_a_model_says_so(tmp_path: Path, made: bool) -> None:
    folder = tmp_path / "model"
    if made:
        folder.mkdir()
    with pytest.raises(UserError, match=r"model folder .*(is empty|cannot be read)"), unpacked(folder):
        pass


def test_an_unknown_artifact_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes(b"")
    with pytest.raises(UserError, match=r"it holds weights.h5.*OPTML_ALGORITHM.*kmeans"):
        load(tmp_path)


def test_a_truncated_artifact_is_named(tmp_path: Path) -> None:
    path = save_kmeans(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match=r"model.safetensors is truncated"):
        load(tmp_path)


def test_what_is_no_regular_file_is_named_before_it_is_read(tmp_path: Path) -> None:
    """Reading a FIFO would wait for ever."""
    folder = save_kmeans(tmp_path / "m")
    (folder / "model.json").unlink()
    os.mkfifo(folder / "model.json")
    with pytest.raises(UserError, match=r"model.json is no regular file"), unpacked(folder):
        pass
    registry.recognise(folder)  # does not wait either


def test_a_description_may_hold_numbers_of_any_size(tmp_path: Path) -> None:
    folder = save_kmeans(tmp_path)
    about = json.loads((folder / "model.json").read_text())
    about["hyperparameters"]["large"] = 1 << 70
    (folder / "model.json").write_text(json.dumps(about))
    state = WorkerState(Settings(), predictor=Predictor(load(folder), Gate(1), Settings()))
    answer = create_app(state).test_client().get("/")
    assert answer.status_code == 200
    assert json.loads(answer.text)["hyperparameters"]["large"] == 1 << 70

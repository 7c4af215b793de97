from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from optml.algorithms import artifact
from optml.errors import UserError

CENTERS = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    artifact.write(
        tmp_path, "kmeans", {"centers": CENTERS, "weights": np.ones(2)}, {"k": 2, "factor": "auto"}
    )
    return tmp_path


def test_arrays_and_hyperparameters_come_back(folder: Path) -> None:
    found = artifact.read(folder, "kmeans", ("centers",))
    assert found.hyperparameters == {"k": 2, "factor": "auto"}
    np.testing.assert_array_equal(found.arrays["centers"], CENTERS)
    assert found.arrays["weights"].dtype == np.float64


def test_arrays_are_maps_that_cannot_be_written(folder: Path) -> None:
    centers = artifact.read(folder, "kmeans").arrays["centers"]
    assert not centers.flags.writeable
    assert not centers.flags.owndata


def test_the_description_says_shapes_and_dtypes(folder: Path) -> None:
    described = json.loads((folder / "model.json").read_text())
    assert described["algorithm"] == "kmeans"
    assert described["arrays"] == {
        "centers": {"shape": [2, 3], "dtype": "float32"},
        "weights": {"shape": [2], "dtype": "float64"},
    }


def test_any_safetensors_reader_reads_the_arrays(folder: Path) -> None:
    from safetensors.numpy import load_file

    np.testing.assert_array_equal(load_file(folder / "model.safetensors")["centers"], CENTERS)


def test_the_model_of_another_algorithm_is_refused_naming_both(folder: Path) -> None:
    with pytest.raises(UserError, match="trained by 'kmeans', but this is 'pca'"):
        artifact.read(folder, "pca")


def test_missing_arrays_are_named(folder: Path) -> None:
    with pytest.raises(UserError, match=r"lacks bias; .* this file holds centers, weights"):
        artifact.read(folder, "kmeans", ("centers", "bias"))


@pytest.mark.parametrize("size", [0, 4, 30, 150, -1])
def test_truncated_arrays_are_refused(folder: Path, size: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match=r"model.safetensors is truncated or no safetensors file"):
        artifact.read(folder, "kmeans")


def test_missing_files_are_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model.safetensors is missing"):
        artifact.read(folder, "kmeans")
    (folder / "model.json").unlink()
    with pytest.raises(UserError, match=r"model.json is missing"):
        artifact.read(folder, "kmeans")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"algorithm": 3}', "\x00\xff"])
def test_a_broken_description_is_refused(folder: Path, text: str) -> None:
    (folder / "model.json").write_text(text)
    with pytest.raises(UserError, match=r"model.json (cannot be read|names no algorithm)"):
        artifact.read(folder, "kmeans")


def test_a_listing_names_the_first_ten_files_of_a_folder(tmp_path: Path) -> None:
    assert artifact.listing(tmp_path) == artifact.listing(tmp_path / "absent") == "nothing"
    for number in range(12):
        (tmp_path / f"part{number:02}").touch()
    assert artifact.listing(tmp_path) == ", ".join(f"part{number:02}" for number in range(10))

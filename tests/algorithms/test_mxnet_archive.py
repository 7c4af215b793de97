from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from optml.algorithms import mxnet_archive
from optml.algorithms.ndarray import RowSparse
from optml.errors import UserError
from tests.shared import SHARED, needs_shared

GOLDEN = "golden/aws_artifacts"


def unpacked(name: str, folder: Path) -> Path:
    with tarfile.open(SHARED / GOLDEN / name / "model.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    found = mxnet_archive.find(folder)
    assert found
    return found


def test_written_archives_are_read_back_and_equal_byte_for_byte(tmp_path: Path) -> None:
    weight = np.arange(3, dtype=np.float32).reshape(3, 1)
    rows = RowSparse(np.ones((1, 2), np.float32), np.array([1]), (4, 2))
    for name in ("model_algo-1", "again"):
        mxnet_archive.write(
            tmp_path / name, "params", {"w": weight, "v": rows}, {"meta.json": {"version": 1}}
        )
    assert (tmp_path / "model_algo-1").read_bytes() == (tmp_path / "again").read_bytes()
    found = mxnet_archive.find(tmp_path)
    assert found == tmp_path / "model_algo-1"
    archive = mxnet_archive.read(found)
    np.testing.assert_array_equal(archive.arrays["w"], weight)
    assert isinstance(archive.arrays["v"], RowSparse)
    assert archive.documents == {"meta.json": {"version": 1}}


def test_a_folder_without_one_has_none(tmp_path: Path) -> None:
    (tmp_path / "model_algo-1").write_bytes(b"no ZIP")
    assert mxnet_archive.find(tmp_path) is None


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
def test_a_truncated_archive_is_told(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "model_algo-1"
    mxnet_archive.write(path, "params", {"w": np.ones((50, 1), np.float32)}, {"meta.json": {}})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(UserError, match="model_algo-1"):
        mxnet_archive.read(path)


def test_a_damaged_stream_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model_algo-1"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("params", b"some values" * 20)
    data = bytearray(path.read_bytes())
    data[30 + len("params")] ^= 6  # the kind of the first block, behind the member's header: now none
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"no sound ZIP archive of a model: .*decompressing"):
        mxnet_archive.read(path)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "model_algo-1"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("params", bytes(50 << 20))
    with pytest.raises(UserError, match="claims to be of 52428800 bytes"):
        mxnet_archive.read(path)


def test_an_archive_without_parameters_says_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "model_algo-1"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("meta.json", "{}")
    with pytest.raises(UserError, match=r"0 lists of parameters instead of one \(beside meta.json\)"):
        mxnet_archive.read(path)


@needs_shared(GOLDEN)
@pytest.mark.parametrize(
    ("name", "arrays", "document"),
    [
        ("linear-learner-aws-adult", {"fc0_weight", "fc0_bias"}, "additional-params.json"),
        ("factorization-machines-raghul", {"w0_weight", "w1_weight", "v"}, "meta.json"),
    ],
)
def test_the_archives_of_awss_images_are_read(
    tmp_path: Path, name: str, arrays: set[str], document: str
) -> None:
    archive = mxnet_archive.read(unpacked(name, tmp_path))
    assert set(archive.arrays) == arrays
    assert document in archive.documents

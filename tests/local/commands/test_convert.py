import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.errors import UserError
from optml.local.commands import numpy_files
from optml.local.commands.convert import form, read, write

FORMS = ["csv", "npy", "npz", "parquet", "libsvm", "jsonlines", "recordio-protobuf"]


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(1)
    features = random.normal(size=(50, 4)).astype(np.float32)
    return features, random.integers(0, 3, size=(50, 1)).astype(np.float64)


@pytest.mark.parametrize("form", FORMS)
def test_round_trip_keeps_every_value(rows, tmp_path, form):
    features, labels = rows
    np.savez(tmp_path / "a.npz", features=features, labels=labels)
    assert write(read(tmp_path / "a.npz", "npz"), tmp_path / "b", form) == (50, 4, 1)
    named = form in ("npz", "recordio-protobuf", "libsvm", "jsonlines")
    back = list(read(tmp_path / "b", form, None if named else 1, 4))
    assert np.array_equal(np.concatenate([block.dense() for block in back]), features)
    if form != "jsonlines":  # requests have no labels
        assert np.array_equal(np.concatenate([block.labels for block in back]), labels)


@pytest.mark.parametrize("target", ["npy", "npz", "parquet", "recordio-protobuf"])
def test_many_blocks_become_one_file(tmp_path, monkeypatch, target):
    monkeypatch.setattr(numpy_files, "_BLOCK", 64)
    table = np.arange(300, dtype=np.float32).reshape(100, 3)
    np.save(tmp_path / "a.npy", table)
    assert len(list(read(tmp_path / "a.npy", "npy"))) == 20
    write(read(tmp_path / "a.npy", "npy"), tmp_path / "b", target)
    back = np.concatenate([block.dense() for block in read(tmp_path / "b", target)])
    assert np.array_equal(back, table)
    if target == "npy":
        assert np.array_equal(np.load(tmp_path / "b"), table)


def test_command_tells_what_it_wrote(optml, tmp_path):
    (tmp_path / "a.csv").write_text("1,2,3\n0,5,6\n")
    code, out, err = optml("convert", tmp_path / "a.csv", tmp_path / "b.pbr", "--label-size", 1)
    assert (code, out) == (0, "")
    assert "2 records of 2 features and 1 labels" in err
    code, *_ = optml("convert", tmp_path / "b.pbr", tmp_path / "c.csv.gz")
    assert code == 0
    written = np.loadtxt(tmp_path / "c.csv.gz", delimiter=",")
    assert written.tolist() == [[1, 2, 3], [0, 5, 6]]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["a.csv", "b.foo"], "b.foo' does not tell its format"),
        (["none.csv", "b.pbr"], "there is no file"),
        (["none", "b.pbr"], "there is no file 'none'"),
        (["a.csv", "gone/b.pbr"], "there is no folder 'gone' for b.pbr"),
        (["a.csv", "a.csv"], "are the same file"),
        (["a.csv", "b.npy.gz"], "npy is not written as .gz"),
        (["a.csv", "b.npy", "--label-size", "-1"], "--label-size -1"),
        (["a.csv", "b.npy", "--feature-dim", "7"], "feature_dim is 7 but row 1"),
        (["empty.csv", "b.npy"], "no records"),
        (["a.csv", "b.npy", "--from", "npy"], "is no NumPy file of numbers"),
    ],
)
def test_what_cannot_be_converted_is_named(optml, tmp_path, monkeypatch, words, problem):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("1,2\n3,4\n")
    (tmp_path / "empty.csv").write_text("")
    code, _, err = optml("convert", *words)
    assert code == 2
    assert problem in err
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", "empty.csv"}


def test_ending_tells_the_format():
    from pathlib import Path

    assert form(Path("x/a.PBR")) == "recordio-protobuf"
    assert form(Path("a.csv.gz")) == "csv"


def test_pickled_arrays_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="no NumPy file of numbers"):
        list(read(tmp_path / "a.npy", "npy"))


@settings(deadline=None, max_examples=50)
@given(
    st.binary(max_size=300), st.sampled_from([b"", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', ", b"PK\x03\x04"])
)
def test_any_bytes_are_a_numpy_file_or_a_user_error(tmp_path_factory, body, head):
    path = tmp_path_factory.mktemp("bytes") / "a.npy"
    path.write_bytes(head + body)
    with contextlib.suppress(UserError):
        list(numpy_files.read(path))

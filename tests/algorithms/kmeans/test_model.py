from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optml.algorithms import ndarray
from optml.algorithms.kmeans import ALGORITHM
from optml.algorithms.kmeans.model import Model, load, recognises, streaming_state
from optml.errors import UserError
from optml.formats.records import Origin, Records
from tests.shared import SHARED, needs_shared

GOLDEN = "golden/aws_artifacts/kmeans-aws-ml-certification/model.tar.gz"
# A row of AWS's log of March 2019, its center, and the distance that AWS answered.
ROW = [-0.060274, 0.160527, -0.088356, 0.120480, -0.010824, 0.040452, 0.025895]
CENTER = [-0.16292673, 0.04531347, -0.30080074, 0.0725739, -0.0414044, 0.05906443, 0.00082473]


def records(rows: list[list[float]] | np.ndarray) -> Records:
    return Records(np.array(rows, np.float32), origins=((0, Origin("the request")),))


def test_the_distance_is_the_one_that_aws_answered(tmp_path: Path) -> None:
    centers = np.full((4, 7), 9, np.float32)
    centers[3] = CENTER
    (tmp_path / "model_algo-1").write_bytes(ndarray.encode([centers]))
    answer = load(tmp_path, "cpu").predict(records([ROW]), {})
    assert answer["closest_cluster"].tolist() == [3.0]
    assert answer["distance_to_cluster"][0] == pytest.approx(0.27046188712120056, abs=1e-6)
    assert list(answer) == list(ALGORITHM.inference.response.fields)
    assert {column.dtype for column in answer.values()} == {np.dtype(np.float32)}


@needs_shared(GOLDEN)
def test_a_model_trained_at_aws_is_loaded_as_it_is(tmp_path: Path) -> None:
    with tarfile.open(SHARED / GOLDEN) as archive:
        archive.extractall(tmp_path, filter="data")
    assert recognises(tmp_path)
    model = load(tmp_path, "cpu")
    assert model.centers.shape == (10, 2)
    np.testing.assert_allclose(model.centers[0], [41.0785, -87.33684], rtol=1e-6)
    answer = model.predict(Records(model.centers), {})
    assert answer["closest_cluster"].tolist() == list(range(10))
    assert answer["distance_to_cluster"].tolist() == [0] * 10


def test_many_rows_are_answered_as_few_are() -> None:
    rng = np.random.default_rng(0)
    model = Model(rng.normal(size=(70, 9)).astype(np.float32), np.ones(70))
    rows = rng.normal(size=(2000, 9)).astype(np.float32)
    labels, distances = model.assign(rows)  # compiled
    for at in range(0, 2000, 250):
        few_labels, few_distances = model.assign(rows[at : at + 250])  # NumPy
        np.testing.assert_array_equal(labels[at : at + 250], few_labels)
        np.testing.assert_allclose(distances[at : at + 250], few_distances, rtol=1e-5)


def test_what_is_saved_is_loaded_and_aws_could_load_it_too(tmp_path: Path) -> None:
    model = Model(np.arange(6, dtype=np.float32).reshape(2, 3), np.array([5.0, 7.0]), {"k": 2})
    model.save(tmp_path)
    ours = load(tmp_path, "cpu")
    np.testing.assert_array_equal(ours.centers, model.centers)
    assert ours.cluster_weights.tolist() == [5, 7]
    assert ours.hyperparameters == {"k": 2}
    (theirs,), names = ndarray.decode((tmp_path / "model_algo-1").read_bytes(), "model_algo-1")
    assert isinstance(theirs, np.ndarray)
    np.testing.assert_array_equal(theirs, model.centers)
    assert theirs.dtype == np.float32
    assert names == []
    assert recognises(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.json",
        "model.safetensors",
        "model_algo-1",
    ]


def test_the_width_of_a_request_is_checked() -> None:
    model = Model(np.ones((2, 3), np.float32), np.ones(2))
    with pytest.raises(UserError, match=r"record 1 of the request has 2 values, but .* 3 features"):
        model.predict(records([[1, 2]]), {})


def test_no_rows_give_empty_columns() -> None:
    answer = Model(np.ones((2, 3), np.float32), np.ones(2)).predict(Records(np.empty((0, 3), np.float32)), {})
    assert [len(column) for column in answer.values()] == [0, 0]


def zip_bytes() -> bytes:
    return b"PK\x03\x04" + bytes(40)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is damaged or of another kind: at byte 0"),
        (zip_bytes(), "is a ZIP archive"),
        (ndarray.encode([np.ones(3, np.float32)]), "must be a matrix of floats"),
        (ndarray.encode([np.ones((3, 2), np.int32)]), "must be a matrix of floats"),
        (ndarray.encode([np.ones((0, 2), np.float32)]), "must be a matrix of floats"),
        (ndarray.encode([np.ones((2, 2), np.float32)] * 2), "found 2 arrays"),
        (ndarray.encode([np.ones((1, 2), np.float32)] * 2, ["mean", "s"]), "found mean, s"),
        (ndarray.encode([np.array([[1, 1], [np.nan, 1]], np.float32)]), "center 1 is not finite"),
    ],
)
def test_a_broken_artifact_says_what_is_wrong(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "model_algo-1").write_bytes(content)
    with pytest.raises(UserError, match=r"model_algo-1") as error:
        load(tmp_path, "cpu")
    assert sentence in str(error.value)
    assert not recognises(tmp_path)


def test_a_folder_without_a_model_is_named_with_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "kmeans.pkl").touch()
    with pytest.raises(UserError, match=r"expected model.json .* or model_algo-1; found kmeans.pkl"):
        load(tmp_path, "cpu")
    with pytest.raises(UserError, match="found nothing"):
        load(tmp_path / "missing", "cpu")


@given(st.binary(max_size=300))
def test_any_file_is_refused_or_loaded(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model_algo-1").write_bytes(content)
        assert recognises(Path(folder)) in (True, False)


def test_the_state_that_aws_leaves_is_taken_for_a_warm_start(tmp_path: Path) -> None:
    (tmp_path / "model_algo-1").write_bytes(ndarray.encode([np.ones((1, 2), np.float32)]))
    centers, weights = streaming_state(tmp_path)
    assert (centers.tolist(), weights.tolist()) == ([[1, 1]], [1])
    state = ndarray.encode([np.ones((3, 2), np.float32), np.array([[4.0], [5.0], [6.0]])], ["0", "1"])
    (tmp_path / "state_5f0c").write_bytes(state)
    centers, weights = streaming_state(tmp_path)
    assert centers.shape == (3, 2)
    assert weights.tolist() == [4, 5, 6]

from __future__ import annotations

import csv
import io
import json
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from optml.algorithms import ndarray, registry
from optml.algorithms.pca import ALGORITHM
from optml.algorithms.pca.model import BLOCK, Model, load, recognises
from optml.errors import UserError
from optml.formats.content_type import CSV, JSON, JSON_LINES, RECORDIO_PROTOBUF
from optml.formats.record_message import messages, tensor
from optml.formats.records import Origin, Records
from optml.serving.codecs import encode
from tests.algorithms.pca.training import fit, spread
from tests.shared import SHARED, needs_shared

GOLDEN = "golden/aws_artifacts/pca-ml-finance-btc"
V = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 3)))[0].astype(np.float32)
S = np.array([1, 2, 3], np.float32)
MEAN = np.arange(5, dtype=np.float32)[None]


@needs_shared(GOLDEN)
def test_a_model_trained_at_aws_answers_as_there(tmp_path: Path) -> None:
    folder = SHARED / GOLDEN
    with tarfile.open(folder / "model.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    assert registry.recognise(tmp_path) == "pca"
    model = load(tmp_path, "cpu")
    assert np.isnan(model.s[0])  # two equal columns, and the root of a tiny negative number
    assert (model.width, len(model.s)) == (26, 25)
    table = list(csv.DictReader((folder / "test_nx.csv").read_text().splitlines()))
    rows = np.array([[float(row[name]) for name in row if name != "Date"] for row in table], np.float32)
    answer = model.predict(Records(rows), {})["projection"]
    assert answer.dtype == np.float32
    expected = json.loads((folder / "expected.json").read_text())["projection"]
    np.testing.assert_allclose(answer[0], expected, atol=1e-6)
    lines = list(csv.DictReader((folder / "pca_test.csv").read_text().splitlines()))
    leading = [[float(row[f"component_{n}"]) for n in range(6, 0, -1)] for row in lines]
    assert len(leading) == 870
    np.testing.assert_allclose(answer[:, -6:], leading, atol=1e-6)  # AWS's own are within 4.6e-7 of float64


def test_projections_are_around_the_mean() -> None:
    rows = spread(50, 5)
    answer = Model(S, V, MEAN).predict(Records(rows), {})
    assert list(answer) == list(ALGORITHM.inference.response.fields)
    np.testing.assert_allclose(answer["projection"], (rows - MEAN) @ V, atol=1e-6)


@pytest.mark.parametrize("mean", [MEAN, None])
def test_sparse_rows_are_projected_as_dense_ones(mean: np.ndarray | None) -> None:
    rows = spread(50, 5)
    rows[rows < 2] = 0
    model = Model(S, V, mean)
    sparse = model.predict(Records(csr_array(rows)), {})["projection"]
    np.testing.assert_allclose(sparse, model.predict(Records(rows), {})["projection"], atol=1e-5)
    assert sparse.dtype == np.float32


def test_many_rows_are_projected_as_few() -> None:
    rows = spread(BLOCK + 100, 5)
    model = Model(S, V, MEAN)
    whole = model.project(rows)
    np.testing.assert_allclose(whole[BLOCK:], model.project(rows[BLOCK:]), atol=1e-6)


def test_the_squared_error_is_what_projections_do_not_tell() -> None:
    rows = spread(BLOCK + 100, 5)
    left = (rows - MEAN) @ (np.eye(5) - V @ V.T)
    assert Model(S, V, MEAN).squared_error(rows) == pytest.approx(np.square(left).sum(), rel=1e-5)


def test_what_is_saved_is_loaded_and_aws_could_load_it_too(tmp_path: Path) -> None:
    model, _ = fit(spread(300, 5), num_components=3)
    model.save(tmp_path)
    ours = load(tmp_path, "cpu")
    for name in ("s", "v", "mean"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(model, name))
    assert (ours.total_variance, ours.rows) == (model.total_variance, 300)
    assert ours.hyperparameters["num_components"] == 3
    arrays, names = ndarray.decode((tmp_path / "model_algo-1").read_bytes(), "model_algo-1")
    assert names == ["s", "v", "mean"]
    assert [array.shape for array in arrays] == [(3,), (5, 3), (1, 5)]
    description = json.loads((tmp_path / "model.json").read_text())
    assert description["facts"]["order"] == "ascending, last column leads"
    (tmp_path / "model.json").unlink()
    np.testing.assert_array_equal(load(tmp_path, "cpu").v, model.v)


def test_a_model_without_mean_has_none_on_the_disk_either(tmp_path: Path) -> None:
    Model(S, V, None).save(tmp_path)
    _, names = ndarray.decode((tmp_path / "model_algo-1").read_bytes(), "model_algo-1")
    assert names == ["s", "v"]
    assert load(tmp_path, "cpu").mean is None
    assert recognises(tmp_path)


def test_the_width_of_a_request_is_checked() -> None:
    request = Records(np.ones((1, 2), np.float32), origins=((0, Origin("the request")),))
    with pytest.raises(UserError, match=r"record 1 of the request has 2 values, but .* 5 features"):
        Model(S, V, MEAN).predict(request, {})


def test_a_row_whose_projection_is_beyond_float32_is_named() -> None:
    rows = np.zeros((3, 5), np.float32)
    rows[1] = 3e38 * np.sign(V[:, 0])
    request = Records(rows, origins=((0, Origin("the request")),))
    with pytest.raises(UserError, match="record 2 of the request has values too large"):
        Model(S, V, MEAN).predict(request, {})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is damaged or of another kind: at byte 0"),
        (b"PK\x03\x04" + bytes(40), "is a ZIP archive"),
        (ndarray.encode([V]), "found 1 arrays without names"),
        (ndarray.encode([S, MEAN], ["s", "mean"]), "found s, mean"),
        (ndarray.encode([S, V, MEAN], ["s", "v", "bias"]), "found s, v, bias"),
        (ndarray.encode([S[:2], V], ["s", "v"]), "s as long as it has columns"),
        (ndarray.encode([S, V, MEAN[:, :4]], ["s", "v", "mean"]), "the mean must be 5 floats"),
        (ndarray.encode([S, V * np.float32(np.nan)], ["s", "v"]), "not finite"),
    ],
)
def test_a_broken_artifact_says_what_is_wrong(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "model_algo-1").write_bytes(content)
    with pytest.raises(UserError, match=r"model_algo-1") as error:
        load(tmp_path, "cpu")
    assert sentence in str(error.value)
    assert not recognises(tmp_path)


def test_a_folder_without_a_model_is_named_with_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "pca.pkl").touch()
    with pytest.raises(UserError, match=r"expected model.json .* or model_algo-1; found pca.pkl"):
        load(tmp_path, "cpu")
    with pytest.raises(UserError, match="found nothing"):
        load(tmp_path / "missing", "cpu")


def test_the_model_of_another_algorithm_is_not_taken(tmp_path: Path) -> None:
    centers = np.ones((2, 3), np.float32)
    (tmp_path / "model_algo-1").write_bytes(ndarray.encode([centers]))
    assert not recognises(tmp_path)
    assert registry.recognise(tmp_path) == "kmeans"


@given(st.binary(max_size=300))
def test_any_file_is_refused_or_loaded(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model_algo-1").write_bytes(content)
        assert recognises(Path(folder)) in (True, False)


def test_answers_are_worded_as_at_aws() -> None:
    columns = {"projection": np.array([[0.1, 2], [6, -7]], np.float32)}
    rows = ['{"projection": [0.10000000149011612, 2.0]}', '{"projection": [6.0, -7.0]}']
    assert ALGORITHM.inference.accepts[0] == JSON
    answers = {
        media: encode(columns, media, ALGORITHM.inference.response) for media in ALGORITHM.inference.accepts
    }
    assert answers[JSON].decode() == f'{{"projections": [{", ".join(rows)}]}}'
    assert answers[JSON_LINES].decode() == "".join(f"{row}\n" for row in rows)
    assert answers[CSV].decode() == "0.10000000149011612,2.0\n6.0,-7.0\n"
    first, second = messages(io.BytesIO(answers[RECORDIO_PROTOBUF]), source="the answer")
    for record, row in zip((first, second), columns["projection"], strict=True):
        assert list(record.label) == ["projection"]
        assert not record.features
        np.testing.assert_array_equal(tensor(record.label["projection"], "the answer")[0], row)

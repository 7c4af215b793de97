"""What a model answers, writes and reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from optml.algorithms import artifact, ndarray
from optml.algorithms.lda.model import Model, load, recognises
from optml.errors import UserError
from optml.formats.records import Records

BETA = np.array([[0.5, 0.5, 0, 0, 0], [0, 0, 0.3, 0.7, 0]])
ALPHA = np.array([0.75, 0.25])


def model(prior: float = 0.1) -> Model:
    return Model(ALPHA, BETA, prior)


def test_mixtures_are_the_modes_under_the_prior() -> None:
    counts = csr_array(np.array([[6.0, 0, 4, 0, 0]], np.float32))
    expected = np.array([6.1, 4.1]) / 10.2
    np.testing.assert_allclose(model().mixtures(counts)[0], expected, rtol=1e-4)
    np.testing.assert_allclose(model(0.0).mixtures(counts)[0], [0.6, 0.4], rtol=1e-4)


def test_topics_without_a_word_of_the_document_are_exactly_zero() -> None:
    mixtures = model().mixtures(csr_array(np.array([[3.0, 2, 0, 0, 0]], np.float32)))
    assert mixtures.tolist() == [[1.0, 0.0]]


def test_documents_without_known_words_have_the_prior_s_mixture() -> None:
    mixtures = model().mixtures(csr_array(np.array([[0.0] * 5, [0, 0, 0, 0, 3]], np.float32)))
    np.testing.assert_allclose(mixtures, [[0.75, 0.25]] * 2, rtol=1e-6)


def test_dense_and_sparse_documents_have_the_same_answers() -> None:
    rows = np.random.default_rng(0).poisson(2, (50, 5)).astype(np.float32)
    dense, sparse = (model().predict(Records(r), {})["topic_mixture"] for r in (rows, csr_array(rows)))
    np.testing.assert_array_equal(dense, sparse)


def test_an_artifact_comes_back_from_ours_and_from_aws_s_file(tmp_path: Path) -> None:
    model().save(tmp_path)
    ours = load(tmp_path, "cpu")
    assert ours.prior == 0.1
    np.testing.assert_array_equal(ours.beta, BETA.astype(np.float32))
    for name in (artifact.ARRAYS, artifact.DESCRIPTION):
        (tmp_path / name).unlink()
    assert recognises(tmp_path)
    theirs = load(tmp_path, "cpu")
    assert theirs.prior == 0  # maximum likelihood, as their image answers
    np.testing.assert_array_equal(theirs.alpha, ALPHA.astype(np.float32))
    np.testing.assert_array_equal(theirs.beta, BETA.astype(np.float32))


@pytest.mark.parametrize("names", [(), ("alpha", "beta"), ("arg:alpha", "arg:beta")])
def test_aws_s_arrays_are_taken_with_names_and_without(tmp_path: Path, names: tuple[str, ...]) -> None:
    (tmp_path / "model_algo-1").write_bytes(ndarray.encode([ALPHA, BETA], names))
    np.testing.assert_array_equal(load(tmp_path, "cpu").beta, BETA.astype(np.float32))


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ([ALPHA], "expected two arrays"),
        ([ALPHA, BETA[:1]], "alpha as long as it has rows"),
        ([ALPHA, -BETA], "beta must hold finite numbers >= 0"),
        ([ALPHA, BETA * np.nan], "beta must hold finite numbers >= 0"),
        ([ALPHA, np.array([[1.0, 0], [0, 0]])], "a row of beta is all zeros"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, arrays: list[np.ndarray], said: str) -> None:
    (tmp_path / "model_algo-1").write_bytes(ndarray.encode(arrays))
    assert not recognises(tmp_path)
    with pytest.raises(UserError, match=said):
        load(tmp_path, "cpu")


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    assert not recognises(tmp_path)
    with pytest.raises(UserError, match="holds no LDA model"):
        load(tmp_path, "cpu")


def test_a_document_of_another_width_is_refused() -> None:
    with pytest.raises(UserError, match="has 3 values, but the vocabulary has 5 words"):
        model().predict(Records(np.ones((1, 3), np.float32)), {})


def test_counts_beyond_float32_are_named() -> None:
    rows = np.array([[1, 1, 0, 0, 0], [3e38, 3e38, 0, 0, 0]], np.float32)
    with pytest.raises(UserError, match="record 2 holds counts so large"):
        model().predict(Records(rows), {})


def test_topics_are_drawn_with_their_words(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from optml.algorithms.lda.picture import draw

    own = Model(ALPHA, BETA, 0.1, vocabulary=["sun", "moon", "tea", "milk", "salt"])
    rows = np.random.default_rng(0).poisson(2, (20, 5)).astype(np.float32)
    assert draw(own, Records(rows), tmp_path / "topics.png") == "2 of 2 topics"
    assert (tmp_path / "topics.png").stat().st_size > 1000

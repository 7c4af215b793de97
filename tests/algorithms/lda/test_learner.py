"""Topics of documents of every kind: short, long, few, of large vocabularies, and what is refused."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy.sparse import csr_array

from optml.errors import UserError
from optml.formats.records import Origin, Records
from tests.algorithms.hosts import on_hosts
from tests.algorithms.lda.training import fit, learner
from tests.algorithms.topics.documents import documents
from tests.algorithms.topics.test_vocabulary import Files


def sound(counts: csr_array, **hyperparameters: int) -> None:
    """A model comes of the documents, and answers for them."""
    model = fit(counts, **hyperparameters)
    np.testing.assert_allclose(model.beta.sum(axis=1), 1, rtol=1e-4)
    np.testing.assert_allclose(model.alpha.sum(), 1, rtol=1e-4)
    assert (np.diff(model.alpha) <= 0).all()
    mixtures = model.mixtures(counts)
    np.testing.assert_allclose(mixtures.sum(axis=1), 1, rtol=1e-4)
    assert np.isfinite(model.likelihoods(counts)).all()


def test_documents_of_five_words_of_one_and_of_very_many() -> None:
    short = documents(300, length=5)[0].toarray()
    single = np.eye(60, dtype=np.float32)[:20]
    long = np.full((1, 60), 100_000 / 60, np.float32)
    sound(csr_array(np.concatenate([short, single, long, np.zeros((2, 60), np.float32)])), num_topics=4)


def test_short_documents_are_told_no_worse_than_by_the_frequencies_of_words() -> None:
    counts = documents(1200, length=5)[0]
    train, test = counts[:1000], counts[1000:]
    model = fit(train, num_topics=20)
    halves = test.copy()
    halves.data = np.floor(halves.data / 2) + (np.arange(halves.nnz) % 2) * (halves.data % 2)
    rest = csr_array(test - halves)
    theta = model.mixtures(halves)
    chances = np.log(np.maximum(theta @ model.beta, 1e-12))
    frequencies = np.asarray(train.sum(axis=0)) + 0.5
    unigram = np.log(frequencies / frequencies.sum())
    assert float(rest.multiply(chances).sum()) >= float((rest @ unigram).sum())


def test_more_topics_than_the_documents_support_begin_at_documents(caplog: pytest.LogCaptureFixture) -> None:
    rows = np.tile(np.array([[3, 3, 0, 0, 0, 0], [0, 0, 2, 4, 0, 0]], np.float32), (20, 1))
    with caplog.at_level(logging.WARNING):
        sound(csr_array(rows), num_topics=5)
    assert caplog.text.count("The documents support") == 1


@pytest.mark.parametrize("factor", [1e9, 1e30])
def test_counts_may_be_large(factor: float) -> None:
    sound(csr_array(documents(100)[0] * np.float32(factor)), num_topics=4)


@pytest.mark.slow
def test_a_large_vocabulary_is_no_matrix_of_its_square() -> None:
    rng = np.random.default_rng(0)
    places = rng.integers(0, 200_000, 3000)
    counts = csr_array(
        (np.ones(3000, np.float32), (np.repeat(np.arange(100), 30), places)), shape=(100, 200_000)
    )
    counts.sum_duplicates()
    sound(counts, num_topics=2, max_restarts=2, max_iterations=10)


def test_a_resumed_learner_yields_the_model_of_one_that_was_not() -> None:
    counts = documents(200)[0]
    first, second = learner(60), learner(60)
    first.update(Records(counts[:120]))
    second.load_state_dict({name: array.copy() for name, array in first.state_dict().items()})
    for state in (first, second):
        state.update(Records(counts[120:]))
    np.testing.assert_array_equal(first.finish()[0].beta, second.finish()[0].beta)


def test_told_to_stop_there_is_a_model_as_soon_as_there_are_documents_for_it() -> None:
    state = learner(60)
    assert state.model() is None
    state.update(Records(documents(100)[0]))
    stopped = state.model()
    assert stopped is not None
    assert stopped.beta.shape == (4, 60)


def test_topics_are_told_in_the_words_of_the_vocabulary(caplog: pytest.LogCaptureFixture) -> None:
    words = [f"word{number}" for number in range(60)]
    files = Files({"vocab.txt": "\n".join(words).encode()})
    state = learner(60, auxiliary=files)
    state.update(Records(documents(200)[0]))
    with caplog.at_level(logging.INFO):
        model, _ = state.finish()
    assert model.vocabulary == tuple(words)
    assert "num_topics:4" in caplog.text
    assert "Running LDA for 5 topics (4 requested)" in caplog.text
    assert "mini_batch_size is 100, the documents are 200" in caplog.text
    assert any(set(line.split()) <= set(words) for line in caplog.messages)


def test_fractions_are_taken_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    state = learner(60)
    counts = documents(100)[0] * np.float32(1.5)
    with caplog.at_level(logging.WARNING):
        for start in (0, 50):
            state.update(Records(csr_array(counts[start : start + 50])))
    assert len(caplog.records) == 1
    assert "models counts" in caplog.text
    assert np.isfinite(state.finish()[0].beta).all()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (np.zeros((4, 6)), "no document of channel 'train' holds 3 words or more, of 4"),
        (np.eye(6) * 2, "no document of channel 'train' holds 3 words or more, of 6"),
        (np.eye(6)[:2] * 9, "num_topics is 4, but only 2 documents"),
        (np.empty((0, 6)), "channel 'train' is empty"),
    ],
)
def test_documents_that_tell_of_no_topics_are_refused(rows: np.ndarray, said: str) -> None:
    state = learner(6)
    state.update(Records(csr_array(rows.astype(np.float32))))
    with pytest.raises(UserError, match=said):
        state.finish()


@pytest.mark.parametrize(
    ("row", "said"),
    [([1, 2], "record 7 of train/a has 2 values"), ([1, -2, 0], "record 7 of train/a holds -2 for word 1")],
)
def test_a_bad_document_is_named(row: list[float], said: str) -> None:
    origins = ((0, Origin("train/a", 7)),)
    with pytest.raises(UserError, match=said):
        learner(3, num_topics=2).update(Records(csr_array(np.array([row], np.float32)), origins=origins))


def test_several_hosts_are_refused() -> None:
    def make(cluster: object) -> str:
        with pytest.raises(UserError) as raised:
            learner(6, cluster=cluster)  # type: ignore[arg-type]
        return str(raised.value)

    assert all("LDA trains on one machine" in text for text in on_hosts(2, make))

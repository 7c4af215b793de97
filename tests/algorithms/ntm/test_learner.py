"""The learner: what it learns, that it resumes exactly, that hosts agree, and what it refuses."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

torch = pytest.importorskip("torch")

from optml.algorithms.cluster import Cluster  # noqa: E402
from optml.algorithms.ntm.learner import Learner  # noqa: E402
from optml.errors import UserError  # noqa: E402
from optml.formats.records import Origin, Records  # noqa: E402
from tests.algorithms.hosts import on_hosts  # noqa: E402
from tests.algorithms.ntm.training import absorb, batches, learner  # noqa: E402
from tests.algorithms.topics.documents import documents  # noqa: E402
from tests.algorithms.topics.test_vocabulary import Files  # noqa: E402

COUNTS, MIXTURES = documents()


def equal(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def weights_of(state: Learner, counts: csr_array) -> np.ndarray:
    found: np.ndarray = state.finish()[0].predict(Records(counts), {})["topic_weights"]
    return found


def test_planted_topics_are_found() -> None:
    state = learner(60, num_topics=4, mini_batch_size=32)
    (metric,) = absorb(state, COUNTS, 30)
    assert metric.name == "train:total_loss"
    assert metric.value < 3.4  # all words alike: log 60 = 4.1
    found = weights_of(state, COUNTS)
    best = np.abs(np.corrcoef(MIXTURES.T, found.T)[:4, 4:]).max(axis=1)
    assert best.min() > 0.8


def test_topics_that_a_small_corpus_leaves_alike_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "optml"):
        state = learner(60, num_topics=4, mini_batch_size=32)
        absorb(state, COUNTS[:32])
        state.module.parameters_of_model().projection[0][:] = 0  # nothing learnt: all topics are one
        state.finish()
    assert "The topics are nearly the same" in caplog.text
    assert "1 updates were made" in caplog.text


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"optimizer": "adam", "learning_rate": 0.01},
        {"optimizer": "sgd", "learning_rate": 0.1},
        {"optimizer": "adagrad", "learning_rate": 0.1},
        {"optimizer": "rmsprop", "learning_rate": 0.01},
        {"batch_norm": True},
        {"encoder_layers": (20,), "encoder_layers_activation": "relu"},
        {"encoder_layers": (20, 10, 8), "encoder_layers_activation": "tanh"},
        {"weight_decay": 0.01, "clip_gradient": 0.5},
        {"sub_sample": 0.4},
    ],
    ids=lambda given: ",".join(map(str, given.items())),
)
def test_every_setting_learns_and_resumes_exactly(given: dict[str, Any]) -> None:
    state = learner(60, **given)
    first = absorb(state, COUNTS)[0].value
    taken = learner(60, seed=7, **given)
    parts = list(batches(COUNTS, 32))
    for batch in parts[:3]:
        state.update(batch)
    taken = learner(60, **given)
    taken.load_state_dict(state.state_dict())
    for one in (state, taken):
        for batch in parts[3:]:
            one.update(batch)
        one.end_round()
        absorb(one, COUNTS, 3)
    assert equal(state.state_dict(), taken.state_dict())
    assert absorb(state, COUNTS)[0].value < first


def test_dense_and_sparse_documents_give_the_same_model() -> None:
    states = [learner(60) for _ in range(2)]
    for batch in batches(COUNTS, 32):
        states[0].update(batch)
        states[1].update(Records(batch.features.toarray()))
    assert equal(states[0].state_dict(), states[1].state_dict())


def test_the_gradient_is_summed_scaled_then_clipped_then_decayed() -> None:
    batch = next(batches(COUNTS, 32))

    def moved(**given: Any) -> np.ndarray:
        state = learner(60, optimizer="sgd", learning_rate=0.1, **given)
        before = state.network.arrays()["projection.weight"]
        state.update(batch)
        found: np.ndarray = (before - state.network.arrays()["projection.weight"]) / 0.1
        return found

    start = learner(60).network.arrays()["projection.weight"]
    plain = moved()
    assert np.abs(plain).max() > 0.05  # a mean over the batch would be far smaller
    np.testing.assert_allclose(moved(rescale_gradient=0.25), plain / 4, rtol=1e-3, atol=1e-6)
    both = moved(rescale_gradient=0.25, clip_gradient=0.01, weight_decay=0.5)
    np.testing.assert_allclose(both, np.clip(plain / 4, -0.01, 0.01) + start / 2, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("given", [{}, {"batch_norm": True}, {"sub_sample": 0.5}, {"optimizer": "adam"}])
def test_two_hosts_stay_alike(given: dict[str, Any]) -> None:
    def host(cluster: Cluster) -> tuple[dict[str, np.ndarray], float]:
        state = learner(60, cluster=cluster, **given)
        mine = list(batches(COUNTS, 32))[cluster.rank :: 2]
        for _ in range(2):
            for place in range(5):
                state.update(mine[place] if place < len(mine) else None)
            state.end_round()
        (score,) = state.evaluate("validation", batches(COUNTS[cluster.rank :: 2], 32))
        assert state.finish()[0] is not None
        return state.network.arrays(), score.value

    (one, first), (other, second) = on_hosts(2, host)
    assert equal(one, other)
    assert first == second


def test_two_hosts_learn_what_one_learns_of_all_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randn", lambda shape, **_: torch.zeros(shape))  # hosts draw their own

    def host(cluster: Cluster) -> dict[str, np.ndarray]:
        state = learner(60, cluster=cluster, mini_batch_size=16)
        for batch in list(batches(COUNTS[:64], 16))[cluster.rank :: 2]:
            state.update(batch)
        return state.network.arrays()

    alone = learner(60, mini_batch_size=32)
    for batch in batches(COUNTS[:64], 32):
        alone.update(batch)
    for arrays in on_hosts(2, host):
        for name, array in alone.network.arrays().items():
            np.testing.assert_allclose(arrays[name], array, atol=2e-4, err_msg=name)


def test_an_evaluation_is_repeatable_and_leaves_the_state_alone() -> None:
    state = learner(60, channels=("train", "validation"), batch_norm=True)
    absorb(state, COUNTS)
    before = state.state_dict()
    scores = [list(state.evaluate("validation", batches(COUNTS, 50))) for _ in range(2)]
    assert scores[0] == scores[1]
    assert scores[0][0].name == "validation:score"
    assert equal(before, state.state_dict())
    assert state.stopping()[1] == "validation:score"
    assert learner(60).stopping()[1] == "train:total_loss"


def test_normalisation_becomes_part_of_the_model() -> None:
    state = learner(60, batch_norm=True)
    absorb(state, COUNTS, 3)
    state.module.eval()
    with torch.no_grad():
        from optml.algorithms.kernels.bags import Bags

        mu, _ = state.module.encode(Bags.of(COUNTS))
    np.testing.assert_allclose(weights_of(state, COUNTS), torch.softmax(mu, 1), atol=1e-5)


def test_a_batch_of_one_document_is_learned_with_normalisation_too() -> None:
    state = learner(60, batch_norm=True)
    state.update(Records(COUNTS[:1]))
    assert np.isfinite(next(iter(state.end_round())).value)


def test_a_share_of_the_documents_is_drawn_anew_each_epoch(caplog: pytest.LogCaptureFixture) -> None:
    state = learner(60, sub_sample=0.5, mini_batch_size=16)
    with caplog.at_level(logging.INFO, "optml"):
        absorb(state, COUNTS, 2)
    lines = [record.getMessage() for record in caplog.records if "Finished training" in record.getMessage()]
    drawn = [int(line.split()[6]) for line in lines]
    assert all(100 < number < 200 for number in drawn)
    assert drawn[0] != drawn[1]
    assert f"on {drawn[0]} examples from {-(-drawn[0] // 16)} batches, each of size 16." in lines[0]


def test_empty_documents_are_counted_and_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    holes = csr_array(COUNTS.toarray() * (np.arange(300) % 10 > 0)[:, None])
    state, other = learner(60, mini_batch_size=100), learner(60, mini_batch_size=90)
    with caplog.at_level(logging.WARNING, "optml"):
        absorb(state, holes)
    absorb(other, csr_array(COUNTS.toarray()[np.arange(300) % 10 > 0]))
    assert "30 documents of channel 'train' hold no words and are passed over" in caplog.text
    assert equal(state.network.state_dict(), other.network.state_dict())


def test_nothing_but_empty_documents_is_refused() -> None:
    state = learner(60)
    nothing = csr_array((40, 60), dtype=np.float32)
    with pytest.raises(UserError, match="every document of channel 'train' is empty: all 40"):
        absorb(state, nothing)
    with pytest.raises(UserError, match="every document of channel 'test' is empty"):
        list(state.evaluate("test", [Records(nothing)]))


def test_a_negative_count_is_named_with_its_record() -> None:
    counts = COUNTS[:5].toarray()
    counts[3, 7] = -2
    batch = Records(csr_array(counts), origins=((0, Origin("train/a.csv", 11, "row")),))
    trained = learner(60)
    absorb(trained, COUNTS)
    for state in (trained, trained.finish()[0]):
        with pytest.raises(UserError, match=r"row 14 of train/a.csv holds -2 for word 7"):
            list(state.update(batch) if isinstance(state, Learner) else state.predict(batch, {}))


def test_fractions_are_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    state = learner(60)
    with caplog.at_level(logging.WARNING, "optml"):
        absorb(state, COUNTS * np.float32(0.5), 2)
    assert caplog.text.count("this algorithm models counts") == 1


def test_a_loss_that_is_not_finite_ends_training_with_advice() -> None:
    state = learner(
        60, optimizer="sgd", learning_rate=1.0, encoder_layers=(5,), encoder_layers_activation="relu"
    )
    with pytest.raises(UserError, match=r"diverged.*lower learning_rate \(1\), set clip_gradient"):
        absorb(state, COUNTS * np.float32(1e30), 5)


def test_the_end_is_told_as_aws_tells_it(caplog: pytest.LogCaptureFixture) -> None:
    words = "".join(f"w{number}\n" for number in range(60)).encode()
    state = learner(60, auxiliary=Files({"vocab.txt": words}))
    absorb(state, COUNTS, 5)
    state.rule.update(4.0)
    with caplog.at_level(logging.INFO, "optml"):
        model, _ = state.finish()
    lines = [record.getMessage() for record in caplog.records]
    assert "Best model based on early stopping at epoch 1. Best loss: 4.0" in lines
    assert any(line.startswith("Topics from epoch:final (num_topics:4) [wetc 0.") for line in lines)
    assert model.topics is not None
    assert model.topics.vocabulary is not None
    assert any(line.startswith("Coherence by documents that words share (npmi): ") for line in lines)


def test_there_is_no_model_before_the_first_update() -> None:
    state = learner(60)
    assert state.model() is None
    state.update(next(batches(COUNTS, 32)))
    assert state.model() is not None

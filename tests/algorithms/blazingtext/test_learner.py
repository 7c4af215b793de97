from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from optml.algorithms.base import Setting
from optml.algorithms.blazingtext import ALGORITHM
from optml.algorithms.blazingtext.classifier import Texts
from optml.algorithms.blazingtext.data import TrainChannel, ValidationChannel
from optml.algorithms.blazingtext.limits import require_memory
from optml.algorithms.blazingtext.similarity import Pairs
from optml.algorithms.blazingtext.vectors import Lookup
from optml.algorithms.cluster import Cluster
from optml.algorithms.metrics import Metric
from optml.errors import UserError
from tests.algorithms.blazingtext.sample import channel, setting, topics
from tests.algorithms.hosts import on_hosts

VECTORS = {"vector_dim": 16, "min_count": 1, "sampling_threshold": 0.01, "learning_rate": 0.1, "epochs": 2}
LABELS = {
    "mode": "supervised", "vector_dim": 8, "min_count": 1, "buckets": 500, "learning_rate": 0.5, "epochs": 6,
}  # fmt: skip


def started(text: str, cluster: Cluster | None = None, **given: Any) -> tuple[Any, TrainChannel, Setting]:
    wanted = setting(cluster, **given)
    data = TrainChannel(channel(text), wanted)
    assert ALGORITHM.training.learner is not None
    return ALGORITHM.training.learner(replace(wanted, train=data)), data, wanted


def trained(text: str, cluster: Cluster | None = None, **given: Any) -> Any:
    learner, data, wanted = started(text, cluster, **given)
    rounds = max(sum(1 for _ in data.epoch(0)), 1)
    for epoch in range(wanted.hyperparameters.epochs):
        blocks = list(data.epoch(epoch))
        if wanted.cluster.size > 1:
            rounds = int(max(part[0] for part in wanted.cluster.gather(np.array([len(blocks)]))))
        for step in range(rounds):
            block = blocks[step] if step < len(blocks) else None
            if block is not None or learner.lockstep:
                assert list(learner.update(block)) == []
        learner.end_round()
    return learner


def likeness(model: Any) -> float:
    """How much nearer words of one subject are to each other than to those of the other."""
    names = [f"{kind}{number}".encode() for kind in ("cat", "sea") for number in range(12)]
    vectors = np.asarray(model.predict(Lookup(names), {})["vector"], np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    near = vectors @ vectors.T
    return float(near[:12, :12].mean() - near[:12, 12:].mean())


@pytest.mark.parametrize(
    "given",
    [
        {"mode": "skipgram"},
        {"mode": "cbow"},
        {"mode": "batch_skipgram"},
        {"mode": "skipgram", "subwords": True, "buckets": 300},
        {"mode": "cbow", "subwords": True, "buckets": 300},
    ],
)
def test_words_of_a_subject_come_to_lie_together(given: dict[str, Any]) -> None:
    model, _ = trained(topics(1500, False), **(VECTORS | given)).finish()
    assert likeness(model) > 0.3


def test_hosts_learn_one_model_together() -> None:
    def work(cluster: Any) -> Any:
        return trained(topics(4000, False), cluster, **(VECTORS | {"mode": "batch_skipgram"})).model()

    one, two = on_hosts(2, work)
    assert (one.input.values == two.input.values).all()
    assert (one.output.values == two.output.values).all()
    assert likeness(one) > 0.3


def test_a_text_too_short_for_two_hosts_is_learnt_by_one_of_them() -> None:
    text, given = topics(20, False), VECTORS | {"mode": "batch_skipgram"}
    one, two = on_hosts(2, lambda cluster: trained(text, cluster, **given).model())
    alone = trained(text, **given).model()
    for model in (one, two):
        np.testing.assert_allclose(model.input.values, alone.input.values, rtol=1e-5, atol=1e-6)


def test_hosts_with_different_texts_say_so_before_they_learn() -> None:
    texts = [topics(4000, False), topics(4000, False, seed=1) + "new words\n"]

    def work(cluster: Any) -> None:
        with pytest.raises(UserError, match="the hosts read different texts"):
            started(texts[cluster.rank], cluster, **(VECTORS | {"mode": "batch_skipgram"}))

    on_hosts(2, work)


@pytest.mark.parametrize("given", [VECTORS | {"mode": "skipgram"}, LABELS])
def test_there_is_no_model_before_the_first_batch(given: dict[str, Any]) -> None:
    learner, _, _ = started(topics(100, True), **given)
    assert learner.model() is None
    again, _, _ = started(topics(100, True), **given)
    again.load_state_dict(learner.state_dict())
    assert again.model() is None


@pytest.mark.parametrize("given", [VECTORS | {"mode": "skipgram"}, LABELS])
def test_a_checkpoint_of_another_text_is_refused(given: dict[str, Any]) -> None:
    state = trained(topics(100, True), **given).state_dict()
    other, _, _ = started(topics(110, True), **given)
    with pytest.raises(UserError, match=r"holds \d+ words in \d+ tokens; the checkpoint is of another text"):
        other.load_state_dict(state)


@pytest.mark.parametrize("given", [VECTORS | {"mode": "skipgram"}, LABELS])
def test_what_is_resumed_behind_its_last_epoch_ends_as_if_undisturbed(given: dict[str, Any]) -> None:
    whole = trained(topics(100, True), **given)
    resumed, _, _ = started(topics(100, True), **given)
    resumed.load_state_dict(whole.state_dict())
    assert list(resumed.finish()[1]) == list(whole.finish()[1])


def test_the_same_seed_leaves_the_same_model() -> None:
    one, two = (trained(topics(800, False), mode="skipgram", **VECTORS).model() for _ in range(2))
    assert (one.input.values == two.input.values).all()


@pytest.mark.parametrize("given", [VECTORS | {"mode": "skipgram"}, LABELS])
def test_a_resumed_job_goes_on_as_if_undisturbed(given: dict[str, Any]) -> None:
    text = topics(400, True)
    whole = trained(text, **given)
    half, data, wanted = started(text, **given)
    blocks = [block for epoch in range(wanted.hyperparameters.epochs) for block in data.epoch(epoch)]
    for block in blocks[: len(blocks) // 2]:
        half.update(block)
    resumed, _, _ = started(text, **given)
    resumed.load_state_dict({name: np.array(array) for name, array in half.state_dict().items()})
    assert (resumed.model().input.values == half.model().input.values).all()
    for block in blocks[len(blocks) // 2 :]:
        resumed.update(block)
    one, two = whole.model(), resumed.model()
    assert (one.input.values == two.input.values).all()
    assert (one.output.values == two.output.values).all()


def accuracy(metrics: Any) -> float:
    (metric,) = metrics
    assert isinstance(metric, Metric)
    return metric.value


def test_subjects_are_told_apart() -> None:
    learner = trained(topics(600, True), **LABELS)
    _, metrics = learner.finish()
    assert accuracy(metrics) > 0.98
    blocks = ValidationChannel(
        channel(topics(200, True, seed=1) + "__label__new a b\nno label\n", "validation")
    )
    assert accuracy(learner.evaluate("validation", blocks.epoch(0))) > 0.98


def test_accuracy_is_what_the_model_itself_predicts() -> None:
    learner = trained(topics(60, True), **(LABELS | {"epochs": 1, "learning_rate": 0.4}))
    lines = topics(100, True, seed=1).splitlines()
    lines[0] += " unheard"
    model, _ = learner.finish()
    text = "\n".join(lines) + "\n"
    found = accuracy(learner.evaluate("validation", ValidationChannel(channel(text, "validation")).epoch(0)))
    answers = model.predict(Texts([line.encode() for line in lines], [1] * 100), {})["label"]
    assert found == np.mean([answer[0] in line for answer, line in zip(answers, lines, strict=True)])


def test_a_validation_text_is_read_once_and_scored_each_time() -> None:
    held_out = channel(topics(50, True, seed=1), "validation", mode="Pipe")
    learner = trained(topics(300, True), **LABELS)
    learner.finish()
    data = ValidationChannel(held_out)
    assert [accuracy(learner.evaluate("validation", data.epoch(number))) for number in range(3)] == [1.0] * 3
    assert held_out.passes == 1


def test_a_validation_text_without_a_known_label_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    learner = trained(topics(60, True), **LABELS)
    learner.finish()
    strange = ValidationChannel(channel("__label__new cat1\ncat2\n", "validation"))
    with caplog.at_level(logging.WARNING, "optml"):
        assert accuracy(learner.evaluate("validation", strange.epoch(0))) == 0
    assert "No line of channel 'validation' has a label of the training text" in caplog.text


@pytest.mark.parametrize("given", [VECTORS | {"mode": "cbow"}, LABELS])
def test_a_learning_rate_that_training_runs_away_from_is_named(given: dict[str, Any]) -> None:
    learner = trained(topics(100, True), **(given | {"learning_rate": 1e30}))
    with pytest.raises(UserError, match=r"training has diverged: .* lower learning_rate=1e\+30"):
        learner.finish()


def test_early_stopping_scores_from_its_first_epoch_on() -> None:
    given = LABELS | {"early_stopping": True, "min_epochs": 3, "epochs": 3}
    held_out = channel(topics(50, True, 1), "validation")
    learner, data, _ = started(topics(200, True), channels=("train", "validation"), **given)
    scored = []
    for epoch in range(3):
        for block in data.epoch(epoch):
            learner.update(block)
        learner.end_round()
        scored.append(list(learner.evaluate("validation", ValidationChannel(held_out).epoch(epoch))))
    assert [len(metrics) for metrics in scored] == [0, 0, 1]
    rule, watched = learner.stopping()
    assert (rule.patience, watched) == (4, "validation:accuracy")


def test_word_pairs_are_scored_by_rank() -> None:
    learner = trained(topics(1500, False), mode="skipgram", **VECTORS)
    model, _ = learner.finish()
    pairs = (
        b"Word 1\tWord 2\tHuman\ncat1\tCAT2\t9\ncat3\tcat4\t9\ncat1\tsea1\t1\ncat2\tsea3\t2\ncat1\tdog\t5\n"
    )
    (metric,) = learner.evaluate("evaluation", [Pairs.parse(pairs, "evaluation/pairs.tsv")])
    assert metric.name == "train:mean_rho"
    assert metric.value > 0.7
    assert model.evaluation["pairs.tsv"]["not_found"] == 1
    assert model.evaluation["pairs.tsv"]["total_pairs"] == 5
    (nothing,) = learner.evaluate("evaluation", [Pairs.parse(b"x y 1\n", "x")])
    assert nothing.value == 0


def test_a_broken_pair_names_its_line() -> None:
    with pytest.raises(UserError, match=r"line 2 of evaluation/x must hold two words and a score"):
        Pairs.parse(b"a b 1\na b\n", "evaluation/x")


@pytest.mark.parametrize(
    ("given", "channels", "message"),
    [
        ({"mode": "cbow"}, ("train", "validation"), "channel 'validation' does not go with mode 'cbow'"),
        ({"mode": "supervised", "early_stopping": True}, ("train",), "needs the channel 'validation'"),
        ({"mode": "cbow", "early_stopping": True}, ("train",), "only 'supervised' is validated"),
        ({"mode": "supervised"}, ("train", "evaluation"), "channel 'evaluation' holds word pairs"),
    ],
)
def test_channels_that_do_not_fit_are_refused(
    given: dict[str, Any], channels: tuple[str, ...], message: str
) -> None:
    assert ALGORITHM.training.learner is not None
    with pytest.raises(UserError, match=message):
        ALGORITHM.training.learner(setting(channels=channels, **given))


@pytest.mark.parametrize("mode", ["skipgram", "cbow", "supervised"])
def test_only_batch_skipgram_takes_several_hosts(mode: str) -> None:
    def work(cluster: Any) -> Any:
        assert ALGORITHM.training.learner is not None
        return ALGORITHM.training.learner(setting(cluster, mode=mode))

    with pytest.raises(UserError, match=f"mode '{mode}' trains on one host, not on 2"):
        on_hosts(2, work)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"mode": "batch_skipgram", "subwords": True},
            "subwords=True does not go with mode 'batch_skipgram'",
        ),
        (
            {"mode": "cbow", "subwords": True, "min_char": 5, "max_char": 4},
            "min_char=5 is larger than max_char=4",
        ),
        ({"mode": "cbow", "vector_dim": 2049}, "vector_dim"),
        ({"mode": "cbow", "batch_size": 33}, "batch_size"),
        ({"mode": "cbow", "sampling_threshold": 1}, "sampling_threshold"),
        ({"mode": "cbow", "min_count": -1}, "min_count"),
        ({"mode": "cbow", "negative_samples": 100_001}, "negative_samples"),
        ({"mode": "supervised", "word_ngrams": 101}, "word_ngrams"),
    ],
)
def test_hyperparameters_that_do_not_fit_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ALGORITHM.hyperparameters(**given)


def test_a_job_takes_one_gpu_and_none_for_subwords() -> None:
    assert ALGORITHM.hyperparameters(mode="skipgram").gpus(4) == 1
    assert ALGORITHM.hyperparameters(mode="skipgram", subwords=True).gpus(4) == 0


def test_a_table_that_does_not_fit_the_machine_is_refused_by_its_size() -> None:
    with pytest.raises(UserError, match=r"9 rows of vector_dim=2048 take 1.07e[+]09 GiB, but"):
        require_memory(1 << 60, "9 rows of vector_dim=2048")

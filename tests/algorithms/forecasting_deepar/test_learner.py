"""Learning: the lines of the log, resuming, hosts, early stopping, and a synthetic example of AWS's."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from optml.algorithms.cluster import Cluster
from optml.algorithms.forecasting_deepar import settings
from optml.algorithms.forecasting_deepar.data import data
from optml.errors import UserError
from tests.algorithms.forecasting_deepar.sample import START, channel, series, setting, waves
from tests.algorithms.hosts import on_hosts

torch = pytest.importorskip("torch")

from optml.algorithms.forecasting_deepar import likelihoods  # noqa: E402
from optml.algorithms.forecasting_deepar.learner import Learner  # noqa: E402
from optml.algorithms.forecasting_deepar.windows import gather  # noqa: E402
from optml.algorithms.network import Network  # noqa: E402
from tests.algorithms.forecasting_deepar.training import train  # noqa: E402


def equal(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name], equal_nan=True) for name in one
    )


@pytest.mark.parametrize(
    ("name", "raw", "scale", "target"),
    [
        ("gaussian", [0.3, -0.2], 2.0, 1.5),
        ("student-T", [0.3, -0.2, 1.0], 2.0, -4.0),
        ("negative-binomial", [0.7, 0.4], 3.0, 5.0),
        ("beta", [0.7, 0.4], 1.0, 0.2),
    ],
)
def test_losses_are_minus_the_log_density_in_the_units_of_the_data(
    name: str, raw: list[float], scale: float, target: float
) -> None:
    soft = [float(np.log1p(np.exp(value))) for value in raw]
    density = {
        "gaussian": lambda: stats.norm.logpdf(target, scale * raw[0], scale * soft[1]),
        "student-T": lambda: stats.t.logpdf(target, 2 + soft[2], scale * raw[0], scale * soft[1]),
        "negative-binomial": lambda: stats.nbinom.logpmf(
            target, soft[0], 1 / (1 + np.exp(raw[1] + np.log(scale)))
        ),
        "beta": lambda: stats.beta.logpdf(target, soft[0] + 1e-6, soft[1] + 1e-6),
    }[name]()
    outputs = torch.tensor([[raw]], dtype=torch.float64)
    given = torch.tensor([scale], dtype=torch.float64), torch.tensor([[target]], dtype=torch.float64)
    assert likelihoods.loss(name, outputs, *given).item() == pytest.approx(-density, rel=1e-6)


def test_lines_of_batches_are_the_running_means_of_awss_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "optml"):
        learner, metrics = train(waves(), epochs=0)
        losses = [float(number) for number in range(12)]
        for loss in losses:
            metrics += learner.progress.batch(loss, 1)
    assert [(metric.batch, metric.value) for metric in metrics] == [(0, 0.0), (5, 2.5), (10, 8.0)]
    averages = [line for line in caplog.messages if "avg_epoch_loss" in line]
    assert averages == [
        "Epoch[0] Batch[0] avg_epoch_loss=0.000000",
        "Epoch[0] Batch[5] avg_epoch_loss=2.500000",
        "Epoch[0] Batch[10] avg_epoch_loss=5.000000",
    ]
    speeds = [line.split("\t")[0::2] for line in caplog.messages if "Speed" in line]
    assert speeds == [["Epoch[0] Batch [5]", "loss=2.500000"], ["Epoch[0] Batch [10]", "loss=8.000000"]]
    (epoch,) = learner.end_round()
    assert (epoch.name, epoch.epoch, epoch.value) == ("train:loss", 0, 5.5)


@pytest.mark.parametrize("likelihood", ["gaussian", "student-T"])
def test_the_loss_does_not_tell_which_levels_were_drawn(likelihood: str) -> None:
    """A density holds the logarithm of the scale: else the best epoch is the one that drew small series."""
    (record,) = waves(1, 400)
    larger = {"start": START, "target": (1000 * np.array(record["target"])).tolist()}
    made = setting(likelihood=likelihood)
    losses = []
    for which in (0, 1):
        source = data(channel(record, larger), made)
        draw = next(source.epoch(0))
        chosen = np.full(len(draw), which)
        learner = Learner(replace(made, train=source))
        (metric,) = learner.update(replace(draw, which=chosen, level=source._level[chosen]))
        losses.append(metric.value)
    assert losses[0] == pytest.approx(losses[1], abs=0.2)
    assert source._level @ [1, 1] == pytest.approx(0, abs=1e-9)


def test_inputs_that_a_forecast_takes_beyond_the_past_are_small() -> None:
    def factors(length: int) -> list[float]:
        learner, _ = train(waves(4, length), epochs=1)
        found: list[float] = learner._module().get_buffer("mix").diagonal()[:5].tolist()
        return found

    slow = pytest.approx(settings.SLOW_FACTOR)
    assert factors(160) == [1, slow, slow, slow, slow]  # hour; day of week, of month, of year; age
    assert factors(170) == [1, 1, slow, slow, slow]
    assert factors(750) == [1, 1, 1, slow, slow]


@pytest.mark.parametrize(
    "likelihood", ["gaussian", "student-T", "negative-binomial", "beta", "deterministic-L1"]
)
def test_every_likelihood_learns(likelihood: str) -> None:
    records = waves()
    for record in records:
        values = np.array(record["target"])
        if likelihood == "negative-binomial":
            values = np.round(values)
        if likelihood == "beta":
            values = values / 20
        record["target"] = [None, *values[1:].tolist()]
    _, metrics = train(records, epochs=2, likelihood=likelihood, learning_rate=0.01)
    losses = [metric.value for metric in metrics if metric.name == "train:loss"]
    assert losses[-1] < losses[0]


def test_a_resumed_job_goes_on_as_if_undisturbed() -> None:
    records = [record | {"cat": [number % 3]} for number, record in enumerate(waves())]
    made = setting()
    made = replace(made, train=data(channel(*records), made))
    whole, resumed = Learner(made), Learner(made)
    draws = list(made.train.epoch(0))
    for number, draw in enumerate(draws):
        list(whole.update(draw))
        if number == 3:
            state = whole.state_dict()
    list(whole.end_round())
    resumed.load_state_dict(state)
    assert equal(resumed.state_dict(), state)
    for draw in draws[4:]:
        list(resumed.update(draw))
    list(resumed.end_round())
    assert equal(whole.state_dict(), resumed.state_dict())
    fresh = Learner(made)
    fresh.load_state_dict(Learner(made).state_dict())  # before there was any batch
    assert fresh.model() is None


def test_same_seed_same_model() -> None:
    one, same, other = (train(waves(), epochs=1, seed=seed)[0].state_dict() for seed in (3, 3, 4))
    assert equal(one, same)
    assert not equal(one, other)


def test_a_series_without_a_history_has_a_level_of_its_category() -> None:
    """Levels 1 to 10 and 100 to 1000, and a new series of each: forecasts tell them apart. Without cat they
    span both."""
    records = [
        record | {"target": (factor * np.array(record["target"])).tolist(), "cat": [number % 2]}
        for number, record in enumerate(waves(8, 60))
        for factor in ((1.0, 100.0)[number % 2],)
    ]
    given: dict[str, Any] = {"epochs": 4, "likelihood": "gaussian", "learning_rate": 0.01}
    bounds = []
    for shown in (records, [{"start": each["start"], "target": each["target"]} for each in records]):
        learner, _ = train(shown, **given)
        model, _ = learner.finish()
        for target in ([], [None] * 20, [0.0, 0.0]):
            new = series([dict(each, target=target) for each in shown[:2]], future=4, empty=True)
            bounds.append(np.quantile(model.paths(new, 200), [0.1, 0.5, 0.9], axis=1).mean(axis=2).T)
    for (_, low, above), (under, high, _) in bounds[:2]:
        assert above < under
        assert 30 < high / low < 300
    assert bounds[2][0][2] < bounds[2][1][0]
    for (below, _, above), (under, _, over) in bounds[3:5]:
        assert min(above / below, over / under) > 30


def test_a_series_without_a_history_lies_on_its_side_of_zero() -> None:
    records = [
        record | {"target": (side * np.array(record["target"])).tolist(), "cat": [number % 2]}
        for number, record in enumerate(waves(8, 60))
        for side in ((1.0, -1.0)[number % 2],)
    ]
    for likelihood in ("gaussian", "deterministic-L1"):
        learner, _ = train(records, epochs=4, likelihood=likelihood, learning_rate=0.01)
        new = series([dict(each, target=[]) for each in records[:2]], future=4, empty=True)
        above, below = np.median(learner.finish()[0].paths(new, 100), axis=(1, 2))
        assert above > 1
        assert below < -1


@pytest.mark.parametrize("distribution", ["FullyReplicated", "ShardedByS3Key"])
def test_hosts_agree_on_facts_and_parameters(distribution: str) -> None:
    records = [record | {"cat": [number]} for number, record in enumerate(waves(4, 120))]

    def host(cluster: Cluster) -> dict[str, np.ndarray]:
        mine = records if distribution == "FullyReplicated" else records[cluster.rank :: 2]
        made = setting(cluster)
        source = data(channel(*mine, distribution=distribution), made)
        learner = Learner(replace(made, train=source))
        draws = list(source.epoch(0))
        for number in range(12):
            list(learner.update(draws[number] if number < len(draws) else None))
        return learner.state_dict()

    first, second = on_hosts(2, host)
    assert equal(first, second)
    assert first["cardinality"].tolist() == [4]
    assert first["level_cats"].tolist() == [[0], [1], [2], [3]]


@pytest.mark.parametrize(
    ("distribution", "observations"), [("FullyReplicated", 480), ("ShardedByS3Key", 960)]
)
def test_processes_of_one_host_count_its_series_once(
    monkeypatch: pytest.MonkeyPatch, distribution: str, observations: int
) -> None:
    monkeypatch.setattr("optml.algorithms.forecasting_deepar.settings.FEWEST_OBSERVATIONS", 10**6)

    def work(cluster: Cluster) -> str:
        made = setting(cluster)
        source = data(channel(*waves(4, 120), distribution=distribution), made)
        with pytest.raises(UserError) as error:
            list(Learner(replace(made, train=source)).update(next(source.epoch(0))))
        return str(error.value)

    expected = f"the training series have {observations} observations in all; at least 1000000 are needed"
    assert on_hosts(4, work, processes=2) == [expected] * 4


def test_too_few_observations_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UserError, match="have 240 observations in all; at least 300"):
        train(waves(2, 120))
    with pytest.raises(UserError, match="no series of at least prediction_length=4 points"):
        train([{"start": START, "target": [1, 2]}] * 200)[0].finish()


def test_all_zero_series_are_no_error(caplog: pytest.LogCaptureFixture) -> None:
    learner, _ = train([{"start": START, "target": [0] * 100}] * 4)
    assert learner.facts is not None
    assert learner.facts.scale == 1
    assert "All training values are zero" in caplog.text


def test_the_learning_rate_falls_over_the_second_half_of_the_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = Network.step

    def watched(network: Network) -> None:
        rates.append(network.optimizer.param_groups[0]["lr"])
        step(network)

    monkeypatch.setattr(Network, "step", watched)
    train(waves(), epochs=4)
    assert list(dict.fromkeys(rates)) == [0.001, 0.0005]


def test_the_best_epoch_comes_back_with_its_loss(caplog: pytest.LogCaptureFixture) -> None:
    learner, _ = train(waves(), epochs=1, early_stopping_patience=2)
    best = learner.state_dict()
    rule = learner.stopping()
    assert rule is not None
    assert (rule[0].patience, rule[1]) == (2, "train:loss")
    with caplog.at_level(logging.INFO, "optml"):
        list(learner.progress.batch(1e6, 1))
        list(learner.end_round())
        learner.load_state_dict(best)
        _, metrics = learner.finish()
    loss = float(best["progress"][1])
    assert "Loading parameters from best epoch (0)" in caplog.messages
    assert f"Final loss: {loss!r} (occurred at epoch 0)" in caplog.messages
    assert [(metric.name, metric.value) for metric in metrics] == [("train:final_loss", loss)]


def test_missing_points_are_imputed_by_the_network_itself() -> None:
    records = waves(8, 120)
    for record in records:
        record["target"][20:110:7] = [None] * len(record["target"][20:110:7])
    made = setting(context_length=24)
    source = data(channel(*records), made)
    learner = Learner(replace(made, train=source))
    draws = source.epoch(0)
    list(learner.update(next(draws)))
    draw = next(draws)
    windows = gather(source.series, draw.which, draw.at, learner.shape, 1.0)
    before = windows.inputs.copy()
    after = learner._imputed(windows).inputs
    lags = learner.shape.frequency.lags.tolist()
    changed = before[..., -len(lags) :] != after[..., -len(lags) :]
    missing = windows.real & ~windows.observed
    for place, lag in enumerate(lags):
        expected = np.zeros_like(missing)
        if lag < len(missing):
            expected[lag:] = missing[:-lag]
        assert not (changed[..., place] & ~expected).any()
        assert changed[..., place].sum() >= 0.9 * expected.sum()


@pytest.mark.parametrize(("likelihood", "carried"), [("student-T", True), ("negative-binomial", False)])
def test_zoneout_spares_the_unit_that_carries_an_autoregression(likelihood: str, carried: bool) -> None:
    records = [record | {"target": np.round(record["target"]).tolist()} for record in waves()]
    learner, _ = train(records, likelihood=likelihood, dropout_rate=0.5)
    mask = learner._zoneout(8)
    assert mask is not None
    shares = mask.float().mean(dim=(0, 1, 2, 3))
    assert all(0.4 < share < 0.6 for share in shares[carried:].tolist())
    assert (shares[0].item() == 0) == carried


@pytest.mark.parametrize(("likelihood", "reach"), [("student-T", 49), ("negative-binomial", 0)])
def test_points_that_lack_a_lag_of_the_autoregression_count_a_tenth(likelihood: str, reach: int) -> None:
    records = [{"start": START, "target": (np.arange(400) % 24).tolist()}] * 4
    learner, _ = train(records, likelihood=likelihood)
    draw = next(learner.setting.train.epoch(0))
    at = np.full(len(draw), 45)
    windows = gather(learner.setting.train.series, draw.which, at, learner.shape, 1.0)
    place = 45 - learner.shape.context + np.arange(learner.shape.steps)
    expected = np.where(place < reach, 0.1, 1.0)
    weights = learner._weights(windows, at)
    np.testing.assert_allclose(weights, np.broadcast_to(expected[:, None], weights.shape), rtol=1e-6)


def test_awss_synthetic_example_is_learnt_in_short() -> None:
    """Section i of the specification in small: daily waves of 40 series; the truth's own score is 0.031."""
    generator = np.random.RandomState(1)
    hours = np.arange(250)
    records = []
    for _ in range(40):
        level = 10 * generator.rand()
        swing = (0.1 + 0.3 * generator.rand()) * level
        noise = 0.05 * level * generator.randn(len(hours))
        records.append(
            {"start": START, "target": (level + swing * np.sin(2 * np.pi * hours / 24) + noise).tolist()}
        )
    cut = [record | {"target": record["target"][:-24]} for record in records]
    given: dict[str, Any] = {"context_length": 48, "prediction_length": 24, "likelihood": "gaussian"}
    learner, _ = train(
        cut, epochs=25, num_cells=24, mini_batch_size=32, learning_rate=0.005, dropout_rate=0.05, **given
    )
    learner.finish()
    batches = data(channel(*records, name="test"), learner.setting).epoch(0)
    scores = {metric.name: metric.value for metric in learner.evaluate("test", batches)}
    assert 0.028 < scores["test:mean_wQuantileLoss"] < 0.042

"""Learning: one update a batch of windows, on the likelihood of all their points."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from optml.algorithms.base import Setting
from optml.algorithms.forecasting_deepar import autoregression, likelihoods, settings, summary
from optml.algorithms.forecasting_deepar.data import Draw, Sampler, TestSeries
from optml.algorithms.forecasting_deepar.early_stopping import EarlyStopping
from optml.algorithms.forecasting_deepar.facts import Facts
from optml.algorithms.forecasting_deepar.hyperparameters import Hyperparameters
from optml.algorithms.forecasting_deepar.levels import Levels
from optml.algorithms.forecasting_deepar.model import Model
from optml.algorithms.forecasting_deepar.module import DeepAR
from optml.algorithms.forecasting_deepar.progress import Progress
from optml.algorithms.forecasting_deepar.scores import Total
from optml.algorithms.forecasting_deepar.series import Series
from optml.algorithms.forecasting_deepar.summary import Summary
from optml.algorithms.forecasting_deepar.windows import Shape, Windows, gather
from optml.algorithms.metrics import Metric
from optml.algorithms.network import Network, seeded, threads
from optml.errors import UserError

log = logging.getLogger(__name__)


class Learner:
    """State: a network and its optimiser, made when the first batch shows what the data is like."""

    round: int | None = None
    lockstep = True

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.parameters: Hyperparameters = setting.hyperparameters
        parameters = self.parameters
        self.shape = Shape.of(parameters)
        self._train: Sampler = setting.train
        points = parameters.mini_batch_size * self.shape.steps
        self._work = points * 4 * parameters.num_cells**2  # of the product of a layer
        self.facts: Facts | None = None
        self.network: Network | None = None
        self.progress = Progress()
        self._reach = 0  # the longest lag that the network begins with
        self._mean: dict[str, Tensor] = {}  # the parameters' running mean, which is the model
        self._levels: Levels | None = None
        self._final: Model | None = None
        self._rule: EarlyStopping | None = None
        if parameters.early_stopping_patience:
            self._rule = EarlyStopping(parameters.early_stopping_patience)
            log.info("Using early stopping with patience %d", parameters.early_stopping_patience)
        log.info("Number of GPUs being used: %d", 0 if setting.device == "cpu" else 1)

    def update(self, batch: Draw | None) -> Iterable[Metric]:
        if self.network is None:
            self._begin()
        with threads(self._work):
            return self._learn(batch)

    def _learn(self, batch: Draw | None) -> Iterable[Metric]:
        assert self.network is not None
        assert self.facts is not None
        if batch is None:
            total, points = self.network.gradient(None, 0.0, 0.0)
        else:
            windows = gather(self._train.series, batch.which, batch.at, self.shape, self.facts.scale)
            windows = self._imputed(windows)
            losses = self._losses(windows, self._zoneout(len(windows)))
            weights = self._weights(windows, batch.at)
            loss = torch.where(self._tensor(windows.observed), losses * self._tensor(weights), 0).sum()
            value = loss.item()
            # Its mean stays, and noise goes: which series were drawn weighs ten times what an epoch gains.
            if likelihoods.holds_log_scale(self.parameters.likelihood):
                value -= float(weights.sum(axis=0) @ batch.level)
            total, points = self.network.gradient(loss, value, float(weights.sum()))
            self.progress.windows += len(windows)
        if not points:
            return ()
        self._step(points)
        return self.progress.batch(total, points)

    def _weights(self, windows: Windows, at: np.ndarray) -> np.ndarray:
        """(t, w) float32: how much each point counts. Where a lag that the autoregression needs lies before
        the beginning of the series, the network is far off at first: these points would drown the others."""
        place = at - self.shape.context + np.arange(self.shape.steps)[:, None]
        weights: np.ndarray = windows.observed * np.where(
            place < self._reach, np.float32(settings.EARLY_WEIGHT), np.float32(1)
        )
        return weights

    def _step(self, points: float) -> None:
        assert self.network is not None
        weights = list(self.network.module.parameters())
        for weight in weights:
            if weight.grad is not None:
                weight.grad /= points
        norm = torch.nn.utils.clip_grad_norm_(weights, settings.CLIP_NORM)
        if torch.isfinite(norm):
            for group in self.network.optimizer.param_groups:
                group["lr"] = self._rate()
            self.network.step()
            torch._foreach_lerp_(
                list(self._mean.values()), [weight.detach() for weight in weights], settings.EMA_RATE
            )
        else:
            log.warning("An update was left out: its gradient is %s", norm.item())

    def _rate(self) -> float:
        """Of learning, in this epoch: constant, and over the second half of the epochs down to 0, by which
        the noise of updates dies away (Haegele et al., 2024). An epoch is too few windows for its loss to
        tell when a smaller rate is due; many are, to a job that has the patience for them."""
        left = max(1 - self.progress.epoch / self.parameters.epochs, 0.0)
        rate = self.parameters.learning_rate * min(left / settings.COOLDOWN, 1.0)
        return math.ldexp(rate, -self._rule.halvings) if self._rule else rate

    def _losses(self, windows: Windows, mask: Tensor | None) -> Tensor:
        return likelihoods.loss(
            self.parameters.likelihood,
            self._outputs(windows, mask),
            self._tensor(windows.scale),
            self._tensor(windows.target),
        )

    def _outputs(self, windows: Windows, mask: Tensor | None) -> Tensor:
        assert self.network is not None
        outputs: Tensor = self.network.module(
            self._tensor(windows.inputs), self._tensor(windows.cat), self._tensor(windows.real), mask
        )
        return outputs

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.setting.device)

    def _zoneout(self, windows: int) -> Tensor | None:
        """What zoneout keeps of the states of this update's windows."""
        rate, parameters = self.parameters.dropout_rate, self.parameters
        if not rate:
            return None
        assert self.network is not None
        shape = (parameters.num_layers, 2, self.shape.steps, windows, parameters.num_cells)
        generator = self.network.random()
        if self.setting.device != "cpu":
            mask = torch.rand(shape, generator=generator, device=self.setting.device) < rate
        else:  # The same in a tenth of the time: two random bytes each.
            seed = int(torch.randint(1 << 62, (1,), generator=generator))
            numbers = np.frombuffer(
                np.random.Generator(np.random.SFC64(seed)).bytes(2 * int(np.prod(shape))), np.uint16
            )
            mask = torch.from_numpy((numbers < round(rate * (1 << 16))).reshape(shape))
        if likelihoods.linear(parameters.likelihood):
            # A forecast of the step before, in place of this one's, only misleads.
            mask[..., settings.UNZONED_UNITS] = False
        return mask

    def _imputed(self, windows: Windows) -> Windows:
        """As a lag, a missing point of the window takes the mean of the network's distribution there. It is
        found in a pass of its own, in which the last value before it stands for it."""
        missing = windows.real & ~windows.observed  # (t, w)
        if not missing.any():
            return windows
        with torch.no_grad():
            outputs, scale = self._outputs(windows, None), self._tensor(windows.scale)
            means = likelihoods.mean(self.parameters.likelihood, outputs, scale).cpu().numpy() / windows.scale
        lags = self.shape.frequency.lags
        first = windows.inputs.shape[2] - len(lags)
        for place, lag in enumerate(lags[lags < len(missing)].tolist(), first):
            column = windows.inputs[lag:, :, place]
            np.copyto(column, means[:-lag], where=missing[:-lag])
        return windows

    def _begin(self) -> None:
        """Agree with the other hosts on what the data is like, and make the network. Holds collectives."""
        train, cluster = self._train, self.setting.cluster
        series = None if train.empty else train.series
        about = summary.gather(None if series is None else Summary.of(series, counts=train.counts), cluster)
        if about.observations < settings.FEWEST_OBSERVATIONS:
            raise UserError(
                f"the training series have {int(about.observations)} observations in all; at least "
                f"{settings.FEWEST_OBSERVATIONS} are needed"
            )
        dynamics, sizes = about.dynamics, list(about.cardinality)
        parameters = self.parameters
        if parameters.cardinality == "auto" and sizes:
            log.info("[cardinality=auto] Inferred value of cardinality=%s from dataset.", sizes)
        if parameters.num_dynamic_feat == "auto" and dynamics:
            log.info("[num_dynamic_feat=auto] Inferred value of num_dynamic_feat=%d from dataset.", dynamics)
        if isinstance(parameters.cardinality, tuple):
            sizes = list(parameters.cardinality)
        if not about.absolute:
            log.warning("All training values are zero: they are not scaled")
        mean, square = about.scaled / about.observations, about.squares / about.observations
        outputs = likelihoods.beginning(parameters.likelihood, mean, math.sqrt(max(square - mean**2, 0.0)))
        scale = about.absolute / about.observations if about.absolute else 1.0
        self._levels = Levels.of(series if train.counts else None, cluster)
        self._make(Facts(tuple(sizes), dynamics, scale), outputs)
        self._dampen(about.longest)
        self._standardise(series)
        if likelihoods.linear(parameters.likelihood):
            start = autoregression.fit(series, self.shape, scale, cluster)
            if start is not None:
                self._module().carry(start)
        self._reach = self._longest_carried()
        self._mean = self._copies()

    def _dampen(self, longest: int) -> None:
        """Of the age, and of calendar features whose values the series do not go through once, forecasts have
        values that training has not seen. Most of what is learnt of these is what the first points of a
        series ask for, which lack lags; and it goes on where no point of training can object."""
        unseen = longest < self.shape.frequency.cycles
        slow = torch.from_numpy(np.append(unseen, True))
        self._module().get_buffer("mix").diagonal()[: len(slow)][slow] = settings.SLOW_FACTOR

    def _standardise(self, series: Series | None) -> None:
        """Tell the network means and deviations of dynamic_feat. Holds a collective."""
        assert self.facts is not None
        dynamics = self.facts.dynamics
        sums = np.zeros((3, dynamics))  # of values, squares, and their number
        if series is not None:
            values = series.dynamic.astype(np.float64)
            count = np.full(dynamics, values.shape[1], np.float64)
            sums += np.stack([values.sum(axis=1), np.square(values).sum(axis=1), count])
        self.setting.cluster.all_sum(sums)
        mean, squares = sums[:2] / sums[2]
        deviation = np.sqrt(np.maximum(squares - mean**2, 0))
        deviation[deviation < settings.CONSTANT_DEVIATION * (1 + np.abs(mean))] = 1
        module = self._module()
        columns = slice(module.before - dynamics, module.before)
        module.get_buffer("center")[columns] = torch.from_numpy(mean)
        module.get_buffer("mix").diagonal()[columns] = torch.from_numpy(1 / deviation)

    def _make(self, facts: Facts, outputs: Mapping[str, float]) -> None:
        frequency = self.shape.frequency
        with seeded(self.setting.seed):
            module = DeepAR(self.parameters, facts, len(frequency.names), len(frequency.lags), outputs)
        module.to(self.setting.device)
        optimizer = torch.optim.Adam(module.parameters(), lr=self.parameters.learning_rate)
        self.facts = facts
        self.network = Network(module, optimizer, self.setting)
        for test in self.setting.tests.values():
            if isinstance(test, TestSeries):
                test.fit_to(facts)

    def _longest_carried(self) -> int:
        return int(self.shape.frequency.lags[self._module().carried_lags()].max(initial=0))

    def _copies(self) -> dict[str, Tensor]:
        return {name: weight.detach().clone() for name, weight in self._module().named_parameters()}

    def end_round(self) -> Iterable[Metric]:
        progress = self.progress
        if not progress.batches:
            progress.epoch += 1
            return ()
        return [progress.end_epoch()]

    def evaluate(self, channel: str, batches: Iterable[Series]) -> Iterable[Metric]:
        """Score the final model; what does not fit it was left out before training (`TestSeries.fit_to`)."""
        assert self._final is not None
        parameters = self.parameters
        log.info("Evaluating model accuracy on testset using %d samples", parameters.num_eval_samples)
        total = Total(parameters.test_quantiles)
        for series in batches:
            history, truth = series.holdout(parameters.prediction_length)
            total.add(self._final.paths(history, parameters.num_eval_samples), truth)
        scores = total.scores(self.setting.cluster)
        if np.isnan(scores.mean_weighted):
            log.warning("The truth of the test channel is zero everywhere: wQuantileLoss is nan")
        weighted = zip(parameters.test_quantiles, scores.weighted.tolist(), strict=True)
        return [
            Metric("test:RMSE", scores.rmse),
            Metric("test:mean_absolute_QuantileLoss", scores.absolute),
            Metric("test:mean_wQuantileLoss", scores.mean_weighted),
            *(Metric("test:wQuantileLoss", value, token=str(quantile)) for quantile, value in weighted),
        ]

    def stopping(self) -> tuple[EarlyStopping, str] | None:
        return (self._rule, "train:loss") if self._rule else None

    def state_dict(self) -> dict[str, np.ndarray]:
        state = {"progress": self.progress.array()}
        if self.network is None or self.facts is None:
            return state
        facts = self.facts
        return (
            state
            | {f"mean.{name}": array for name, array in self._means().items()}
            | self.network.state_dict()
            | {
                "cardinality": np.array(facts.cardinality, np.int64),
                "facts": np.array([facts.dynamics, facts.scale], np.float64),
            }
            | (self._levels.arrays() if self._levels else {})
        )

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.progress = Progress.of_array(state["progress"])
        if "facts" not in state:
            return
        dynamics, scale = state["facts"].tolist()
        sizes = tuple(state["cardinality"].tolist())
        self._levels = Levels.of_arrays(state, len(sizes))
        self._make(Facts(sizes, int(dynamics), scale), {})
        assert self.network is not None
        self.network.load_state_dict(state)
        self._reach = self._longest_carried()
        self._mean = self._copies()
        for name, mean in self._mean.items():
            mean.copy_(torch.from_numpy(state[f"mean.{name}"]))

    def model(self) -> Model | None:
        if self.network is None or self.facts is None:
            return None
        with torch.no_grad():
            folded = self._module().folded(self._mean)
        arrays = {name: weight.cpu().numpy().copy() for name, weight in folded.items()}
        return Model(self.parameters, self.facts, arrays, self._levels)

    def _module(self) -> DeepAR:
        assert self.network is not None
        assert isinstance(self.network.module, DeepAR)
        return self.network.module

    def _means(self) -> dict[str, np.ndarray]:
        return {name: mean.cpu().numpy().copy() for name, mean in self._mean.items()}

    def finish(self) -> tuple[Model, Iterable[Metric]]:
        model, progress = self.model(), self.progress
        if model is None:
            raise UserError(
                "channel 'train' has no series of at least prediction_length="
                f"{self.parameters.prediction_length} points to learn from"
            )
        if self._rule:
            log.info("Loading parameters from best epoch (%d)", progress.epoch - 1)
        log.info("Final loss: %r (occurred at epoch %d)", progress.loss, progress.epoch - 1)
        self._final = model
        return model, [Metric("train:final_loss", progress.loss)]

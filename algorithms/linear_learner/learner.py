"""Linear models trained side by side by stochastic gradients; the best of them is kept.

Liberty et al., "Elastic Machine Learning Algorithms in Amazon SageMaker", SIGMOD 2020, for the idea that many
models share the passes over the data.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.linear_learner import evaluation, labels
from optml.algorithms.linear_learner.calibration import NATURAL, Choice
from optml.algorithms.linear_learner.early_stopping import EarlyStopping
from optml.algorithms.linear_learner.first_rows import FirstRows, common_width
from optml.algorithms.linear_learner.folding import earlier, fold, unfold
from optml.algorithms.linear_learner.grid import points
from optml.algorithms.linear_learner.hyperparameters import Hyperparameters
from optml.algorithms.linear_learner.losses import Loss
from optml.algorithms.linear_learner.model import Model
from optml.algorithms.linear_learner.scaler import Scaler
from optml.algorithms.linear_learner.scores import Scores
from optml.algorithms.linear_learner.stack import Stack
from optml.algorithms.linear_learner.train_sample import TrainSample
from optml.algorithms.metrics import Metric
from optml.errors import UserError
from optml.formats.records import Records

log = logging.getLogger(__name__)

CRITERIA = "early_stopping:criteria"
LEAST_UPDATES = 300  # before the first evaluation, where the rows that the scaler saw are the whole channel


class Learner:
    """State: the first rows until the scaler has seen num_point_for_scaler of them; then the scaler and the
    stack of models. Without a validation channel the first rows are kept, to choose a model by."""

    round: int | None = None
    lockstep = True

    def __init__(self, setting: Setting) -> None:
        self.hyperparameters: Hyperparameters = setting.hyperparameters
        self.cluster = setting.cluster
        self.device = setting.device
        self.seed = setting.seed
        self.has_validation = "validation" in setting.channels
        self.loss = Loss.of(self.hyperparameters)
        self.points = points(self.hyperparameters, tuned=bool(setting.tuned), seed=self.seed)
        width = self.hyperparameters.feature_dim
        self.width = None if width == "auto" else width
        self.warm = None if setting.warm_start is None else earlier(setting.warm_start, self.hyperparameters)
        self.waiting = FirstRows()
        self.scaler: Scaler | None = None
        self.stack: Stack | None = None
        self.sample = TrainSample(self.hyperparameters.calibration_rows)
        self.epoch = 0
        self.rows = 0  # of this epoch and host
        self.objective = np.full(len(self.points), np.nan)  # of the last whole epoch
        self.choice: Choice | None = None  # by the newest evaluation
        self.lowest = float("nan")  # objective of the models, in that evaluation
        self.error = np.zeros(len(self.points))  # mean of prediction - label, in that evaluation
        self._label = (0.0, 1.0)  # what is subtracted from labels, and what they are divided by then
        self._final: tuple[Model, np.ndarray | None] | None = None  # and its class weights
        self._stopped = setting.stopped
        self._cut: dict[str, np.ndarray] = {}  # the first rows, where their repetition was left

    def update(self, batch: Records | None) -> Iterable[Metric]:
        y = None if batch is None else self._labels_of(batch, "train")
        if self.stack is None:
            self.waiting.add(batch, self.cluster)
            if self.waiting.rows > self.hyperparameters.num_point_for_scaler:
                self._start()
        else:
            self._learn(batch, y)
        return ()

    def end_round(self) -> Iterable[Metric]:
        if self.stack is None:
            self._start(whole=True)
        assert self.stack is not None
        rows = np.array([self.rows], np.float64)
        losses = self.stack.take_losses()
        self.cluster.all_sum(losses, rows)
        self.objective = losses / rows
        self._bury(self.stack)
        self.objective[~self.stack.alive] = np.nan
        batch = self.hyperparameters.mini_batch_size
        if self.epoch == 0 and rows[0] < batch:
            log.warning(
                "hyperparameter mini_batch_size is %d, but channel 'train' has %d rows: each step takes all",
                batch,
                rows[0],
            )
        metrics = self._of_models("train", self.objective)
        if not self.has_validation:
            token = f"{self.loss.token}_objective"
            self.lowest = float(np.nanmin(self.objective))
            metrics.append(Metric(CRITERIA, self.lowest, token=token))
        self.rows = 0
        self.epoch += 1
        return metrics

    def evaluate(self, channel: str, batches: Iterable[Records]) -> Iterable[Metric]:
        if self._final is not None:
            return self._score_final(batches, channel)
        scores, errors = self._score_all(batches, channel)
        scores.merge(self.cluster)
        self.cluster.all_sum(errors)
        self.choice = scores.choose()
        self.error = errors / scores.rows
        objective = scores.objective()
        self.lowest = float(np.nan if np.isnan(objective).all() else np.nanmin(objective))
        metrics = self._of_models(channel, objective, self.epoch - 1)
        return [*metrics, Metric(CRITERIA, self.choice.value, epoch=self.epoch - 1, token=self.choice.name)]

    def stopping(self) -> tuple[EarlyStopping, str]:
        hyperparameters = self.hyperparameters
        patience, tolerance = (
            hyperparameters.early_stopping_patience,
            hyperparameters.early_stopping_tolerance,
        )
        return EarlyStopping(patience, tolerance, lambda: self.lowest), CRITERIA

    def state_dict(self) -> dict[str, np.ndarray]:
        state = {
            "epoch": np.array(self.epoch),
            "seed": np.array(self.seed),
            "rows": np.array(self.rows),
            "width": np.array(self.width or 0),
            "objective": self.objective.copy(),
            "error": self.error.copy(),
        }
        if self.stack is None or self.scaler is None:
            return state | self.waiting.state_dict()
        if self._cut:
            return state | self._cut
        choice = {} if self.choice is None else self.choice.state_dict()
        return state | choice | self.scaler.state_dict() | self.stack.state_dict() | self.sample.state_dict()

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.epoch, self.seed, self.rows = (int(state[name]) for name in ("epoch", "seed", "rows"))
        self.width = int(state["width"]) or None
        self.objective, self.error = np.array(state["objective"]), np.array(state["error"])
        if "waiting_sizes" in state:
            self.waiting.load_state_dict(state)
            if self.epoch:  # the end of the first one was left on the way: once more
                self.epoch = 0
                self._start(whole=True)
                self.epoch, self.rows = 1, 0
                assert self.stack is not None
                self.stack.take_losses()
                self.stack.bury(np.isfinite(self.objective))
            return
        self._prepare(Scaler.of_state_dict(state)).load_state_dict(state)
        self.choice = Choice.of_state_dict(state)
        self.sample.load_state_dict(state)

    def model(self) -> Model | None:
        if self.stack is None:
            return None
        choice = self.choice
        if choice is None and not self.has_validation:
            choice = self._score_all(self.sample.batches, "train")[0].choose()  # of this host's rows alone
        if choice is not None:
            return self._model_of(choice.best, float(choice.thresholds[choice.best]))
        best = int(np.nanargmin(np.append(self.objective, np.inf))) % len(self.points)
        return self._model_of(best, NATURAL)

    def finish(self) -> tuple[Model, Iterable[Metric]]:
        assert self.stack is not None
        if not self.has_validation:
            scores, _ = self._score_all(self.sample.batches, "train")
            scores.merge(self.cluster)
            self.choice = scores.choose()
        choice = self.choice
        assert choice is not None
        if choice.warning:
            log.warning("%s", choice.warning)
        best = choice.best
        model = self._model_of(best, float(choice.thresholds[best]))
        weights = self.stack.class_weights
        self._final = model, None if weights is None else weights[:, best : best + 1]
        log.info("Best model found for hyperparameters: %s", json.dumps(self.points[best].describe()))
        if self.has_validation:
            return model, ()
        return model, [
            replace(metric, score=True) for metric in self._score_final(self.sample.batches, "train")
        ]

    def _start(self, *, whole: bool = False) -> None:
        """Fit the scaler to the first rows, and train on all that have come; again and again where they are
        the `whole` channel: a pass over so few rows is a handful of updates."""
        hyperparameters = self.hyperparameters
        first = self.waiting.first(hyperparameters.num_point_for_scaler, self.cluster.rank)
        if not self.waiting.rows:
            raise UserError("channel 'train' is empty: there are no records in its data")
        self.width = common_width(self.width, self.cluster)
        first_labels = np.concatenate(
            [np.empty(0), *(part.labels[:, 0] for part in first if part.labels is not None)]
        )
        first_labels = np.concatenate(self.cluster.gather(first_labels))
        labels.require_num_classes(first_labels, hyperparameters)
        classes = {"binary_classifier": 2, "regressor": 0}.get(
            hyperparameters.predictor_type, hyperparameters.outputs
        )
        scaler = Scaler.fit(first, self.width, classes, self.cluster)
        labels.warn_of_one_class(scaler.counts)
        stack = self._prepare(scaler)
        if self.warm is not None:
            stack.start_from(*unfold(self.warm, scaler, hyperparameters))
        waiting = self.waiting.state_dict() if whole else {}
        batches = list(self.waiting.steps()) if whole else []
        for batch in batches or self.waiting.steps():
            self._learn(batch, None if batch is None else self._labels_of(batch, "train"))
        if batches and not self._repeat(batches, stack):
            self._cut = waiting

    def _repeat(self, batches: Sequence[Records | None], stack: Stack) -> bool:
        """More updates by the rows of the first epoch, LEAST_UPDATES with its own. They count neither as rows
        nor in its loss. False: told to stop on the way."""
        losses = stack.take_losses()
        stop = np.zeros(1, np.int64)  # hosts that were told to stop
        while stack.updates < LEAST_UPDATES and not stop[0]:
            for batch in batches:
                self._step(batch, None if batch is None else self._labels_of(batch, "train"))
                stop[0] = self._stopped()
                self.cluster.all_sum(stop)
                if stop[0]:
                    break
        stack.put_losses(losses)
        return not stop[0]

    def _prepare(self, scaler: Scaler) -> Stack:
        """A stack of models at their start, for data that the scaler knows."""
        hyperparameters = self.hyperparameters
        self.width = len(scaler.mean)
        self.scaler = scaler
        self._label = scaler.label_shift(hyperparameters), scaler.label_scale(hyperparameters)
        self.stack = Stack(hyperparameters, self.points, scaler, device=self.device, seed=self.seed)
        return self.stack

    def _learn(self, batch: Records | None, y: np.ndarray | None) -> None:
        """A step by the next rows of the epoch."""
        if batch is not None:
            self.rows += len(batch)
            if not self.has_validation and self.epoch == 0:
                self.sample.add(batch)
        self._step(batch, y)

    def _step(self, batch: Records | None, y: np.ndarray | None) -> None:
        assert self.stack is not None
        assert self.width is not None
        if batch is None or y is None:
            rows, targets = np.empty((0, self.width), np.float32), np.empty(0)
        else:
            shift, scale = self._label
            rows, targets = batch.features, (y - shift) / scale
        self.stack.step(rows, targets, self.cluster)

    def _bury(self, stack: Stack) -> None:
        """Tell of models that diverged. Raises UserError if all have."""
        rates = [point.learning_rate for point in self.points]
        dead = stack.bury(np.isfinite(self.objective))
        if not stack.alive.any():
            raise UserError(
                f"the training loss of every model is no number any more after epoch {self.epoch}: training "
                f"diverged with hyperparameter learning_rate={min(rates):g}"
                + (f" to {max(rates):g}" if max(rates) > min(rates) else "")
                + "; lower it, or look for extreme values in the data"
            )
        for place in dead:
            log.warning(
                "model %d (learning_rate=%g) diverged in epoch %d and is dropped",
                place,
                rates[place],
                self.epoch,
            )

    def _of_models(self, channel: str, values: np.ndarray, epoch: int | None = None) -> list[Metric]:
        name, token = f"{channel}:objective_loss", self.loss.token
        epoch = self.epoch if epoch is None else epoch
        return [
            Metric(name, float(value), epoch=epoch, token=token, model=model)
            for model, value in enumerate(values)
        ]

    def _labels_of(self, batch: Records, channel: str) -> np.ndarray:
        """The labels (n,) of a batch. Raises UserError for a width or a label that is not as expected."""
        if self.width is None:
            self.width = batch.width
        return labels.of(batch, self.hyperparameters, self.width, channel)

    def _labelled(self, batches: Iterable[Records], channel: str) -> Iterator[evaluation.Labelled]:
        return ((batch, self._labels_of(batch, channel)) for batch in batches)

    def _score_all(self, batches: Iterable[Records], channel: str) -> tuple[Scores, np.ndarray]:
        assert self.stack is not None
        return evaluation.score_all(
            self.stack,
            self._labelled(batches, channel),
            self.hyperparameters,
            label=self._label,
            seed=self.seed,
        )

    def _score_final(self, batches: Iterable[Records], channel: str) -> list[Metric]:
        assert self._final is not None
        assert self.stack is not None
        model, weights = self._final
        scores = evaluation.score_final(
            model,
            self.stack,
            self._labelled(batches, channel),
            self.hyperparameters,
            weights=weights,
            unit=self._label[1],
            seed=self.seed,
        )
        scores.merge(self.cluster)
        metrics = scores.metrics(channel, model.threshold)
        model.metrics |= {metric.name: metric.value for metric in metrics}
        return metrics

    def _model_of(self, place: int, threshold: float) -> Model:
        """One of the models, for raw features and labels."""
        assert self.stack is not None
        assert self.scaler is not None
        error = float(self.error[place]) if self.has_validation else None
        weight, bias = fold(*self.stack.model(place), self.scaler, self.hyperparameters, error)
        point = self.points[place]
        choices = point.describe()
        if self.stack.class_weights is not None and len(self.stack.class_weights) == 2:
            choices["positive_example_weight_mult"] = float(self.stack.class_weights[1, place])
        return Model(
            weight,
            bias,
            predictor_type=self.hyperparameters.predictor_type,
            loss=self.loss.name,
            threshold=threshold,
            hyperparameters=self.hyperparameters.model_dump(mode="json"),
            choices=choices,
            mean=self.scaler.mean,
            stdev=self.scaler.stdev,
        )

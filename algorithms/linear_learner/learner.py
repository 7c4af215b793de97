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
from optml.algorithms.linear_learner import labels
from optml.algorithms.linear_learner.calibration import NATURAL, Choice
from optml.algorithms.linear_learner.early_stopping import EarlyStopping
from optml.algorithms.linear_learner.first_rows import FirstRows, arrays, records
from optml.algorithms.linear_learner.folding import earlier, fold, unfold
from optml.algorithms.linear_learner.grid import points
from optml.algorithms.linear_learner.hyperparameters import Hyperparameters
from optml.algorithms.linear_learner.losses import Loss
from optml.algorithms.linear_learner.model import Model
from optml.algorithms.linear_learner.scaler import Scaler
from optml.algorithms.linear_learner.scores import SCORED, Scores
from optml.algorithms.linear_learner.stack import Stack
from optml.algorithms.metrics import Metric
from optml.errors import UserError
from optml.formats.records import Records

log = logging.getLogger(__name__)

CRITERIA = "early_stopping:criteria"
LEAST_UPDATES = 300  # before the first evaluation, where all rows are at hand
SCORES_BYTES = 32 << 20  # of all models' scores of the rows that are evaluated at a time
SAMPLE_ROWS, SAMPLE_BYTES = (
    100_000,
    64 << 20,
)  # of train, to choose a model where there is no validation channel


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
        self.validated = "validation" in setting.channels
        self.loss = Loss.of(self.hyperparameters)
        self.points = points(self.hyperparameters, tuned=bool(setting.tuned), seed=self.seed)
        width = self.hyperparameters.feature_dim
        self.width = None if width == "auto" else width
        self.warm = None if setting.warm_start is None else earlier(setting.warm_start, self.hyperparameters)
        self.waiting = FirstRows()
        self.scaler: Scaler | None = None
        self.stack: Stack | None = None
        self.sample: list[Records] = []
        self._room = [min(self.hyperparameters.calibration_rows, SAMPLE_ROWS), SAMPLE_BYTES]  # left in it
        self.epoch = 0
        self.rows = 0  # of this epoch and host
        self.objective = np.full(len(self.points), np.nan)  # of the last whole epoch
        self.choice: Choice | None = None  # by the newest evaluation
        self.lowest = float("nan")  # objective of the models, in that evaluation
        self.error = np.zeros(len(self.points))  # mean of prediction - label, in that evaluation
        self._label = (0.0, 1.0)  # what is subtracted from labels, and what they are divided by then
        self._final: tuple[Model, np.ndarray | None] | None = None  # and its class weights

    def update(self, batch: Records | None) -> Iterable[Metric]:
        y = None if batch is None else self._checked(batch, "train")
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
        if not self.validated:
            token = f"{self.loss.token}_objective"
            self.lowest = float(np.nanmin(self.objective))
            metrics.append(Metric(CRITERIA, self.lowest, token=token))
        self.rows = 0
        self.epoch += 1
        return metrics

    def evaluate(self, channel: str, batches: Iterable[Records]) -> Iterable[Metric]:
        if self._final is not None:
            return self._score_final(channel, batches)
        scores, errors = self._scored(batches, channel)
        scores.merge(self.cluster)
        self.cluster.all_sum(errors)
        self.choice = scores.choose()
        self.error = errors / scores.rows
        objective = scores.objective()
        self.lowest = float(np.nan if np.isnan(objective).all() else np.nanmin(objective))
        metrics = self._of_models(channel, objective, self.epoch - 1)
        return [*metrics, Metric(CRITERIA, self.choice.value, epoch=self.epoch - 1, token=self.choice.name)]

    def stopping(self) -> tuple[EarlyStopping, str]:
        parameters = self.hyperparameters
        patience, tolerance = parameters.early_stopping_patience, parameters.early_stopping_tolerance
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
        if self.choice is not None:
            choice = self.choice
            state["choice_values"], state["choice_thresholds"] = choice.values, choice.thresholds
            state["choice_best"] = np.array(choice.best)
            state["choice_warning"] = np.frombuffer(choice.warning.encode(), np.uint8)
        state["sample_room"] = np.array(self._room)
        return state | self.scaler.state_dict() | self.stack.state_dict() | arrays(self.sample, "sample")

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.epoch, self.seed, self.rows = (int(state[name]) for name in ("epoch", "seed", "rows"))
        self.width = int(state["width"]) or None
        self.objective, self.error = np.array(state["objective"]), np.array(state["error"])
        if "waiting_sizes" in state:
            self.waiting.load_state_dict(state)
            return
        self._prepare(Scaler.of_state_dict(state)).load_state_dict(state)
        if "choice_best" in state:
            warning = np.asarray(state["choice_warning"]).tobytes().decode()
            values, thresholds = np.array(state["choice_values"]), np.array(state["choice_thresholds"])
            best = int(state["choice_best"])
            self.choice = Choice(values, thresholds, best, "", maximize=False, warning=warning)
        self._room = state["sample_room"].tolist()
        sample = records(state, "sample")
        self.sample = [] if sample is None else [sample]

    def model(self) -> Model | None:
        if self.stack is None:
            return None
        choice = self.choice
        if choice is None and not self.validated:
            choice = self._scored(self.sample)[0].choose()  # of this host's rows alone
        if choice is not None:
            return self._model_of(choice.best, float(choice.thresholds[choice.best]))
        best = int(np.nanargmin(np.append(self.objective, np.inf))) % len(self.points)
        return self._model_of(best, NATURAL)

    def finish(self) -> tuple[Model, Iterable[Metric]]:
        assert self.stack is not None
        if not self.validated:
            scores, _ = self._scored(self.sample)
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
        log.info("Best model found for hyperparameters: %s", json.dumps(self.points[best].described()))
        if self.validated:
            return model, ()
        return model, [replace(metric, score=True) for metric in self._score_final("train", self.sample)]

    def _start(self, *, whole: bool = False) -> None:
        """Fit the scaler to the first rows, and train on all that have come; again and again where they are
        the `whole` channel: a pass over so few rows is a handful of updates."""
        parameters = self.hyperparameters
        first = self.waiting.first(parameters.num_point_for_scaler, self.cluster.rank)
        widths = np.concatenate(self.cluster.gather(np.array([self.width or 0])))
        if not self.waiting.rows:
            raise UserError("channel 'train' is empty: there are no records in its data")
        if len(set(widths[widths > 0].tolist())) > 1:
            raise UserError(f"the hosts' records have different numbers of features: {widths.tolist()}")
        self.width = int(widths.max())
        seen = np.concatenate(
            [np.empty(0), *(part.labels[:, 0] for part in first if part.labels is not None)]
        )
        seen = np.concatenate(self.cluster.gather(seen))
        labels.require_num_classes(seen, parameters)
        classes = {"binary_classifier": 2, "regressor": 0}.get(parameters.predictor_type, parameters.outputs)
        scaler = Scaler.fit(first, self.width, classes, self.cluster)
        if classes and (scaler.counts > 0).sum() == 1:
            log.warning(
                "the first %d rows of channel 'train' all have the label %d: a classifier has nothing to "
                "tell apart; are the rows sorted by label? Shuffle them",
                len(seen),
                int(scaler.counts.argmax()),
            )
        stack = self._prepare(scaler)
        if self.warm is not None:
            stack.start_from(*unfold(self.warm, scaler, parameters))
        held = list(self.waiting.steps()) if whole else []
        for batch in held or self.waiting.steps():
            self._learn(batch, None if batch is None else self._checked(batch, "train"))
        if held:
            self._repeat(held, stack)

    def _repeat(self, held: Sequence[Records | None], stack: Stack) -> None:
        """More updates by the rows of the first epoch, LEAST_UPDATES with its own. They count neither as rows
        nor in its loss."""
        losses = stack.take_losses()
        while stack.updates < LEAST_UPDATES:
            for batch in held:
                self._step(batch, None if batch is None else labels.checked(batch, self.hyperparameters))
        stack.put_losses(losses)

    def _prepare(self, scaler: Scaler) -> Stack:
        """A stack of models at their start, for data that the scaler knows."""
        parameters = self.hyperparameters
        self.width = len(scaler.mean)
        self.scaler = scaler
        self._label = scaler.label_shift(parameters), scaler.label_scale(parameters)
        self.stack = Stack(parameters, self.points, scaler, device=self.device, seed=self.seed)
        return self.stack

    def _keep(self, batch: Records) -> None:
        """Take rows into the sample, as many as it has room for."""
        rows, room = self._room
        sparse = not isinstance(batch.features, np.ndarray)
        size = 8 * batch.features.nnz if sparse else batch.features.nbytes
        fits = min(rows, len(batch) if size <= room else len(batch) * room // size)
        if fits > 0:
            self.sample.append(batch[:fits])
        self._room = [rows - max(fits, 0), room - size]

    def _learn(self, batch: Records | None, y: np.ndarray | None) -> None:
        """A step by the next rows of the epoch."""
        if batch is not None:
            self.rows += len(batch)
            if not self.validated and self.epoch == 0:
                self._keep(batch)
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
        died = stack.bury(np.isfinite(self.objective))
        if not stack.alive.any():
            raise UserError(
                f"the training loss of every model is no number any more after epoch {self.epoch}: training "
                f"diverged with hyperparameter learning_rate={min(rates):g}"
                + (f" to {max(rates):g}" if max(rates) > min(rates) else "")
                + "; lower it, or look for extreme values in the data"
            )
        for place in died:
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

    def _checked(self, batch: Records, channel: str) -> np.ndarray:
        """The labels (n,) of a batch. Raises UserError for a width or a label that is not as expected."""
        if self.width is None:
            self.width = batch.width
        if batch.width != self.width:
            hint = ""
            if abs(batch.width - self.width) == 1:
                hint = ": is the label's column counted among the features, or missing (label_size)?"
            named = "the first records of channel 'train' have"
            if self.hyperparameters.feature_dim != "auto":
                named = "hyperparameter feature_dim is"
            raise UserError(
                f"{batch.where(0)} of channel '{channel}' has {batch.width} features, but {named} "
                f"{self.width}{hint}"
            )
        return labels.checked(batch, self.hyperparameters)

    def _scored(self, batches: Iterable[Records], channel: str = "train") -> tuple[Scores, np.ndarray]:
        """Scores of all models on this host's batches, and the sums (M,) of a regressor's errors."""
        assert self.stack is not None
        shift, scale = self._label
        stack = self.stack
        found = Scores(
            self.hyperparameters,
            stack.models,
            stack.classes,
            weights=stack.class_weights,
            unit=scale,
            seed=self.seed,
        )
        errors = np.zeros(stack.models)
        for batch, y in self._labelled(batches, channel):
            z = stack.scores(batch.features)
            if self.hyperparameters.predictor_type == "regressor":
                z = z * np.float32(scale) + np.float32(shift)
                errors += (z[:, :, 0] - y[:, None]).sum(axis=0)
            found.add(z, y)
        return found, errors

    def _score_final(self, channel: str, batches: Iterable[Records]) -> list[Metric]:
        assert self._final is not None
        model, weights = self._final
        classes = self.hyperparameters.outputs
        found = Scores(
            self.hyperparameters,
            1,
            classes,
            weights=weights,
            unit=self._label[1],
            kept=max(self.hyperparameters.calibration_rows, SCORED),
            seed=self.seed,
        )
        for batch, y in self._labelled(batches, channel):
            found.add(model.raw(batch.features).reshape(-1, 1, classes), y)
        found.merge(self.cluster)
        metrics = found.metrics(channel, model.threshold)
        model.metrics |= {metric.name: metric.value for metric in metrics}
        return metrics

    def _labelled(self, batches: Iterable[Records], channel: str) -> Iterator[tuple[Records, np.ndarray]]:
        """Rows and their labels, so few at a time that their scores take SCORES_BYTES at most."""
        assert self.stack is not None
        size = max(1, SCORES_BYTES // (4 * self.stack.models * self.stack.classes))
        for batch in batches:
            y = self._checked(batch, channel)
            for start in range(0, len(batch), size):
                yield batch[start : start + size], y[start : start + size]

    def _model_of(self, place: int, threshold: float) -> Model:
        """One of the models, for raw features and labels."""
        assert self.stack is not None
        assert self.scaler is not None
        error = float(self.error[place]) if self.validated else None
        weight, bias = fold(*self.stack.model(place), self.scaler, self.hyperparameters, error)
        largest = max(np.abs(weight).max(), np.abs(bias).max())
        if largest > labels.LARGEST:
            raise UserError(
                f"weights of up to {largest:.2g} for features as they are given are beyond float32: multiply "
                "features of very small values, or divide the labels, by a power of ten"
            )
        point = self.points[place]
        chosen = point.described()
        if self.stack.class_weights is not None and len(self.stack.class_weights) == 2:
            chosen["positive_example_weight_mult"] = float(self.stack.class_weights[1, place])
        return Model(
            weight,
            bias,
            predictor_type=self.hyperparameters.predictor_type,
            loss=self.loss.name,
            threshold=threshold,
            hyperparameters=self.hyperparameters.model_dump(mode="json"),
            chosen=chosen,
            mean=self.scaler.mean,
            stdev=self.scaler.stdev,
        )

"""The one training loop: epochs, updates, rounds, early stopping, checkpoints, and the end.

It knows no algorithm and never looks inside a batch. On several hosts every step begins with one small
collective, in which they agree whether anybody has a batch left, was told to stop, or wants a checkpoint; so
all of them leave the loop at the same step.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from optml.algorithms.base import Learner, Model, Stopping
from optml.algorithms.cluster import Cluster, agreed_columns
from optml.algorithms.metrics import Metric
from optml.algorithms.sources import Data, batches
from optml.container.checkpoint import Checkpoint, Checkpoints, Position
from optml.container.reporting import Report
from optml.container.stop import Stop
from optml.formats.column_order import ColumnOrder

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job does: its data, and how long it goes on."""

    train: Data
    validation: Mapping[str, Data]  # evaluated each round
    test: Mapping[str, Data]  # evaluated once, after the end
    epochs: int | None  # None: no number of them ends it
    updates: int | None = None  # after so many the job is over; None: after the epochs
    final: Mapping[str, Data] = field(default_factory=dict)  # validation, of the final model once more
    tests: Sequence[str] = ()  # channels of that kind that the algorithm knows, given or not
    checkpoint_every: float = 60.0  # seconds
    objective: str | None = None  # the metric of a tuning job


class Loop:
    """One run of a job, from its first batch or from a checkpoint.

    `publish` is called once, on the first host, with the model; not at all where a job was stopped before it
    had one.
    """

    def __init__(
        self,
        learner: Learner,
        plan: Plan,
        *,
        cluster: Cluster,
        report: Report,
        checkpoints: Checkpoints,
        stop: Stop,
        publish: Callable[[Model], None],
        columns: ColumnOrder | None = None,
    ) -> None:
        self._learner = learner
        self._plan = plan
        self._cluster = cluster
        self._report = report
        self._checkpoints = checkpoints
        self._stop = stop
        self._publish = publish
        self._columns = ColumnOrder() if columns is None else columns
        self._agreed = False  # hosts have compared the names of their columns
        rule = learner.stopping()
        self._rule: Stopping | None = rule[0] if rule else None
        self._watched = rule[1] if rule else ""
        self._position = Position()
        self._stopping = False  # all hosts have agreed to
        self._checkpointed = time.monotonic()

    def run(self) -> None:
        """Train to the end, or until told to stop."""
        self._resume()
        epochs = self._plan.epochs
        while (epochs is None or self._position.epoch < epochs) and not self._position.over:
            self._epoch()
            if self._stopping:
                self._leave()
                return
        self._finish()

    def _epoch(self) -> None:
        """One pass over the training data, or what is left of it after a resume."""
        self._report.begin_epoch(self._position.epoch)
        if self._position.evaluating:  # stopped there, and resumed
            self._round()
        for batch in self._steps():
            if batch is not None or self._learner.lockstep:
                self._report.metrics(self._learner.update(batch))
            if batch is not None:
                self._report.batch(len(batch))
            position = self._position
            updates = position.updates + 1
            over = position.over or updates == self._plan.updates
            self._position = replace(position, step=position.step + 1, updates=updates, over=over)
            if self._learner.round and self._position.updates % self._learner.round == 0:
                self._round()
        position = self._position
        last = position.epoch + 1 == self._plan.epochs or position.over
        due = (self._learner.round is None or last) and position.rounded != position.updates
        if due and not self._stopping:
            self._round()
        if self._stopping:
            return
        self._report.end_epoch()
        self._position = replace(self._position, epoch=position.epoch + 1, step=0)
        self._checkpoint()

    def _steps(self) -> Iterator[Any]:
        """The batches of this epoch that were not absorbed yet; None where only other hosts have one."""
        ahead = batches(self._plan.train, self._position.epoch, self._position.step)
        while not self._position.over:
            batch = None if self._stop.requested else next(ahead, None)
            due = time.monotonic() - self._checkpointed >= self._plan.checkpoint_every
            # Told to stop, a channel ends early: so the flag is looked at after the batch was.
            stop = self._stopping or self._stop.requested
            more, self._stopping, due = self._agree(batch is not None, stop, due)
            if self._stopping:
                return
            if not self._agreed:
                self._agree_on_columns()
            if due:
                self._checkpoint()
            if not more:
                return
            yield batch if batch is not None and len(batch) else None  # nothing in it could be read
            del batch

    def _round(self) -> None:
        """End a round and evaluate. Told to stop meanwhile, a channel ends early: its values don't count, and
        it is evaluated again after a resume."""
        if not self._position.evaluating:
            self._note(self._learner.end_round())
            self._position = replace(self._position, evaluating=True, rounded=self._position.updates)
        metrics: list[Metric] = []
        for name, data in self._plan.validation.items():
            metrics += self._scores(name, data, self._position.evaluations)
        if not self._stopping:
            evaluations = self._position.evaluations + 1
            self._position = replace(self._position, evaluating=False, evaluations=evaluations)
            self._note(metrics)

    def _scores(self, name: str, data: Data, number: int) -> list[Metric]:
        """Score a channel; nothing where no host has a batch of it, since no rows have no mean. Told to stop
        meanwhile, all hosts agree to."""
        began = time.time()
        seen = records = 0

        def counted() -> Iterator[Any]:
            nonlocal seen, records
            for batch in data.epoch(number):
                if self._stop.requested:  # whoever stops a job gives it seconds
                    return
                if not len(batch):
                    continue
                seen += 1
                records += len(batch)
                yield batch

        metrics = list(self._learner.evaluate(name, counted()))
        if name in self._plan.test:
            self._report.tested(began, records, seen)
        stop = self._stopping or self._stop.requested
        self._stopping, some = self._agree(stop, seen > 0)
        if some or self._stopping:
            return metrics
        log.warning("Channel '%s' is empty on every host: nothing is scored on it", name)
        return []

    def _note(self, metrics: Iterable[Metric]) -> None:
        """Print a round's values, and ask the rule of early stopping about the one that it watches."""
        metrics = list(metrics)
        self._report.metrics(metrics)
        for metric in metrics:
            if self._rule is None or metric.name != self._watched:
                continue
            verdict = self._rule.update(metric.value)
            if verdict in ("best", "last"):
                self._checkpoints.save_best(self._learner.state_dict())
            if verdict in ("stop", "last"):
                log.info("Early stopping: %s has not improved any more", self._watched)
                self._position = replace(self._position, over=True)

    def _finish(self) -> None:
        """The best state, the model, the test channels. No model is published that nobody can use."""
        self._restore_best()
        began = time.time()
        model, metrics = self._learner.finish()
        self._report.finalized(began)
        self._report.metrics(metrics)
        passes = [(name, data, self._position.evaluations) for name, data in self._plan.final.items()]
        passes += [(name, data, 0) for name, data in self._plan.test.items()]
        for name, data, number in passes:
            scores = self._scores(name, data, number)
            if self._stopping:
                break
            self._report.metrics(replace(metric, score=True) for metric in scores)
        if self._plan.tests and not self._plan.test:
            log.info("Test data is not provided.")
        self._report.require_objective(self._plan.objective)
        if self._cluster.rank == 0:
            self._publish(model)
        self._report.finished()

    def _leave(self) -> None:
        """Told to stop: the model as of now, and a checkpoint to go on from. Whoever stops a job gives it
        seconds, so the model comes first; but the best state takes the place of the one to go on from."""
        name = self._stop.signal.name if self._stop.signal else "SIGTERM"
        log.info("Stopping on %s after epoch %d", name, self._position.epoch)
        has_best = self._rule is not None
        if has_best:
            self._checkpoint()
            self._restore_best()
        if self._cluster.rank == 0:
            model = self._learner.model()
            if model is None:
                log.info("There is no model yet: the model folder stays empty")
            else:
                self._publish(model)
        if not has_best:
            self._checkpoint()
        self._report.finished()

    def _agree(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag: is it set on any host?"""
        if self._cluster.size == 1:
            return flags
        counts = np.array(flags, np.int64)
        self._cluster.all_sum(counts)
        return tuple((counts > 0).tolist())

    def _agree_on_columns(self) -> None:
        """Before anything is learnt, each host has read some of channel train. Raises UserError naming the
        column where theirs stand in another order; one without data takes the order of the others."""
        self._agreed = True
        if self._cluster.size > 1:
            self._columns.names = agreed_columns(self._columns.names, self._cluster)

    def _checkpoint(self) -> None:
        self._checkpointed = time.monotonic()
        if self._checkpoints.folder is None:
            return
        stopping = {} if self._rule is None else self._rule.state_dict()
        state = self._learner.state_dict()
        columns = self._columns.names
        self._checkpoints.save(Checkpoint(self._position, state, stopping, self._report.counters, columns))

    def _resume(self) -> None:
        checkpoint = self._checkpoints.resume(self._cluster)
        if checkpoint is None:
            return
        if checkpoint.columns is not None:  # what is left of the job may not read channel train
            self._columns.names, self._columns.source = checkpoint.columns, "the job before it was stopped"
        self._learner.load_state_dict(checkpoint.state)
        if self._rule is not None:
            self._rule.load_state_dict(checkpoint.stopping)
        self._report.resume(checkpoint.counters)
        self._position = checkpoint.position

    def _restore_best(self) -> None:
        best = None if self._rule is None else self._checkpoints.best()
        if best is not None:
            self._learner.load_state_dict(best)

"""Image classification by mini-batch gradients."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from optml import memory
from optml.algorithms.base import Setting
from optml.algorithms.image_classification.data import Batch
from optml.algorithms.image_classification.hyperparameters import Hyperparameters
from optml.algorithms.image_classification.losses import (
    Criterion,
    OneLabel,
    SeveralLabels,
    positive_weights,
    top,
)
from optml.algorithms.image_classification.model import Model
from optml.algorithms.image_classification.progress import Progress, parameters
from optml.algorithms.image_classification.start import begin
from optml.algorithms.metrics import Metric
from optml.algorithms.network import Network, threads
from optml.algorithms.vision.best_epoch import BestEpoch, Early
from optml.algorithms.vision.optimizers import Rule, optimizer, set_rate
from optml.algorithms.vision.precision import Precision
from optml.algorithms.vision.schedule import stepped
from optml.algorithms.vision.tensors import Tensors

log = logging.getLogger(__name__)


class Learner:
    """State: the network, its optimizer, and what the epoch's images add up to.

    An update is of the mean loss over the batches of all hosts. Running statistics are averaged over the
    hosts at the end of an epoch.
    """

    round: int | None = None
    lockstep = True

    def __init__(self, setting: Setting) -> None:
        hyperparameters: Hyperparameters = setting.hyperparameters
        memory.keep()
        self.hyperparameters = hyperparameters
        self.cluster = setting.cluster
        self.device = setting.device
        self.store = setting.store
        started = begin(setting)
        self.facts = replace(started.facts, names=setting.train.names)
        self.module = started.network.to(setting.device)
        made = optimizer(_rule(hyperparameters), self.module, hyperparameters.learning_rate)
        self.network = Network(self.module, made, setting)
        # Of a convolution of the first stage; those of the others have as many multiply-adds.
        self._work = hyperparameters.mini_batch_size * self.module.work(self.facts.height, self.facts.width)
        network = self.facts.architecture
        self.tensors = Tensors(network.scaling, network.channels, setting.device)
        self.precision = Precision.asked(hyperparameters.precision_dtype, setting.device)
        self.criterion = self._criterion(setting.train)
        self.progress = Progress(hyperparameters, setting.cluster, setting.device)
        self.rule = BestEpoch(_early(hyperparameters), self._announce_best)
        self.stored: list[int] = []  # epochs whose checkpoints lie in the store, from 1
        self._announce(setting.train)

    def update(self, batch: Batch | None) -> Iterable[Metric]:
        if self.progress.batch == 0:
            self._begin_epoch()
        with threads(self._work):
            self._learn(batch)
        return ()

    def _learn(self, batch: Batch | None) -> None:
        loss, images = None, 0
        if batch is not None and len(batch):
            images = len(batch)
            labels = self.tensors.of(batch.labels)
            with self.precision.inside():
                scores = self.module(self.tensors.images(batch.pixels))
            scores = scores.float()
            loss = self.criterion.loss(scores, labels) * self.precision.scale
            with torch.no_grad():
                among = (
                    top(scores, labels, self.hyperparameters.top_k) if self.hyperparameters.top_k else None
                )
                hits = self.criterion.hits(scores, labels)
        (total,) = self.network.gradient(loss, images)
        self.precision.step(self.network, total)
        if images:
            self.progress.add(images, hits, among)
        else:
            self.progress.passed()

    def end_round(self) -> Iterable[Metric]:
        self.network.average_buffers()
        epoch = self.progress.epoch
        shares = self.progress.end()
        if not shares:
            return ()
        accuracy = shares.pop("accuracy")
        metrics = [Metric("train:accuracy", accuracy, epoch=epoch)]
        metrics += [
            Metric("train:top_k_accuracy", share, epoch=epoch, token=name.rpartition("_")[2])
            for name, share in shares.items()
        ]
        return metrics

    def evaluate(self, channel: str, batches: Iterable[Batch]) -> Iterable[Metric]:
        """The accuracy over the images of all hosts."""
        epoch = self.progress.epoch - 1
        self._say("Epoch[%d] Time cost=%.3f", epoch, self.progress.seconds)
        self._store(epoch + 1)
        totals = np.zeros(2)  # images, hits
        self.module.eval()
        with torch.inference_mode(), self.precision.inside(), threads(self._work):
            for batch in batches:
                if len(batch):
                    scores = self.module(self.tensors.images(batch.pixels)).float()
                    hits = self.criterion.hits(scores, self.tensors.of(batch.labels))
                    totals += len(batch), float(hits)
        self.module.train()
        self.cluster.all_sum(totals)
        if not totals[0]:
            return []
        return [Metric(f"{channel}:accuracy", float(totals[1] / totals[0]), epoch=epoch)]

    def stopping(self) -> tuple[BestEpoch, str]:
        return self.rule, "validation:accuracy"

    def state_dict(self) -> dict[str, np.ndarray]:
        state = self.network.state_dict() | self.precision.state_dict() | self.progress.state_dict()
        return state | {"stored": np.array(self.stored, np.int64)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.network.load_state_dict(state)
        self.precision.load_state_dict(state)
        self.progress.load_state_dict(state)
        self.stored = sorted({*self.stored, *state["stored"].tolist()})
        self._set_rate(self.progress.epoch)

    def model(self) -> Model | None:
        return self._model() if self.network.updates else None

    def finish(self) -> tuple[Model, Iterable[Metric]]:
        if self.rule.best_epoch:
            self._say(
                "The model is that of epoch %d, validation accuracy %f",
                self.rule.best_epoch - 1,
                self.rule.best,
            )
        return self._model(), ()

    def _model(self) -> Model:
        settings = self.hyperparameters.model_dump(mode="json")
        return Model(self.facts, self.network.arrays(), settings, checkpoints=self._checkpoints())

    def _begin_epoch(self) -> None:
        epoch = self.progress.epoch
        self.progress.begin()
        if self._set_rate(epoch) and epoch:
            rate_now = self.network.optimizer.param_groups[0]["lr"]
            self._say("Update[%d]: Change learning rate to %0.5e", self.network.updates, rate_now)

    def _set_rate(self, epoch: int) -> bool:
        """Of an epoch's updates; was it another before?"""
        own = self.hyperparameters
        steps = own.lr_scheduler_step or ()
        now = stepped(own.learning_rate, own.lr_scheduler_factor, steps, epoch)
        return set_rate(self.network.optimizer, now)

    def _announce_best(self, accuracy: float) -> None:
        if self.hyperparameters.checkpoint_frequency is None:
            self._say("Storing the best model with validation accuracy: %f", accuracy)
            self._say('Saved checkpoint to "model.safetensors"')

    def _criterion(self, train: Any) -> Criterion:
        hyperparameters = self.hyperparameters
        if not hyperparameters.multi_label:
            if hyperparameters.use_weighted_loss:
                log.warning(
                    "use_weighted_loss is for several labels an image: it does nothing with multi_label=0"
                )
            return OneLabel()
        if not hyperparameters.use_weighted_loss:
            return SeveralLabels()
        counts = np.append(train.labels.sum(axis=0, dtype=np.float64), len(train))
        if train.sharded:
            self.cluster.all_sum(counts)
        weights = positive_weights(counts[:-1], int(counts[-1]))
        self._say(
            "Weights of the labels in the loss: %s", np.array2string(weights, precision=4, separator=", ")
        )
        return SeveralLabels(torch.from_numpy(weights).to(self.device))

    def _announce(self, train: Any) -> None:
        hyperparameters = self.hyperparameters
        if len(train) != hyperparameters.num_training_samples and not train.sharded:
            log.warning(
                "num_training_samples is %d, but channel 'train' has %d images: they are counted, and "
                "rates fall by "
                "epochs", hyperparameters.num_training_samples, len(train),
            )  # fmt: skip
        if self.cluster.rank:
            return
        parameters(hyperparameters, self.cluster.size)
        if hyperparameters.kv_store == "dist_async" and self.cluster.size > 1:
            log.info("kv_store is dist_async: gradients are exchanged synchronously all the same")
        if hyperparameters.checkpoint_frequency is None:
            log.info("checkpoint_frequency not set, will store the best model")
        log.info("Setting number of threads: %d", train.threads)

    def _store(self, epoch: int) -> None:
        """Write a checkpoint of checkpoint_frequency; `epoch` counts from 1."""
        every = self.hyperparameters.checkpoint_frequency
        if every is None or epoch % every or self.cluster.rank or self.store is None or epoch in self.stored:
            return
        from safetensors.numpy import save_file

        path = self._checkpoint(self.store, epoch)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        save_file(self.network.arrays(), temporary)
        temporary.replace(path)
        self.stored.append(epoch)
        log.info('Saved checkpoint to "checkpoints/%s"', path.name)

    def _checkpoints(self) -> dict[str, Path]:
        """Of the epochs behind us, by their names in the model folder."""
        if self.store is None:
            return {}
        paths = [self._checkpoint(self.store, epoch) for epoch in self.stored]
        return {path.name: path for path in paths if path.is_file()}

    @staticmethod
    def _checkpoint(folder: Path, epoch: int) -> Path:
        return folder / f"epoch-{epoch:04d}.safetensors"

    def _say(self, text: str, *values: object) -> None:
        if self.cluster.rank == 0:
            log.info(text, *values)


def _rule(hyperparameters: Hyperparameters) -> Rule:
    return Rule(
        hyperparameters.optimizer,
        momentum=hyperparameters.momentum if hyperparameters.sgd else 0.0,
        weight_decay=hyperparameters.weight_decay if hyperparameters.sgd else 0.0,
        betas=(hyperparameters.beta_1, hyperparameters.beta_2),
        eps=hyperparameters.eps,
        decay=hyperparameters.gamma,
    )


def _early(hyperparameters: Hyperparameters) -> Early | None:
    if not hyperparameters.early_stopping:
        return None
    return Early(
        hyperparameters.early_stopping_min_epochs,
        hyperparameters.early_stopping_patience,
        hyperparameters.early_stopping_tolerance,
    )

"""Semantic segmentation by mini-batch gradients."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch

from optml import memory
from optml.algorithms.base import Setting
from optml.algorithms.kernels import masks
from optml.algorithms.metrics import Metric
from optml.algorithms.network import Network, threads
from optml.algorithms.semantic_segmentation.data import Batch, Images
from optml.algorithms.semantic_segmentation.hyperparameters import Hyperparameters
from optml.algorithms.semantic_segmentation.model import LAST, Model
from optml.algorithms.semantic_segmentation.networks import HEADS
from optml.algorithms.semantic_segmentation.progress import Progress, Speed
from optml.algorithms.semantic_segmentation.quality import quality
from optml.algorithms.semantic_segmentation.start import begin
from optml.algorithms.vision.best_epoch import BestEpoch, Early
from optml.algorithms.vision.optimizers import Rule, optimizer, set_rate
from optml.algorithms.vision.precision import Precision
from optml.algorithms.vision.schedule import cosine, poly, stepped
from optml.algorithms.vision.synchronised import synchronise
from optml.algorithms.vision.tensors import Tensors

log = logging.getLogger(__name__)

HEAD_RATE = 10.0  # what heads learn at, in terms of the encoder's rate


class Learner:
    """State: the network, its optimizer, and what the epoch's images add up to.

    An update is of the mean loss over the labelled pixels of all hosts: cross entropy of the head, and
    _aux_weight times that of the second head.
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
        self.facts = started.facts
        self.module = started.network.to(setting.device)
        if hyperparameters.syncbn:
            synchronise(self.module, setting.cluster)
        made = optimizer(_rule(hyperparameters), self.module, hyperparameters.learning_rate, _factor)
        self.network = Network(self.module, made, setting)
        side = hyperparameters.crop
        self._work = hyperparameters.mini_batch_size * self.module.work(side, side)
        self.tensors = Tensors(self.facts.architecture.scaling, 3, setting.device)
        self.precision = Precision.asked(hyperparameters.precision_dtype, setting.device)
        self.progress = Progress(hyperparameters.logging_frequency, setting.cluster, setting.device)
        self.rule = BestEpoch(_early(hyperparameters), self._announce_best)
        self._announce(setting.train)

    def update(self, batch: Batch | None) -> Iterable[Metric]:
        if self.progress.batch == 0:
            self.progress.begin()
        set_rate(self.network.optimizer, self._rate())
        if self.hyperparameters.syncbn and (batch is None or not len(batch)):
            batch = Batch.blank(self.hyperparameters.crop)  # the others' batch norms wait for this host's
        with threads(self._work):
            self._learn(batch)
        return ()

    def _learn(self, batch: Batch | None) -> None:
        loss, weight, images = None, 0.0, 0
        if batch is not None and len(batch):
            images, weight = len(batch), len(batch) * batch.labelled
            loss = self._loss(batch)
        scaled = None if loss is None else loss * (weight * self.precision.scale)
        (total,) = self.network.gradient(scaled, weight)
        self.precision.step(self.network, total)
        self.progress.add(images, loss, weight, self._rate())

    def _loss(self, batch: Batch) -> torch.Tensor:
        """The mean over the labelled pixels."""
        labels = self.tensors.of(batch.masks)
        self.module.use(self.network.random())
        with self.precision.inside():
            first, second = self.module(self.tensors.images(batch.pixels))
        loss, _ = masks.loss(first.float(), labels)
        if second is not None:
            other, _ = masks.loss(second.float(), labels)
            loss = loss + self.hyperparameters.aux_weight * other
        return loss

    def end_round(self) -> Iterable[Metric]:
        if not self.hyperparameters.syncbn:
            self.network.average_buffers()
        epoch = self.progress.epoch
        ended = self.progress.end()
        self._store()
        if ended is None:
            return ()
        loss, speed = ended
        return [Metric("train:loss", loss, epoch=epoch), Metric("train:throughput", speed, epoch=epoch)]

    def evaluate(self, channel: str, batches: Iterable[Batch]) -> Iterable[Metric]:
        """Pixel accuracy and mIOU over the images of all hosts."""
        epoch = self.progress.epoch - 1
        k = self.facts.classes
        counts = torch.zeros((k, k), dtype=torch.int64, device=self.device)
        speed = Speed(epoch, self.hyperparameters.logging_frequency, self.cluster)
        self.module.eval()
        with torch.inference_mode(), threads(self._work):
            for number, batch in enumerate(batches, start=1):
                with self.precision.inside():
                    logits, _ = self.module(self.tensors.images(batch.pixels))
                labels = self.tensors.of(batch.masks)
                counts += masks.confusion(masks.classes(logits.float(), *labels.shape[1:]), labels, k)
                speed.add(len(batch), number)
        self.module.train()
        totals = counts.cpu().numpy()
        self.cluster.all_sum(totals)
        throughput = speed.end()
        if not totals.any():
            return []
        values = {f"{channel}:{name}": value for name, value in quality(totals).items()}
        values[f"{channel}:throughput"] = throughput
        return [Metric(name, value, epoch=epoch) for name, value in values.items()]

    def stopping(self) -> tuple[BestEpoch, str]:
        return self.rule, "validation:mIOU"

    def state_dict(self) -> dict[str, np.ndarray]:
        return self.network.state_dict() | self.precision.state_dict() | self.progress.state_dict()

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.network.load_state_dict(state)
        self.precision.load_state_dict(state)
        self.progress.load_state_dict(state)

    def model(self) -> Model | None:
        return self._model() if self.network.updates else None

    def finish(self) -> tuple[Model, Iterable[Metric]]:
        if self.rule.best_epoch:
            self._say(
                "The model is that of epoch %d, validation mIOU %r", self.rule.best_epoch - 1, self.rule.best
            )
        self._say("Test data is not provided.")
        return self._model(), ()

    def _model(self) -> Model:
        settings = self.hyperparameters.model_dump(mode="json", by_alias=True)
        path = self._last
        return Model(
            self.facts,
            self.network.arrays(),
            settings,
            last=path if path is not None and path.is_file() else None,
        )

    def _rate(self) -> float:
        """Of the coming update, for the encoder."""
        own, done = self.hyperparameters, self.network.updates
        total = own.epochs * own.iterations
        if own.lr_scheduler == "step":
            return stepped(
                own.learning_rate, own.lr_scheduler_factor, own.lr_scheduler_step or (), self.progress.epoch
            )
        return (poly if own.lr_scheduler == "poly" else cosine)(own.learning_rate, done, total)

    def _announce(self, train: Images) -> None:
        own = self.hyperparameters
        self._say("LRScheduler setup: iters per epoch: %d, num_epochs %d", own.iterations, own.epochs)
        if len(train) != own.num_training_samples:
            log.warning(
                "num_training_samples is %d, but channel 'train' has %d images: the rate falls by the "
                "former, %d updates an epoch",
                own.num_training_samples, len(train), own.iterations,
            )  # fmt: skip

    def _announce_best(self, score: float) -> None:
        self._say("Serializing model to model.safetensors: the best so far, validation mIOU %r", score)

    @property
    def _last(self) -> Path | None:
        return None if self.store is None else self.store / LAST

    def _store(self) -> None:
        """Keep the weights of the epoch that has ended on the disk: the last of them are in the artifact
        too."""
        path = self._last
        if path is None or self.cluster.rank:
            return
        from safetensors.numpy import save_file

        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        save_file(self.network.arrays(), temporary)
        temporary.replace(path)

    def _say(self, text: str, *values: object) -> None:
        if self.cluster.rank == 0:
            log.info(text, *values)


def _factor(name: str) -> float:
    return HEAD_RATE if name.startswith(HEADS) else 1.0


def _rule(hyperparameters: Hyperparameters) -> Rule:
    name = hyperparameters.optimizer
    momentum = {
        "sgd": hyperparameters.momentum,
        "nag": hyperparameters.momentum,
        "rmsprop": hyperparameters.gamma2,
    }
    return Rule(
        name,
        momentum=momentum.get(name, 0.0),
        weight_decay=hyperparameters.weight_decay if name == "sgd" else 0.0,
        decay=hyperparameters.gamma1 if name == "rmsprop" else 0.9,
        centered=True,
    )


def _early(hyperparameters: Hyperparameters) -> Early | None:
    if not hyperparameters.early_stopping:
        return None
    return Early(
        hyperparameters.early_stopping_min_epochs,
        hyperparameters.early_stopping_patience,
        hyperparameters.early_stopping_tolerance,
    )

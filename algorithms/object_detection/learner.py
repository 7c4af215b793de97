"""Object detection by mini-batch gradients."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from optml import memory
from optml.algorithms.base import Setting
from optml.algorithms.kernels import boxes
from optml.algorithms.metrics import Metric
from optml.algorithms.network import Network, threads
from optml.algorithms.object_detection.average_precision import AveragePrecision
from optml.algorithms.object_detection.data import Batch
from optml.algorithms.object_detection.hyperparameters import DECAYING, Hyperparameters
from optml.algorithms.object_detection.losses import Loss, multibox_loss
from optml.algorithms.object_detection.model import THRESHOLD, Model
from optml.algorithms.object_detection.network import grids
from optml.algorithms.object_detection.progress import Progress
from optml.algorithms.object_detection.start import begin, freeze
from optml.algorithms.vision.best_epoch import BestEpoch, Early
from optml.algorithms.vision.optimizers import Rule, optimizer, set_rate
from optml.algorithms.vision.precision import Precision
from optml.algorithms.vision.schedule import stepped
from optml.algorithms.vision.tensors import Tensors

log = logging.getLogger(__name__)

VOC07 = "OPTML_VOC07_METRIC"  # 1: the mAP of the log is VOC07's, and the other one stands beside it
TWICE = 2.0  # the rate of biases outside of the base


class Learner:
    """State: the network, its optimizer, and what the epoch's anchors add up to.

    An update is of the loss of the batches of all hosts over their positives. Running statistics are averaged
    over the hosts at the end of an epoch.
    """

    round: int | None = None
    lockstep = True

    def __init__(self, setting: Setting) -> None:
        hyperparameters: Hyperparameters = setting.hyperparameters
        memory.keep()
        self.hyperparameters = hyperparameters
        self.cluster = setting.cluster
        self.device = setting.device
        self._announce(setting.train)
        started = begin(setting)
        self.facts = replace(started.facts, names=setting.train.names)
        self.module = started.network.to(setting.device)
        freeze(self.module, hyperparameters.freeze_layer_pattern)
        made = optimizer(_rule(hyperparameters), self.module, self._rate(0), _factor)
        self.network = Network(self.module, made, setting)
        anchors = self.facts.design.anchors.boxes(grids(self.facts.design, self.facts.side))
        self.anchors = torch.from_numpy(anchors).to(setting.device)
        self._work = hyperparameters.mini_batch_size * self.module.work(self.facts.side)
        self.tensors = Tensors(self.facts.design.scaling, 3, setting.device)
        self.precision = Precision(None, setting.device)
        self.progress = Progress(setting.cluster, setting.device)
        self.rule = BestEpoch(_early(hyperparameters), self._announce_best)
        self.by_class = np.full(hyperparameters.num_classes, np.nan)  # average precisions, when last scored
        self._voc07 = os.environ.get(VOC07, "").strip() == "1"

    def update(self, batch: Batch | None) -> Iterable[Metric]:
        if self.progress.batch == 0:
            self.progress.begin()
        if set_rate(self.network.optimizer, self._rate(self.network.updates)) and self.network.updates:
            rate = self._rate(self.network.updates)
            self._say("Update[%d]: Change learning rate to %0.5e", self.network.updates + 1, rate)
        with threads(self._work):
            self._learn(batch)
        return ()

    def _learn(self, batch: Batch | None) -> None:
        loss: Loss | None = None
        if batch is not None and len(batch):
            with self.precision.inside():
                scores, offsets = self.module(self.tensors.images(batch.pixels))
            truths = self.tensors.of(np.ascontiguousarray(batch.truths[:, :, :5]))
            loss = multibox_loss(scores, offsets, self.anchors, truths)
        if loss is None or not loss.examples:  # no image of the batch has an object
            (positives,) = self.network.gradient(None, 0.0)
        else:
            (positives,) = self.network.gradient(loss.total * self.precision.scale, float(loss.positives))
        self.precision.step(self.network, positives)
        if batch is not None and loss is not None:
            self.progress.add(len(batch), loss)
        else:
            self.progress.passed()

    def end_round(self) -> Iterable[Metric]:
        self.network.average_buffers()
        epoch, batches = self.progress.epoch, self.progress.batch
        losses = self.progress.end()
        if losses is None:
            return ()
        names = ("train:cross_entropy", "train:smooth_l1")
        return [
            Metric(name, value, epoch=epoch, batch=batches) for name, value in zip(names, losses, strict=True)
        ]

    def evaluate(self, channel: str, batches: Iterable[Batch]) -> Iterable[Metric]:
        """The mean average precision over the images of all hosts."""
        epoch = self.progress.epoch - 1
        self._say("Round of batches complete")
        measured = AveragePrecision(self.hyperparameters.num_classes, self.hyperparameters.overlap_threshold)
        images = np.zeros(1)
        self.module.eval()
        with torch.inference_mode(), self.precision.inside(), threads(self._work):
            for batch in batches:
                images += len(batch)
                for found, truths in zip(self._detections(batch), batch.truths, strict=True):
                    measured.add(found, truths[truths[:, 0] >= 0])
        self.module.train()
        measured.gather(self.cluster)
        self.cluster.all_sum(images)
        if not images[0]:
            return []
        self._say("Updated the metrics")
        self.by_class = measured.by_class()
        value, other = measured.mean(), measured.voc07()
        beside = {"validation_mAP_voc07": other}
        if self._voc07:
            value, other, beside = other, value, {"validation_mAP_envelope": value}
        return [Metric(f"{channel}:mAP", value, epoch=epoch, beside=beside)]

    def _detections(self, batch: Batch) -> list[np.ndarray]:
        """Of each image of a batch, as a model answers."""
        if not len(batch):
            return []
        scores, offsets = self.module(self.tensors.images(batch.pixels))
        rows = boxes.detect(
            scores.softmax(2), offsets, self.anchors, self.facts.variances,
            threshold=THRESHOLD, nms_threshold=self.facts.nms_threshold, topk=self.facts.nms_topk,
        )  # fmt: skip
        return [own[own[:, 0] >= 0] for own in rows.cpu().numpy()]

    def stopping(self) -> tuple[BestEpoch, str]:
        return self.rule, "validation:mAP"

    def state_dict(self) -> dict[str, np.ndarray]:
        state = self.network.state_dict() | self.precision.state_dict() | self.progress.state_dict()
        return state | {"by_class": self.by_class.copy()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.network.load_state_dict(state)
        self.precision.load_state_dict(state)
        self.progress.load_state_dict(state)
        self.by_class = np.array(state["by_class"])
        set_rate(self.network.optimizer, self._rate(self.network.updates - 1))

    def model(self) -> Model | None:
        return self._model() if self.network.updates else None

    def finish(self) -> tuple[Model, Iterable[Metric]]:
        for number, value in enumerate(self.by_class.tolist()):
            self._say("Average precision of class %s: %.4f", self.facts.label(number), value)
        if self.rule.best_epoch:
            self._say(
                "The model is that of epoch %d, validation mAP %f", self.rule.best_epoch - 1, self.rule.best
            )
        if self.cluster.size == 1:
            log.warning(
                "wait_for_all_workers will not sync workers since the kv store is not running distributed"
            )
        self._say('Saved checkpoint to "model.safetensors"')
        self._say("Test data is not provided.")
        return self._model(), ()

    def _model(self) -> Model:
        return Model(self.facts, self.network.arrays(), self.hyperparameters.model_dump(mode="json"))

    def _rate(self, updates: int) -> float:
        """Of the update after so many."""
        hyperparameters = self.hyperparameters
        if hyperparameters.optimizer == "adadelta":
            return 1.0  # MXNet's has no rate: its step is of the size of those before
        each = hyperparameters.num_training_samples // (hyperparameters.mini_batch_size * self.cluster.size)
        epoch = updates // max(each, 1)
        return stepped(
            hyperparameters.learning_rate,
            hyperparameters.lr_scheduler_factor,
            hyperparameters.lr_scheduler_step or (),
            epoch,
        )

    def _announce(self, train: Any) -> None:
        hyperparameters = self.hyperparameters
        if len(train) != hyperparameters.num_training_samples and not train.sharded:
            log.warning(
                "num_training_samples is %d, but channel 'train' has %d images: rates fall by the first, "
                "and all "
                "images are trained on", hyperparameters.num_training_samples, len(train),
            )  # fmt: skip
        if self.cluster.rank:
            return
        side = hyperparameters.image_shape
        log.info("Using default worker.")
        log.warning("Training images are resized to image shape (3, %d, %d)", side, side)
        log.warning("Validation images are resized to image shape (3, %d, %d)", side, side)
        gpus = self.cluster.processes if self.device.startswith("cuda") else 0
        context = ",".join(f"gpu({number})" for number in range(gpus)) or "cpu(0)"
        log.info("Number of GPUs being used: %d", gpus)
        log.info("Using [%s] as training context.", context)
        store = "device" if self.cluster.size == 1 else hyperparameters.kv_store or "dist_sync"
        log.info("Create Store: %s", store)
        if hyperparameters.kv_store == "dist_async" and self.cluster.size > 1:
            log.info("kv_store is dist_async: gradients are exchanged synchronously all the same")

    def _announce_best(self, value: float) -> None:
        self._say("Updating the best model with validation-mAP=%s", value)
        self._say('Saved checkpoint to "model.safetensors"')

    def _say(self, text: str, *values: object) -> None:
        if self.cluster.rank == 0:
            log.info(text, *values)


def _factor(name: str) -> float:
    """What a parameter learns at, in terms of the rate."""
    return TWICE if name.endswith("bias") and not name.startswith("base.") else 1.0


def _rule(hyperparameters: Hyperparameters) -> Rule:
    name = hyperparameters.optimizer
    return Rule(
        name,
        momentum=hyperparameters.momentum if name == "sgd" else 0.0,
        weight_decay=hyperparameters.weight_decay if name in DECAYING else 0.0,
        eps=1e-5 if name == "adadelta" else 1e-8,
    )


def _early(hyperparameters: Hyperparameters) -> Early | None:
    if not hyperparameters.early_stopping:
        return None
    return Early(
        hyperparameters.early_stopping_min_epochs,
        hyperparameters.early_stopping_patience,
        hyperparameters.early_stopping_tolerance,
    )

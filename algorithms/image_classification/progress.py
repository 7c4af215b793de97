"""What an epoch's images add up to, and the lines that AWS's log has of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import numpy as np
import torch

from optml.algorithms.cluster import Cluster
from optml.algorithms.image_classification.hyperparameters import Hyperparameters

log = logging.getLogger(__name__)

EVERY = 20  # batches between lines
IMAGES, HITS, TOP = range(3)  # what is added up: images; cells or images that are right; labels among the top


class Progress:
    """Of the epoch under way. `totals` stay on the device, so that no batch waits for the one before it."""

    def __init__(self, hyperparameters: Hyperparameters, cluster: Cluster, device: str) -> None:
        self.hyperparameters = hyperparameters
        self.epoch = 0  # under way
        self.batch = 0  # of the epoch, behind us
        self.began = time.monotonic()
        self._images = 0  # since then; after a resume fewer than of the epoch
        self._cluster = cluster
        self._totals = torch.zeros(3, dtype=torch.float64, device=device)

    def begin(self) -> None:
        self.began, self._images = time.monotonic(), 0

    def add(self, images: int, hits: torch.Tensor, top: torch.Tensor | None) -> None:
        """A batch of this host: how many of its images (with several labels: of its cells, as a share of the
        labels) are right, and how many of its labels are among the top_k."""
        self._totals[IMAGES] += images
        self._totals[HITS] += hits
        if top is not None:
            self._totals[TOP] += top
        self._images += images
        self.passed()
        if self.batch % EVERY == 1 and self.batch > 1 and self._cluster.rank == 0:
            speed = self._images / max(time.monotonic() - self.began, 1e-9)
            shares = "".join(f"\t{name}={value:f}" for name, value in self._shares(self._totals).items())
            log.info(
                "Epoch[%d] Batch [%d]\tSpeed: %.3f samples/sec%s", self.epoch, self.batch - 1, speed, shares
            )

    def passed(self) -> None:
        """A batch is behind us, of this host or of others."""
        self.batch += 1

    def end(self) -> dict[str, float]:
        """Accuracies over the images of all hosts by name; {} where there were none. Holds a collective."""
        totals = self._totals.cpu().numpy().copy()
        self._cluster.all_sum(totals)
        self._totals.zero_()
        self.epoch, self.batch = self.epoch + 1, 0
        return self._shares(torch.from_numpy(totals)) if totals[IMAGES] else {}

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def _shares(self, totals: torch.Tensor) -> dict[str, float]:
        images, hits, top = totals.tolist()
        shares = {"accuracy": hits / images}
        if self.hyperparameters.top_k:
            shares[f"top_k_accuracy_{self.hyperparameters.top_k}"] = top / images
        return shares

    def state_dict(self) -> dict[str, np.ndarray]:
        place = np.array([self.epoch, self.batch], np.int64)
        return {"progress": place, "totals": self._totals.cpu().numpy().copy()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.epoch, self.batch = state["progress"].tolist()
        self._totals.copy_(torch.from_numpy(np.array(state["totals"])))


def parameters(hyperparameters: Hyperparameters, machines: int) -> None:
    """The block of AWS's log that says what is trained with."""
    values: dict[str, object] = {
        "num_layers": hyperparameters.num_layers,
        "data type": f"<class 'numpy.{hyperparameters.precision_dtype}'>",
        "epochs": hyperparameters.epochs,
        **({"image resize size": hyperparameters.resize} if hyperparameters.resize else {}),
        "optimizer": hyperparameters.optimizer,
        "momentum": hyperparameters.momentum,
        "weight_decay": hyperparameters.weight_decay,
        "learning_rate": hyperparameters.learning_rate,
        "num_training_samples": hyperparameters.num_training_samples,
        "mini_batch_size": hyperparameters.mini_batch_size,
        "image_shape": hyperparameters.image_shape,
        "num_classes": hyperparameters.num_classes,
        "augmentation_type": hyperparameters.augmentation_type,
        "kv_store": (hyperparameters.kv_store or "dist_sync") if machines > 1 else "device",
        "top_k": hyperparameters.top_k,
    }
    log.info("---- Parameters ----")
    for name, value in values.items():
        log.info("%s: %s", name, value)
    log.info("--------------------")

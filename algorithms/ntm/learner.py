"""The Neural Topic Model by mini-batch gradients."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np
import torch
from scipy.sparse import csr_array

from optml.algorithms.base import Setting
from optml.algorithms.kernels.bags import Bags
from optml.algorithms.metrics import Metric
from optml.algorithms.network import Network, seeded, threads
from optml.algorithms.ntm.autoencoder import Autoencoder
from optml.algorithms.ntm.early_stopping import EarlyStopping
from optml.algorithms.ntm.hyperparameters import Hyperparameters
from optml.algorithms.ntm.model import Model
from optml.algorithms.ntm.parameters import Parameters
from optml.algorithms.ntm.sampling import SubSample
from optml.algorithms.optimizers import SPARSE, optimizer
from optml.algorithms.topics import cooccurrence, topics, vocabulary
from optml.algorithms.topics.counts import counts, fraction, occupied
from optml.algorithms.topics.topics import Topics
from optml.errors import UserError
from optml.formats.records import Records

log = logging.getLogger(__name__)

DOCUMENTS, RECONSTRUCTION, DIVERGENCE = range(3)  # what is added up over an epoch


class Learner:
    """State: the network, what the epoch's documents add up to, and a sample of documents for coherence.

    An update sums the gradients of each document's loss a word over the batches of all hosts, times
    `rescale_gradient`; then clips it; then adds the weight decay. Documents without words are passed over.
    """

    round: int | None = None
    lockstep = True

    def __init__(self, setting: Setting) -> None:
        hyperparameters: Hyperparameters = setting.hyperparameters
        self.hyperparameters = hyperparameters
        self.cluster = setting.cluster
        self.device = setting.device
        self.validated = "validation" in setting.channels
        self.vocabulary: vocabulary.Vocabulary | None = None
        source = setting.auxiliary.get("auxiliary")
        if source is not None:
            self.vocabulary = vocabulary.read(source, hyperparameters.feature_dim)
        sparse = (
            hyperparameters.optimizer in SPARSE
            and not hyperparameters.weight_decay
            and self.cluster.size == 1
        )
        with seeded(setting.seed):
            module = Autoencoder(hyperparameters, sparse=sparse)
        self.module = module.to(setting.device)
        parameters = self.module.parameters()
        self.network = Network(
            self.module,
            optimizer(hyperparameters.optimizer, parameters, hyperparameters.learning_rate),
            setting,
        )
        sizes = hyperparameters.layers
        # Of the largest product that is torch's: those with the words are kernels, with threads of their own.
        widest = max(before * after for before, after in pairwise([*sizes, hyperparameters.num_topics]))
        self._work = hyperparameters.mini_batch_size * widest
        self._decayed = [
            parameter for name, parameter in self.module.named_parameters() if not name.endswith("bias")
        ]
        seed = (setting.seed, self.cluster.rank)
        self.sub_sample = SubSample(
            hyperparameters.sub_sample, hyperparameters.mini_batch_size, hyperparameters.feature_dim, seed
        )
        self.sample = cooccurrence.Sample(hyperparameters.feature_dim, *seed)
        self.rule = EarlyStopping(
            hyperparameters.num_patience_epochs, hyperparameters.tolerance, quiet=self.cluster.rank > 0
        )
        self.epoch = 0  # behind us
        self.batch = 0  # of the epoch
        self.trained = np.zeros(2, np.int64)  # documents and batches of this host in the epoch
        self.empty = 0  # documents of the epoch without words
        self.totals = torch.zeros(3, dtype=torch.float64, device=setting.device)
        self.finished = False
        self._began = self._ended = time.monotonic()  # of the epoch's training
        self._announce()

    def update(self, batch: Records | None) -> Iterable[Metric]:
        if self.batch == 0:
            self._began = time.monotonic()
            self._say("# Starting training for epoch %d", self.epoch + 1)
        subset = None
        if batch is not None:
            documents = counts(batch, self.hyperparameters.feature_dim)
            self._warn_of_fractions(batch, documents)
            full = occupied(documents)
            self.empty += documents.shape[0] - full.shape[0]
            if self.epoch == 0:
                self.sample.add(full)
            subset = self.sub_sample.draw(full, self.epoch, self.batch)
        self.batch += 1
        self._learn(subset)
        return ()

    def end_round(self) -> Iterable[Metric]:
        self._learn(self.sub_sample.rest())
        totals = self._summed()
        if self.epoch == 0:
            empty = np.array([self.empty, self.sample.matrix().shape[0]])
            self.cluster.all_sum(empty)
            if empty[0]:
                self._warn("%d documents of channel 'train' hold no words and are passed over", empty[0])
            if not empty[1]:
                raise UserError(
                    f"every document of channel 'train' is empty: all {empty[0]} hold nothing but zeros"
                )
        self.epoch += 1
        self.batch = self.empty = 0
        documents, batches = self.trained.tolist()
        self._say(
            "# Finished training epoch %d on %d examples from %d batches, each of size %d.",
            self.epoch, documents, batches, self.hyperparameters.mini_batch_size,
        )  # fmt: skip
        self.totals.zero_()
        self.trained[:] = 0
        self._ended = time.monotonic()
        if not totals[DOCUMENTS]:  # a small share of few documents
            self._say("No document was drawn in this epoch: sub_sample is too small for the data")
            return ()
        total = self._tell("Training", totals)
        if not self.validated:
            self._tell_times()
        return [Metric("train:total_loss", total, epoch=self.epoch)]

    def evaluate(self, channel: str, batches: Iterable[Records]) -> Iterable[Metric]:
        """Over the documents of all hosts that hold words, with one sample of h each."""
        size = self.hyperparameters.mini_batch_size
        sums = np.zeros(5)  # as `totals`, then documents without words, batches
        random = self.network.random()
        self.module.eval()
        with torch.no_grad(), threads(self._work):
            for batch in batches:
                documents = counts(batch, self.hyperparameters.feature_dim)
                full = occupied(documents)
                sums[3:] += documents.shape[0] - full.shape[0], 1
                if full.shape[0]:
                    losses = self._losses(full, random)
                    sums[:3] += [full.shape[0], *(float(part.sum(dtype=torch.float64)) for part in losses)]
        self.module.train()
        self.cluster.all_sum(sums)
        if not sums[DOCUMENTS]:
            if sums[3]:
                raise UserError(f"every document of channel '{channel}' is empty: all hold nothing but zeros")
            return []  # no batches: the loop tells of it
        self._say(
            "Finished scoring on %d examples from %d batches, each of size %d.",
            sums[DOCUMENTS], sums[4], size,
        )  # fmt: skip
        total = self._tell("Inference", sums[:3])
        if channel == "test":
            return [Metric("test:total_loss", total, epoch=self.epoch)]
        if self.finished:
            return [Metric("validation:total_loss", total, epoch=self.epoch)]
        self._tell_times()
        return [Metric("validation:score", total, epoch=self.epoch)]

    def stopping(self) -> tuple[EarlyStopping, str]:
        return self.rule, "validation:score" if self.validated else "train:total_loss"

    def state_dict(self) -> dict[str, np.ndarray]:
        state = self.network.state_dict()
        state |= {f"drawn.{name}": array for name, array in self.sub_sample.state_dict().items()}
        state |= {f"sample.{name}": array for name, array in self.sample.state_dict().items()}
        progress = [self.epoch, self.batch, self.empty, *self.trained.tolist()]
        return state | {"progress": np.array(progress, np.int64), "totals": self.totals.cpu().numpy().copy()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        def part(kind: str) -> dict[str, np.ndarray]:
            return {key.removeprefix(kind): array for key, array in state.items() if key.startswith(kind)}

        self.network.load_state_dict(state)
        self.sub_sample.load_state_dict(part("drawn."))
        self.sample.load_state_dict(part("sample."))
        self.epoch, self.batch, self.empty, *trained = state["progress"].tolist()
        self.trained[:] = trained
        self.totals.copy_(torch.from_numpy(np.array(state["totals"])))

    def model(self) -> Model | None:
        if not self.network.updates:
            return None
        parameters = self.module.parameters_of_model()
        words = topics.top(parameters.projection[0])
        return self._model(parameters, Topics(words, topics.uniqueness(words), vocabulary=self._words()))

    def finish(self) -> tuple[Model, Iterable[Metric]]:
        self.finished = True
        if self.rule.best_epoch:
            self._say("Loss of server-side model: %r", self.rule.losses[-1])
            self._say(
                "Best model based on early stopping at epoch %d. Best loss: %r",
                self.rule.best_epoch, self.rule.best,
            )  # fmt: skip
        parameters = self.module.parameters_of_model()
        quality = self._topics(parameters.projection[0])
        for line in quality.lines():
            self._say("%s", line)
        if quality.alike:
            self._warn(
                "The topics are nearly the same: most of their top words are those of others too. %d updates "
                "were made; give more documents or epochs, or lower mini_batch_size (%d) or num_topics (%d)",
                self.network.updates, self.hyperparameters.mini_batch_size, self.hyperparameters.num_topics,
            )  # fmt: skip
        assert quality.together is not None
        self._say("Coherence by documents that words share (npmi): %.3f", quality.together.mean())
        return self._model(parameters, quality), ()

    def _topics(self, projection: np.ndarray) -> Topics:
        """The topics and their quality. Holds collectives."""
        words = topics.top(projection)
        together = topics.mutual_information(*cooccurrence.joint(self.sample, words, self.cluster))
        embedded = None
        if self.vocabulary is not None:
            vectors = self.vocabulary.vectors
            if vectors is None:
                self._say(
                    "WETC is by vectors made of the training documents: auxiliary has no embeddings.txt"
                )
                some, places = np.unique(words, return_inverse=True)
                of_words = cooccurrence.vectors(self.sample, some, self.cluster)[places.reshape(words.shape)]
            else:
                of_words = vectors[words]
            embedded = topics.cosines(of_words)
        return Topics(words, topics.uniqueness(words), embedded, together, self._words())

    def _model(self, parameters: Parameters, quality: Topics) -> Model:
        return Model(parameters, quality, self.hyperparameters.model_dump(mode="json"))

    def _words(self) -> tuple[str, ...] | None:
        return self.vocabulary.words if self.vocabulary else None

    def _losses(self, documents: csr_array, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        bags = Bags.of(documents)
        if self.device != "cpu":
            bags = bags.to(self.device)
        shape = len(bags), self.hyperparameters.num_topics
        return self.module.losses(bags, torch.randn(shape, generator=random, device=self.device))

    def _learn(self, subset: csr_array | None) -> None:
        """An update, where any host has documents for it."""
        mine = subset is not None and subset.shape[0] > 0
        if self.cluster.size > 1:
            some = np.array([int(mine)])
            self.cluster.all_sum(some)
            if not some[0]:
                return
        elif not mine:
            return
        with threads(self._work):
            self._step(subset if mine else None)

    def _step(self, subset: csr_array | None) -> None:
        loss = None
        if subset is not None:
            reconstruction, divergence = self._losses(subset, self.network.random())
            loss = (reconstruction + divergence).sum()
            sums = [part.detach().sum(dtype=torch.float64) for part in (reconstruction, divergence)]
            self.totals[DOCUMENTS] += subset.shape[0]
            self.totals[RECONSTRUCTION:] += torch.stack(sums)
            self.trained += subset.shape[0], 1
        self.network.gradient(loss)
        self._adjust()
        self.network.step()
        if self.device == "cpu":  # elsewhere a look at the loss would wait for the device
            self._require_finite(self.totals.numpy())

    def _adjust(self) -> None:
        """Scale, clip, decay."""
        hyperparameters = self.hyperparameters
        for parameter in self.module.parameters():
            assert parameter.grad is not None
            entries = parameter.grad._values() if parameter.grad.is_sparse else parameter.grad
            if hyperparameters.rescale_gradient != 1:
                entries.mul_(hyperparameters.rescale_gradient)
            if hyperparameters.clip is not None:
                entries.clamp_(-hyperparameters.clip, hyperparameters.clip)
        if hyperparameters.weight_decay:
            for parameter in self._decayed:
                assert parameter.grad is not None
                parameter.grad.add_(parameter.detach(), alpha=hyperparameters.weight_decay)

    def _summed(self) -> np.ndarray:
        """The epoch's totals over all hosts, and the running statistics as their mean."""
        totals = self.totals.cpu().numpy().copy()
        self.cluster.all_sum(totals)
        self._require_finite(totals)
        self.network.average_buffers()
        return totals

    def _require_finite(self, totals: np.ndarray) -> None:
        if not np.isfinite(totals).all():
            hyperparameters = self.hyperparameters
            rate = (
                ""
                if hyperparameters.optimizer == "adadelta"
                else f"lower learning_rate ({hyperparameters.learning_rate:g}), "
            )
            raise UserError(
                f"training diverged: the loss is not finite in epoch {self.epoch + 1}; {rate}set "
                "clip_gradient (1, say), or look for extreme counts in the data"
            )

    def _tell(self, what: str, totals: np.ndarray) -> float:
        """Print an epoch's losses, means over documents; returns their sum."""
        documents, reconstruction, divergence = totals.tolist()
        total: float = (reconstruction + divergence) / documents
        self._say("Metrics for %s:", what)
        for name, value in (
            ("total", total), ("kld", divergence / documents), ("recons", reconstruction / documents),
            ("logppx", total),
        ):  # fmt: skip
            self._say("Loss (name: value) %s: %r", name, value)
        return total

    def _tell_times(self) -> None:
        now = time.monotonic()
        trained, scored = self._ended - self._began, now - self._ended
        self._say("Timing: train: %.2fs, val: %.2fs, epoch: %.2fs", trained, scored, now - self._began)

    def _announce(self) -> None:
        hyperparameters = self.hyperparameters
        if self.vocabulary is None:
            self._say("Vocab file is not provided")
        if hyperparameters.optimizer == "adadelta" and "learning_rate" in hyperparameters.model_fields_set:
            self._warn("learning_rate (%g) is not used by optimizer=adadelta", hyperparameters.learning_rate)

    def _warn_of_fractions(self, batch: Records, documents: csr_array) -> None:
        """Once a job, of the first record that holds no counts."""
        if not self.epoch and not self.batch and (text := fraction(batch, documents)):
            self._warn("%s", text)

    def _say(self, text: str, *values: object) -> None:
        if self.cluster.rank == 0:
            log.info(text, *values)

    def _warn(self, text: str, *values: object) -> None:
        if self.cluster.rank == 0:
            log.warning(text, *values)

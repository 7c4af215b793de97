"""Learning from pairs by mini-batches, evaluated every so many of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import numpy as np
import torch

from optml.algorithms.base import Setting
from optml.algorithms.metrics import Metric
from optml.algorithms.network import Network, seeded, threads
from optml.algorithms.seq2seq import bleu
from optml.algorithms.seq2seq.data import Batch, Channel
from optml.algorithms.seq2seq.hyperparameters import Hyperparameters
from optml.algorithms.seq2seq.lengths import Lengths
from optml.algorithms.seq2seq.model import Model
from optml.algorithms.seq2seq.network import Translator
from optml.algorithms.seq2seq.progress import Progress, accuracy, perplexity
from optml.algorithms.seq2seq.records import vocabularies
from optml.algorithms.seq2seq.rules import hints
from optml.algorithms.seq2seq.schedule import Schedule
from optml.algorithms.seq2seq.search import translate
from optml.algorithms.seq2seq.tokens import Source, Target
from optml.errors import UserError

log = logging.getLogger(__name__)


class Learner:
    """State: the network, its optimizer, and what the pairs since the last evaluation add up to.

    An update takes the mean of -log p over the target tokens of all hosts, and cuts each number of its
    gradient.
    """

    lockstep = True

    def __init__(self, setting: Setting) -> None:
        hyperparameters: Hyperparameters = setting.hyperparameters
        self.hyperparameters = hyperparameters
        self.cluster = setting.cluster
        self.device = setting.device
        self.round = hyperparameters.checkpoint_frequency_num_batches
        self.vocabularies = vocabularies(setting)
        train: Channel = setting.train
        self.lengths = Lengths.of(train.ratios, hyperparameters)
        with seeded(setting.seed):
            module = Translator(hyperparameters, self.vocabularies.sizes)
        self.module = module.to(setting.device)
        self.network = Network(module, _optimizer(hyperparameters, module), setting)
        quiet = self.cluster.rank > 0
        self.schedule = Schedule(hyperparameters, quiet=quiet)
        self.progress = Progress(hyperparameters.training_metric, quiet=quiet)
        cells = hyperparameters.encoded_width
        self._work = hyperparameters.batch_size * 4 * cells * (cells + hyperparameters.num_embed_source)
        if not quiet:
            for sentence in hints(hyperparameters):
                log.warning("%s", sentence)
            log.info(
                "Parameters: %d. Vocabularies: %d source and %d target tokens",
                sum(weight.numel() for weight in module.parameters()), *self.vocabularies.sizes,
            )  # fmt: skip

    def update(self, batch: Batch | None) -> Iterable[Metric]:
        with threads(self._work):
            self._learn(batch)
        return ()

    def _learn(self, batch: Batch | None) -> None:
        hyperparameters = self.hyperparameters
        loss, hits, tokens = None, torch.zeros(()), 0 if batch is None else batch.tokens
        total = tokens
        if self.cluster.size > 1:
            counts = np.array([tokens])
            self.cluster.all_sum(counts)
            total = int(counts[0])
        if batch is not None:
            loss, hits = self._losses(batch, self.network.random())
        self.network.gradient(None if loss is None else loss / total)
        if hyperparameters.clip_gradient > 0:
            most = hyperparameters.clip_gradient
            gradients = [weight.grad for weight in self.module.parameters() if weight.grad is not None]
            torch._foreach_clamp_min_(gradients, -most)
            torch._foreach_clamp_max_(gradients, most)
        for group in self.network.optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.network.updates)
        self.network.step()
        if batch is not None:
            assert loss is not None
            self.schedule.epoch = batch.epoch
            self.progress.batch(batch.epoch, tokens, float(loss.detach()), int(hits), len(batch))

    def _losses(self, batch: Batch, random: torch.Generator | None) -> tuple[torch.Tensor, torch.Tensor]:
        source, target = Source.of(batch.sources, self.device), Target.of(batch.targets, self.device)
        return self.module.losses(source, target, random)

    def end_round(self) -> Iterable[Metric]:
        sums = self.progress.sums.copy()
        self.cluster.all_sum(sums)
        if not np.isfinite(sums).all():
            raise UserError(
                f"training diverged: the loss is not finite in epoch {self.progress.epoch}; lower "
                f"learning_rate ({self.hyperparameters.learning_rate:g}), or clip_gradient"
            )
        return self.progress.evaluated(sums, self.network.updates)

    def evaluate(self, channel: str, batches: Iterable[Batch]) -> Iterable[Metric]:
        """Perplexity, accuracy, and BLEU where it is asked for, over the pairs of all hosts."""
        sums, matches = np.zeros(4), np.zeros(2 * bleu.LONGEST + 2)
        with torch.no_grad(), threads(self._work):
            for batch in batches:
                loss, hits = self._losses(batch, None)
                sums += batch.tokens, float(loss), int(hits), len(batch)
                matches += self._matches(batch)
        self.cluster.all_sum(sums)
        self.cluster.all_sum(matches)
        if not sums[0]:
            return []
        values = {"perplexity": perplexity(sums), "accuracy": accuracy(sums)}
        if self.hyperparameters.translated != 0:
            values["bleu"] = bleu.score(matches)
        return self.progress.scored(channel, values)

    def _matches(self, batch: Batch) -> np.ndarray:
        """What `bleu.counts` counts in the pairs that were drawn."""
        rows = np.flatnonzero(batch.drawn)
        if not len(rows):
            return np.zeros(2 * bleu.LONGEST + 2)
        sources, targets = batch.sources.take(rows), batch.targets.take(rows)
        limits = self.lengths.limits(sources.lengths)
        found = translate(self.module, sources, limits, self.hyperparameters.beam_size, self.device)
        references = [part.tolist() for part in np.split(targets.ids, targets.bounds[1:-1])]
        return bleu.counts(
            (one.ids.tolist(), reference) for one, reference in zip(found, references, strict=True)
        )

    def stopping(self) -> tuple[Schedule, str]:
        return self.schedule, f"validation:{self.hyperparameters.optimized_metric}"

    def state_dict(self) -> dict[str, np.ndarray]:
        return self.network.state_dict() | self.progress.state_dict()

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.network.load_state_dict(state)
        self.progress.load_state_dict(state)

    def model(self) -> Model | None:
        if not self.network.updates:
            return None
        arrays = self.network.arrays()
        return Model(self.hyperparameters, self.vocabularies, self.lengths, arrays, self.device)

    def finish(self) -> tuple[Model, Iterable[Metric]]:
        model = self.model()
        if model is None:
            raise UserError("channel 'train' is empty: there are no pairs in its files")
        return model, ()


def _optimizer(settings: Hyperparameters, module: torch.nn.Module) -> torch.optim.Optimizer:
    """The optimizer with Sockeye's constants."""
    parameters, rate, decay = list(module.parameters()), settings.learning_rate, settings.weight_decay
    if settings.optimizer_type == "adam":
        return torch.optim.Adam(parameters, rate, weight_decay=decay, fused=True)
    if settings.optimizer_type == "rmsprop":
        return torch.optim.RMSprop(parameters, rate, alpha=0.9, eps=1e-8, weight_decay=decay)
    return torch.optim.SGD(parameters, rate, momentum=settings.momentum or 0.0, weight_decay=decay)

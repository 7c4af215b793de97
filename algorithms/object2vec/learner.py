"""Learning from pairs by mini-batches: tables of embeddings, and the network behind them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch

from optml.algorithms.base import Setting
from optml.algorithms.kernels.rows.terms import KINDS, Rule
from optml.algorithms.metrics import Metric
from optml.algorithms.network import Network, seeded, threads
from optml.algorithms.object2vec import beginning
from optml.algorithms.object2vec.data import Batch
from optml.algorithms.object2vec.early_stopping import EarlyStopping
from optml.algorithms.object2vec.hyperparameters import Hyperparameters
from optml.algorithms.object2vec.model import Model
from optml.algorithms.object2vec.network import Pairing, encode
from optml.algorithms.object2vec.progress import Progress, Totals
from optml.algorithms.object2vec.tokens import Tokens, look_up
from optml.algorithms.optimizers import optimizer
from optml.algorithms.sequences.ragged import Sequences
from optml.algorithms.sequences.tables import Table
from optml.errors import UserError

log = logging.getLogger(__name__)

Tensor = torch.Tensor
EMPTY = "channel 'train' is empty: there are no pairs in its files"


class Learner:
    """State: one table of embeddings or two, the network, and what the epoch's pairs add up to.

    An update takes the mean of the losses over the pairs of all hosts. Tables move by their own optimizer,
    which touches the rows of the tokens that occur, whatever `token_embedding_storage_type` says.
    """

    round: int | None = None
    lockstep = True

    def __init__(self, setting: Setting) -> None:
        hyperparameters: Hyperparameters = setting.hyperparameters
        self.hyperparameters = hyperparameters
        self.cluster = setting.cluster
        self.device = setting.device
        self.validated = "validation" in setting.channels
        with seeded(setting.seed):
            module = Pairing(hyperparameters)
        values = beginning.tables(setting, module)
        rule = Rule(KINDS[hyperparameters.optimizer], hyperparameters.lazy, hyperparameters.weight_decay)
        self.tables = [
            Table(table, None if beginning.frozen(hyperparameters, side) else rule, setting)
            for side, table in enumerate(values)
        ]
        self.module = module.to(setting.device)
        steps = optimizer(hyperparameters.optimizer, module.parameters(), hyperparameters.learning_rate)
        self.network = Network(module, steps, setting)
        self._decayed = [weight for name, weight in module.named_parameters() if "bias" not in name]
        self._work = hyperparameters.mini_batch_size * module.largest_product()
        self.rule = EarlyStopping(
            hyperparameters.early_stopping_patience,
            hyperparameters.early_stopping_tolerance,
            quiet=self.cluster.rank > 0,
        )
        self.progress = Progress(hyperparameters.loss, quiet=self.cluster.rank > 0)
        if self.cluster.rank == 0:
            beginning.announce(hyperparameters)
            log.info(
                "Parameters: %d in %d table(s) of embeddings, %d beside them",
                sum(len(table) * table.width for table in self.tables),
                len(self.tables),
                sum(weight.numel() for weight in module.parameters()),
            )

    @property
    def epoch(self) -> int:
        return self.progress.epoch

    def update(self, batch: Batch | None) -> Iterable[Metric]:
        with threads(self._work):
            self._learn(batch)
        return ()

    def _learn(self, batch: Batch | None) -> None:
        hyperparameters, count = self.hyperparameters, 0 if batch is None else len(batch)
        total = count
        if self.cluster.size > 1:
            counts = np.array([count])
            self.cluster.all_sum(counts)
            total = int(counts[0])
        loss = None
        touched = [np.empty(0, np.int64) for _ in self.tables]
        rows: list[Tensor | None] = [None for _ in self.tables]
        if batch is not None and count:
            random = self.network.random() if hyperparameters.dropout else None
            touched, tokens = self._look_up(batch.sides)
            copies = [table.read(some) for table, some in zip(self.tables, touched, strict=True)]
            losses, outputs, labels = self._losses(batch, tokens, copies, random)
            loss = losses.sum() / total
            self.progress.add(losses, outputs, labels)
            rows = list(copies)
        self.network.gradient(loss)
        if hyperparameters.weight_decay:
            for weight in self._decayed:
                assert weight.grad is not None
                weight.grad.add_(weight.detach(), alpha=hyperparameters.weight_decay)
        self.network.step()
        for table, some, copy in zip(self.tables, touched, rows, strict=True):
            table.step(some, None if copy is None else copy.grad, hyperparameters.learning_rate)
        self.progress.batch(count)

    def _look_up(self, sides: Sequence[Sequences]) -> tuple[list[np.ndarray], list[Tokens]]:
        """The rows of each table that are touched, and of each side the tokens as places among them."""
        if len(self.tables) == 1:
            touched, tokens = look_up(sides, self.device)
            return [touched], tokens
        parts = [look_up([side], self.device) for side in sides]
        return [touched for touched, _ in parts], [tokens for _, (tokens,) in parts]

    def _losses(
        self, batch: Batch, tokens: Sequence[Tokens], rows: Sequence[Tensor], random: torch.Generator | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Losses (n,), outputs (n, o), labels (n,)."""
        first, second = self.module.encoders
        u, v = encode(first, rows[0], tokens[0]), encode(second, rows[-1], tokens[1])
        if batch.repeat is not None:
            u = u.index_select(0, torch.from_numpy(batch.repeat).to(self.device))
        outputs = self.module(u, v, random)
        labels = torch.from_numpy(batch.labels).to(self.device)
        labels = labels.long() if self.hyperparameters.classifier else labels
        return self.module.losses(outputs, labels), outputs, labels

    def end_round(self) -> Iterable[Metric]:
        for table in self.tables:
            table.settle()
        totals = self.progress.totals.summed(self.cluster)
        if not totals.pairs:
            raise UserError(EMPTY)
        if not np.isfinite(totals.loss):
            raise UserError(
                f"training diverged: the loss is not finite in epoch {self.epoch}; lower learning_rate "
                f"({self.hyperparameters.learning_rate:g}), or look for extreme labels in the data"
            )
        return self.progress.end_epoch(totals)

    def evaluate(self, channel: str, batches: Iterable[Batch]) -> Iterable[Metric]:
        """Over the pairs of all hosts; of a channel of none, nothing."""
        totals = Totals(self.device)
        with torch.no_grad(), threads(self._work):
            for batch in batches:
                touched, tokens = self._look_up(batch.sides)
                rows = [table.read(some) for table, some in zip(self.tables, touched, strict=True)]
                totals.add(*self._losses(batch, tokens, rows, None))
        totals = totals.summed(self.cluster)
        return self.progress.scored(channel, totals) if totals.pairs else []

    def stopping(self) -> tuple[EarlyStopping, str]:
        channel = "validation" if self.validated else "train"
        return self.rule, f"{channel}:{self.hyperparameters.loss}"

    def state_dict(self) -> dict[str, np.ndarray]:
        state = self.network.state_dict() | self.progress.state_dict()
        for side, table in enumerate(self.tables):
            state |= {f"table{side}.{name}": array for name, array in table.state_dict().items()}
        return state

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.network.load_state_dict(state)
        self.progress.load_state_dict(state)
        for side, table in enumerate(self.tables):
            prefix = f"table{side}."
            table.load_state_dict(
                {key.removeprefix(prefix): array for key, array in state.items() if key.startswith(prefix)}
            )

    def model(self) -> Model | None:
        if not self.network.updates:
            return None
        tables = [table.values() for table in self.tables]
        return Model(self.hyperparameters, tables, self.network.arrays(), self.device)

    def finish(self) -> tuple[Model, Iterable[Metric]]:
        if self.cluster.rank == 0:
            if self.rule.early:
                log.info("#progress_metric: host=%s, completed 100 %% epochs", self.cluster.host)
            log.info(
                "Best model based on epoch %d. Best loss: %.3f", self.rule.best_epoch - 1, self.rule.best
            )
        model = self.model()
        if model is None:
            raise UserError(EMPTY)
        return model, ()

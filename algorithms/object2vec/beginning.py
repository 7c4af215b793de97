"""What training begins with: random weights, those of an earlier job, or pretrained vectors; and what the log
says of the choices made."""

from __future__ import annotations

import logging

import numpy as np
import torch

from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.object2vec.hyperparameters import Hyperparameters
from optml.algorithms.object2vec.model import EMBEDDING, Model, load
from optml.algorithms.object2vec.network import Pairing
from optml.algorithms.sequences import pretrained
from optml.errors import UserError

log = logging.getLogger(__name__)

SPREAD = 0.05  # embeddings begin uniform within this of 0


def tables(setting: Setting, module: Pairing) -> list[np.ndarray]:
    """The values (v, d) float32 of the tables, one that is shared or two; `module` is given the weights of
    the earlier job, where there was one, and else a regression's bias the mean of the labels: from 0, its
    first epochs would all go into that. Holds a collective. Raises UserError where files are missing or do
    not fit."""
    hyperparameters: Hyperparameters = setting.hyperparameters
    values = [
        random(encoder.vocab_size, encoder.token_embedding_dim, setting.seed)
        for encoder in hyperparameters.encoders
    ]
    if hyperparameters.tied_token_embedding_weight:
        values.pop()
    if setting.warm_start is not None:
        _go_on(load(setting.warm_start, "cpu"), module, values)
    elif not hyperparameters.classifier and setting.train is not None:
        with torch.no_grad():
            module.output.bias.fill_(_mean(setting.train.labels_of_epoch(), setting.cluster))
    _take_pretrained(setting, values)
    return values


def frozen(hyperparameters: Hyperparameters, side: int) -> bool:
    """Does a table not learn? One that both share: where either's vectors are not to be trained."""
    if hyperparameters.tied_token_embedding_weight:
        return hyperparameters.frozen(0) or hyperparameters.frozen(1)
    return hyperparameters.frozen(side)


def announce(hyperparameters: Hyperparameters) -> None:
    """Log what is less than plain of the hyperparameters."""
    first, second = hyperparameters.encoders
    for name in hyperparameters.overrides:
        value = getattr(hyperparameters, name)
        log.info("%s=%s is given, so it holds although enc1_network=enc0", name, value)
    if hyperparameters.lazy:
        log.warning(
            "row_sparse: tokens that a batch does not hold keep their moments (lazy_update), which is "
            "different from standard update"
        )
        if hyperparameters.bucket_width:
            log.warning(
                "bucket_width=%d is taken as 0, since token_embedding_storage_type=row_sparse",
                hyperparameters.bucket_width,
            )
    if hyperparameters.optimizer == "adadelta" and "learning_rate" in hyperparameters.model_fields_set:
        log.warning("learning_rate (%g) is not used by optimizer=adadelta", hyperparameters.learning_rate)
    if not hyperparameters.tied_token_embedding_weight and first.vocab_size == second.vocab_size:
        log.info(
            "Both encoders have a vocabulary of %d and a table of their own. If the tokens are the same, "
            "tied_token_embedding_weight=true lets both sides teach one table: on 4,500 pairs of sentences "
            "that was worth 13 points of accuracy",
            first.vocab_size,
        )


def random(rows: int, width: int, seed: int) -> np.ndarray:
    """(rows, width) float32, uniform; padding is zero. Tables of one seed have equal rows: where both sides
    have the same tokens, a token is compared with itself as the same from the start."""
    values = np.random.default_rng(seed).random((rows, width), np.float32)
    values -= 0.5
    values *= 2 * SPREAD
    values[0] = 0
    return values


def _mean(labels: tuple[float, int], cluster: Cluster) -> float:
    """Of all hosts' labels, of their sum and number here."""
    sums = np.array(labels, np.float64)
    cluster.all_sum(sums)
    return float(sums[0] / max(sums[1], 1))


def _go_on(model: Model, module: Pairing, values: list[np.ndarray]) -> None:
    """Begin with the parameters of an earlier job. Raises UserError where they do not fit."""
    begun = model.parameters()
    shapes = {EMBEDDING.format(side): table.shape for side, table in enumerate(values)}
    shapes |= {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    for name in sorted(shapes.keys() | begun.keys()):
        there, here = begun[name].shape if name in begun else None, shapes.get(name)
        if there != here:
            raise UserError(
                f"the model of channel 'model' does not fit: its {name} is {there or 'missing'}, this job's "
                f"{here or 'missing'}; give the hyperparameters of encoders, comparators and MLP that it was "
                "trained with"
            )
    for side, table in enumerate(values):
        table[:] = begun[EMBEDDING.format(side)]
    module.load_state_dict({name: torch.from_numpy(np.array(begun[name])) for name in module.state_dict()})


def _take_pretrained(setting: Setting, values: list[np.ndarray]) -> None:
    """Vectors of the channel `auxiliary` for the rows of their tokens."""
    hyperparameters: Hyperparameters = setting.hyperparameters
    tied = hyperparameters.tied_token_embedding_weight
    for side, encoder in enumerate(hyperparameters.encoders):
        vectors, tokens = hyperparameters.pretrained(side)
        if not vectors or (side == 1 and tied and hyperparameters.pretrained(0)[0]):
            continue
        source = setting.auxiliary.get("auxiliary")
        if source is None:
            raise UserError(
                f"enc{side}_pretrained_embedding_file='{vectors}' is looked for in channel 'auxiliary', "
                "which was not given: add the channel, or leave the hyperparameter out"
            )
        table = values[min(side, len(values) - 1)]
        width = encoder.token_embedding_dim
        ids, rows = pretrained.read(source, vectors, tokens, width, encoder.vocab_size)
        table[ids] = rows
        table[0] = 0  # padding
        if setting.cluster.rank == 0:
            log.info(
                "enc%d: %d of %d tokens have a pretrained vector; the others begin at random%s",
                side, len(ids), encoder.vocab_size,
                " and stay so" if frozen(hyperparameters, side) else "",
            )  # fmt: skip

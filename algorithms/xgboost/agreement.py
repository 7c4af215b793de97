"""What the channels must be to each other, on all hosts, before training begins."""

from __future__ import annotations

import json
import logging

import numpy as np

from optml import memory
from optml.algorithms.base import Run
from optml.algorithms.cluster import agreed_columns
from optml.algorithms.xgboost.hyperparameters import Hyperparameters
from optml.algorithms.xgboost.matrix import Channel
from optml.errors import UserError
from optml.formats.content_type import CSV, LIBSVM, PARQUET

log = logging.getLogger(__name__)

_COLUMN, _WEIGHT = 360, 30  # bytes that the library takes for a feature: of bins, and of their values
_WIDEST = 2**31 - 1


def check(run: Run, channels: dict[str, Channel]) -> None:
    """What the channels must be to each other, and to the flags that concern them."""
    media = {name: table.media for name, table in run.data.items()}
    if len({kind for kind in media.values() if kind}) > 1:
        kinds = ", ".join(f"'{name}' is {kind}" for name, kind in media.items())
        raise UserError(f"the channels must hold one content type, but {kinds}: convert one of them")
    if run.setting.hyperparameters.use_dask_gpu_training != "true":
        return
    for name, table in run.data.items():
        problem = None
        if table.mode == "Pipe":
            problem = f"File mode, but channel '{name}' is a Pipe"
        elif table.media not in (CSV, PARQUET):
            problem = f"CSV or Parquet, but channel '{name}' is {table.media}"
        elif (
            table.distribution != "FullyReplicated"
            and run.setting.cluster.size > run.setting.cluster.processes
        ):
            problem = f"FullyReplicated data on several hosts, but channel '{name}' is {table.distribution}"
        if problem:
            raise UserError(f"use_dask_gpu_training=true needs {problem}; change it, or leave the flag out")


def width(run: Run, channels: dict[str, Channel]) -> int | None:
    """The number of features on all hosts; None if any was told to stop while it read. Raises UserError where
    channels differ, or no host has a row."""
    cluster = run.setting.cluster
    mine = [[channel.width, channel.rows, run.stopped()] for channel in channels.values()]
    facts = np.stack(cluster.gather(np.array(mine, np.int64)))  # (hosts, channels, 3)
    if facts[:, :, 2].any():
        return None
    _require_rows(dict(zip(channels, facts[:, :, 1].T, strict=True)), run.setting.hyperparameters)
    widths = facts[:, :, 0].max(axis=0)
    is_libsvm = run.data["train"].media == LIBSVM
    if not is_libsvm:
        _require_one_width(dict(zip(channels, facts[:, :, 0].T, strict=True)))
    if not channels["train"].rows:
        log.warning("This host received no training data; it takes part without")
    most = int(widths.max())
    _check_width(run.setting.hyperparameters, most)
    return most


def names(run: Run, hyperparameters: Hyperparameters, width: int) -> tuple[str, ...]:
    """The names of the features of train; none where its files name none, or not one for each feature.
    Raises UserError where hosts found the columns in another order."""
    columns = agreed_columns(run.data["train"].columns, run.setting.cluster) or ()
    features = columns[1 + hyperparameters.csv_weights * (run.data["train"].media == CSV) :]
    return tuple(features) if len(features) == width else ()


def _require_one_width(widths: dict[str, np.ndarray]) -> None:
    """widths: for each channel, the features of each host's rows (hosts,), 0 where it has none."""
    first: tuple[int, str] | None = None
    for name, hosts in widths.items():
        for host, width in enumerate(hosts.tolist()):
            where = f"channel '{name}'" + (f" on host {host + 1} of {len(hosts)}" if len(hosts) > 1 else "")
            if width and first is None:
                first = width, where
            elif width and first is not None and width != first[0]:
                raise UserError(
                    f"{where} has rows of {_features(width)}, but {first[1]} of {first[0]}: every row of "
                    "train and validation must have as many, the label not counted"
                )


def _features(count: int) -> str:
    return f"{count} feature" if count == 1 else f"{count} features"


def _check_width(hyperparameters: Hyperparameters, width: int) -> None:
    """Raises UserError for rows without features, for more of them than the machine holds, and for
    constraints of features that there are not, of which the library says nothing."""
    if not width:
        raise UserError("the rows of channel 'train' hold labels, but no features")
    size = width * (
        _COLUMN
        if hyperparameters.booster != "gblinear" and hyperparameters.tree_method != "exact"
        else _WEIGHT
    )
    gaps = "number the features from 0, without gaps"
    if width > _WIDEST:
        raise UserError(f"the largest index makes {width} features, more than {_WIDEST}: {gaps}")
    memory.require(size, f"the largest index makes {width} features, which without any row", gaps)
    groups: list[list[int]] = json.loads(hyperparameters.interaction_constraints or "[]")
    beyond = sorted({feature for group in groups for feature in group if feature >= width})
    if beyond:
        raise UserError(
            f"interaction_constraints names feature {beyond[0]}, but the data have {width}, counted from 0"
        )


def _require_rows(rows_of_hosts: dict[str, np.ndarray], hyperparameters: Hyperparameters) -> None:
    """found: for each channel, the rows of each host (hosts,)."""
    if not rows_of_hosts["train"].any():
        raise UserError("No hosts received training data.")
    for name, rows in rows_of_hosts.items():
        if not rows.any():
            raise UserError(f"No data in {name} channel path: put files there, or leave the channel out")
    if (
        hyperparameters.objective == "reg:quantileerror"
        and hyperparameters.base_score is None
        and not rows_of_hosts["train"].all()
    ):
        raise UserError(
            "a host has no training rows, of which reg:quantileerror estimates where to begin: set "
            "base_score, or give every host a share"
        )

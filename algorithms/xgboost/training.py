"""A job from its channels to a model: the library boosts, this prepares, watches and resumes."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import xgboost
from xgboost.core import XGBoostError

from optml.algorithms.base import Run
from optml.algorithms.cluster import difference
from optml.algorithms.xgboost import agreement, boosters, engine
from optml.algorithms.xgboost.boosters import Native
from optml.algorithms.xgboost.boosting import BoostingPlan, boost
from optml.algorithms.xgboost.checkpoints import CHECKSUM, Checkpoints
from optml.algorithms.xgboost.files import models
from optml.algorithms.xgboost.hosts import communicator
from optml.algorithms.xgboost.hyperparameters import Hyperparameters
from optml.algorithms.xgboost.matrix import Channel, join, stream, whole
from optml.algorithms.xgboost.model import Model
from optml.errors import UserError

log = logging.getLogger(__name__)

LEVELS = (logging.ERROR, logging.INFO, logging.INFO, logging.DEBUG)  # of the log, by verbosity

# The library's own words for what only the user can mend.
USERS = (
    "label must", "label and prediction size not match", "multiclass", "base_score", "greater than 0",
    "non-negative", "nonnegative", "Parameter ", "Invalid Input", "Unknown ", "ataset only contains",
    "feature_names mismatch", "preds.size() == info.labels", "preds.Size() == info.labels", "supported",
    "n_features", "should be", "elevance deg", "doesn't support", "can only be used", "can not be used",
    "not support", "Out of range", "cannot be 0", "must be in",
)  # fmt: skip


def fit(run: Run) -> Model | None:
    """Train (`Algorithm.fit`). None: stopped, and save_model_on_termination is false."""
    hyperparameters: Hyperparameters = run.setting.hyperparameters
    if {"verbosity", "silent"} & hyperparameters.model_fields_set:
        logging.getLogger(__package__).setLevel(
            LEVELS[0 if hyperparameters.silent else hyperparameters.verbosity]
        )
    cluster = run.setting.cluster
    gpus = 0 if run.setting.device == "cpu" else cluster.processes
    log.info("Determined %d GPU(s) available on the instance.", gpus)
    log.info("Running XGBoost Sagemaker in algorithm mode")
    if hyperparameters.early_stopping_rounds and "validation" not in run.data and not hyperparameters.kfold:
        raise UserError(
            f"early_stopping_rounds={hyperparameters.early_stopping_rounds} needs the channel 'validation', "
            "which was not given"
        )
    plan = BoostingPlan.of(run)
    channels = {name: Channel(name, table, hyperparameters) for name, table in run.data.items()}
    agreement.check(run, channels)
    width = agreement.width(run, channels)
    if width is None:
        return None
    if cluster.size == 1:
        log.info("Single node training.")
    else:
        log.info("Distributed node training with %d processes", cluster.size)
    plan = replace(plan, names=agreement.names(run, hyperparameters, width))
    log.info("Train matrix has %d rows and %d columns", channels["train"].rows, width)
    entries = channels["train"].entries
    if entries is not None and entries < channels["train"].rows * width:
        log.info(
            "What a row of the channel 'train' leaves out is a missing value, not 0: leave it out of "
            "requests too, in CSV by an empty cell (1,,3); a 0 there may get another answer"
        )
    if "validation" in channels:
        log.info("Validation matrix has %d rows", channels["validation"].rows)
    try:
        with communicator(cluster):
            if hyperparameters.kfold:
                from optml.algorithms.xgboost.folds import cross_validate

                return cross_validate(plan, channels, width)
            return _one(plan, channels, width)
    except XGBoostError as error:
        raise explain(error) from error
    except InterruptedError:
        return None


def _one(plan: BoostingPlan, channels: dict[str, Channel], width: int) -> Model | None:
    """The usual job: one booster."""
    run, hyperparameters = plan.run, plan.hyperparameters
    start = _warm_start(plan)
    bins = engine.histogram(hyperparameters) and start is None

    def matrix(name: str, ref: xgboost.DMatrix | None = None) -> xgboost.DMatrix:
        channel = channels[name]
        if bins:
            return stream(lambda: channel.blocks(width), hyperparameters, ref)
        return whole(join(channel.blocks(width)), hyperparameters)

    train = matrix("train")
    evals = [(train, "train")]
    if "validation" in channels:
        evals.append((matrix("validation", train), "validation"))
    checkpoints = Checkpoints(run.checkpoints) if run.checkpoints else None
    outcome = boost(plan, evals, checkpoints, start, last=hyperparameters.save_model_on_termination == "true")
    if outcome.halted and hyperparameters.save_model_on_termination == "false":
        log.info("Stopped; with save_model_on_termination=true there would be a model")
        return None
    _require_objective(plan, outcome.values)
    return Model([Native(outcome.booster, run.setting.device)], feature_names=plan.names)


def _warm_start(plan: BoostingPlan) -> xgboost.Booster | None:
    """The model of the channel 'model'. Raises UserError where nothing can go on from it."""
    hyperparameters = plan.hyperparameters
    folder = plan.run.setting.warm_start
    if folder is None:
        if hyperparameters.process_type == "update":
            raise UserError("process_type=update revises a model: give it in the channel 'model'")
        return None
    paths = models(folder)
    if len(paths) != 1:
        raise UserError(f"channel 'model' holds {len(paths)} XGBoost models; training goes on from one")
    member = boosters.read(paths[0])
    if not isinstance(member, Native):
        raise UserError(
            f"{paths[0].name} in channel 'model' was written by an XGBoost before 3.0, from which none can "
            "go on; save it as JSON with the version that trained it"
        )
    names = boosters.feature_names(member.booster)
    if names and plan.names and names != plan.names:
        place, name, other = difference(names, plan.names)
        raise UserError(
            f"feature {place + 1} is '{name}' in the model of channel 'model', but '{other}' in channel "
            "'train': put the columns in the order of the earlier job"
        )
    member.booster.set_attr(best_iteration=None, best_score=None, **{CHECKSUM: None})
    member.booster.feature_names = None  # the library would want them of the matrices too
    return member.booster


def _require_objective(plan: BoostingPlan, values: list[tuple[str, float]]) -> None:
    values_of_metric = [
        value
        for name, value in values
        if plan.tuned_metric and name.startswith(f"validation-{plan.tuned_metric}")
    ]
    if values_of_metric and math.isnan(values_of_metric[-1]):
        raise UserError(
            f"metric validation:{plan.tuned_metric} is nan at the end of training: lower eta, or look for "
            "extreme values"
        )


def explain(error: XGBoostError) -> Exception:
    """The library's error as the user's, where it is one."""
    reason = boosters.reason(error)
    if any(phrase in reason for phrase in USERS):
        return UserError(f"XGBoost refuses the data or hyperparameters: {reason}")
    return RuntimeError(f"XGB train call failed with exception: {reason}")

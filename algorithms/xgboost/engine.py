"""Hyperparameters as the installed library takes them."""

from __future__ import annotations

import logging
from typing import Any

from optml.algorithms.xgboost.hyperparameters import Hyperparameters
from optml.algorithms.xgboost.names import base_name, ours
from optml.errors import UserError

log = logging.getLogger(__name__)

# Spent here, never handed on.
CONSUMED = {
    "num_round", "csv_weights", "early_stopping_rounds", "kfold", "num_cv_round", "eval_metric", "device",
    "save_model_on_termination", "use_dask_gpu_training", "silent", "allow_native_hyperparameters",
    "objective",
}  # fmt: skip
# Of engines before 3: the library would say that it does not use them.
GONE = (
    "predictor", "dsplit", "sketch_eps", "deterministic_histogram", "single_precision_histogram",
    "lambda_bias", "prob_buffer_row",
)  # fmt: skip


def parameters(h: Hyperparameters, metrics: list[str], device: str, seed: int) -> dict[str, Any]:
    """The library's parameters: what was given, translated. metrics: those to print, the container's too.

    Logs a line for each that has no effect any more.
    """
    given = h.model_fields_set
    chosen: dict[str, Any] = {}
    for name in type(h).model_fields:
        if name in given and getattr(h, name) is not None and name not in CONSUMED:
            chosen[name.rstrip("_")] = getattr(h, name)
    for name in GONE:
        if chosen.pop(name, None) is not None:
            log.warning("Hyperparameter %s has no effect: XGBoost knows it no more", name)
    chosen |= h.model_extra or {}
    chosen["objective"] = "reg:squarederror" if h.objective == "reg:linear" else h.objective
    if chosen.get("num_class") and not h.objective.startswith("multi:"):
        log.warning("num_class=%d has no effect with objective %s", h.num_class, h.objective)
        del chosen["num_class"]
    if h.tree_method == "gpu_hist":
        chosen["tree_method"] = "hist"
    if h.silent:
        chosen.setdefault("verbosity", 0)
    for name in ("updater", "monotone_constraints"):
        if name in chosen:
            items = ",".join(map(str, chosen[name]))
            chosen[name] = items if name == "updater" else f"({items})"
    if "quantile_alpha" in chosen:
        chosen["quantile_alpha"] = list(h.quantile_alpha or ())
    engine = [_metric(metric, h) for metric in metrics if not ours(metric, h.objective)]
    if engine:
        chosen["eval_metric"] = engine
    chosen["device"] = h.device if h.device.startswith("cuda:") else device
    chosen["seed"] = seed
    return chosen


def _metric(name: str, h: Hyperparameters) -> str:
    """The library takes one of its metrics only with its parameter."""
    return f"{name}@{h.tweedie_variance_power:g}" if name == "tweedie-nloglik" else name


def metrics(h: Hyperparameters, tuned: str | None) -> list[str]:
    """The metrics of each round: those asked for and the tuning job's, sorted where there are both.

    Raises UserError for a tuning job's metric that the objective cannot have."""
    asked = list(dict.fromkeys(h.eval_metric or ()))
    wanted = tuned.partition(":")[2] if tuned else ""
    if not wanted or wanted in asked:
        return asked
    from optml.algorithms.xgboost.rules import metric_problems

    problems = list(metric_problems(h, wanted))
    if problems:
        raise UserError("\n".join(problems))
    return sorted([*asked, wanted]) if asked else [wanted]


def driver(h: Hyperparameters, tuned: str | None) -> str | None:
    """The metric of early stopping: the tuning job's, else the last one given; None: the objective's own."""
    if tuned:
        return tuned.partition(":")[2]
    return h.eval_metric[-1] if h.eval_metric else None


def bare(metric: str, name: str) -> bool:
    """Does the library's `name` (`ndcg@32`) stand for the metric (`ndcg`)?"""
    return name == metric or base_name(name) == metric


def histogram(h: Hyperparameters) -> bool:
    """Are trees grown on bins of quantiles, so that the values themselves need not be kept?"""
    return (
        h.booster != "gblinear"
        and h.tree_method in ("auto", "hist", "gpu_hist")
        and h.updater is None
        and h.process_type == "default"
    )


def draws(h: Hyperparameters) -> bool:
    """Is anything of a round drawn at random?"""
    if h.booster == "gblinear":
        return h.feature_selector in ("shuffle", "random")
    shares = (h.subsample, h.colsample_bytree, h.colsample_bylevel, h.colsample_bynode)
    return min(shares) < 1 or (h.booster == "dart" and (h.rate_drop > 0 or h.one_drop > 0))


def growers(h: Hyperparameters) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The parameters that say how trees are grown, and others that say another way; None of linear models."""
    if h.booster == "gblinear":
        return None
    if h.updater is not None:
        own = ",".join(h.updater)
        other = "grow_histmaker" if own == "grow_quantile_histmaker" else "grow_quantile_histmaker"
        return {"updater": own}, {"updater": other}
    own = "hist" if h.tree_method == "gpu_hist" else h.tree_method
    return {"tree_method": own}, {"tree_method": "hist" if own in ("approx", "exact") else "approx"}

"""Hyperparameters as the installed library takes them."""

from __future__ import annotations

import logging
from typing import Any

from optml.algorithms.xgboost.hyperparameters import Hyperparameters
from optml.algorithms.xgboost.names import base_name, ours
from optml.errors import UserError

log = logging.getLogger(__name__)

# Used by the job itself, never passed to the library.
OWN = {
    "num_round", "csv_weights", "early_stopping_rounds", "kfold", "num_cv_round", "eval_metric", "device",
    "save_model_on_termination", "use_dask_gpu_training", "silent", "allow_native_hyperparameters",
    "objective",
}  # fmt: skip
# Parameters of engines before 3: the library would say that it does not use them.
OBSOLETE = (
    "predictor", "dsplit", "sketch_eps", "deterministic_histogram", "single_precision_histogram",
    "lambda_bias", "prob_buffer_row",
)  # fmt: skip


def parameters(
    hyperparameters: Hyperparameters, metrics: list[str], device: str, seed: int
) -> dict[str, Any]:
    """The library's parameters: what was given, translated. metrics: those to print, the container's too.

    Logs a line for each that has no effect any more.
    """
    names_given = hyperparameters.model_fields_set
    parameters_of_library: dict[str, Any] = {}
    for name in type(hyperparameters).model_fields:
        if name in names_given and getattr(hyperparameters, name) is not None and name not in OWN:
            parameters_of_library[name.rstrip("_")] = getattr(hyperparameters, name)
    for name in OBSOLETE:
        if parameters_of_library.pop(name, None) is not None:
            log.warning("Hyperparameter %s has no effect: XGBoost knows it no more", name)
    parameters_of_library |= hyperparameters.model_extra or {}
    parameters_of_library["objective"] = (
        "reg:squarederror" if hyperparameters.objective == "reg:linear" else hyperparameters.objective
    )
    if parameters_of_library.get("num_class") and not hyperparameters.objective.startswith("multi:"):
        log.warning(
            "num_class=%d has no effect with objective %s",
            hyperparameters.num_class,
            hyperparameters.objective,
        )
        del parameters_of_library["num_class"]
    if hyperparameters.tree_method == "gpu_hist":
        parameters_of_library["tree_method"] = "hist"
    if hyperparameters.silent:
        parameters_of_library.setdefault("verbosity", 0)
    for name in ("updater", "monotone_constraints"):
        if name in parameters_of_library:
            items = ",".join(map(str, parameters_of_library[name]))
            parameters_of_library[name] = items if name == "updater" else f"({items})"
    if "quantile_alpha" in parameters_of_library:
        parameters_of_library["quantile_alpha"] = list(hyperparameters.quantile_alpha or ())
    engine = [
        _metric(metric, hyperparameters) for metric in metrics if not ours(metric, hyperparameters.objective)
    ]
    if engine:
        parameters_of_library["eval_metric"] = engine
    parameters_of_library["device"] = (
        hyperparameters.device if hyperparameters.device.startswith("cuda:") else device
    )
    parameters_of_library["seed"] = seed
    return parameters_of_library


def _metric(name: str, hyperparameters: Hyperparameters) -> str:
    """The library takes one of its metrics only with its parameter."""
    return f"{name}@{hyperparameters.tweedie_variance_power:g}" if name == "tweedie-nloglik" else name


def metrics(hyperparameters: Hyperparameters, tuned: str | None) -> list[str]:
    """The metrics of each round: those asked for and the tuning job's, sorted where there are both.

    Raises UserError for a tuning job's metric that the objective cannot have."""
    names = list(dict.fromkeys(hyperparameters.eval_metric or ()))
    metric = tuned.partition(":")[2] if tuned else ""
    if not metric or metric in names:
        return names
    from optml.algorithms.xgboost.rules import metric_problems

    problems = list(metric_problems(hyperparameters, metric))
    if problems:
        raise UserError("\n".join(problems))
    return sorted([*names, metric]) if names else [metric]


def driver(hyperparameters: Hyperparameters, tuned: str | None) -> str | None:
    """The metric of early stopping: the tuning job's, else the last one given; None: the objective's own."""
    if tuned:
        return tuned.partition(":")[2]
    return hyperparameters.eval_metric[-1] if hyperparameters.eval_metric else None


def bare(metric: str, name: str) -> bool:
    """Does the library's `name` (`ndcg@32`) stand for the metric (`ndcg`)?"""
    return name == metric or base_name(name) == metric


def histogram(hyperparameters: Hyperparameters) -> bool:
    """Are trees grown on bins of quantiles, so that the values themselves need not be kept?"""
    return (
        hyperparameters.booster != "gblinear"
        and hyperparameters.tree_method in ("auto", "hist", "gpu_hist")
        and hyperparameters.updater is None
        and hyperparameters.process_type == "default"
    )


def draws(hyperparameters: Hyperparameters) -> bool:
    """Is anything of a round drawn at random?"""
    if hyperparameters.booster == "gblinear":
        return hyperparameters.feature_selector in ("shuffle", "random")
    shares = (
        hyperparameters.subsample,
        hyperparameters.colsample_bytree,
        hyperparameters.colsample_bylevel,
        hyperparameters.colsample_bynode,
    )
    return min(shares) < 1 or (
        hyperparameters.booster == "dart" and (hyperparameters.rate_drop > 0 or hyperparameters.one_drop > 0)
    )


def growers(hyperparameters: Hyperparameters) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The parameters that say how trees are grown, and others that say another way; None of linear models."""
    if hyperparameters.booster == "gblinear":
        return None
    if hyperparameters.updater is not None:
        own = ",".join(hyperparameters.updater)
        other = "grow_histmaker" if own == "grow_quantile_histmaker" else "grow_quantile_histmaker"
        return {"updater": own}, {"updater": other}
    own = "hist" if hyperparameters.tree_method == "gpu_hist" else hyperparameters.tree_method
    return {"tree_method": own}, {"tree_method": "hist" if own in ("approx", "exact") else "approx"}

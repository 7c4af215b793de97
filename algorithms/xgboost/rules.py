"""What hyperparameters must agree on: one sentence a rule, in AWS's words where it has some."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import get_args

from optml.algorithms.xgboost.fields import Fields
from optml.algorithms.xgboost.names import BINARY_AVERAGE, CLASSIFICATION, base_name, is_classifier, threshold

GROWERS = {"grow_colmaker", "distcol", "grow_histmaker", "grow_quantile_histmaker"}
LINEAR = {"shotgun", "coord_descent"}
SUCCESSORS = {"distcol": "grow_histmaker", "grow_skmaker": "grow_histmaker"}  # of old updaters
THRESHOLDS = ("error", "ndcg", "map")


def problems(hyperparameters: Fields) -> Iterator[str]:
    """Every rule that is broken."""
    yield from _classes(hyperparameters)
    for metric in hyperparameters.eval_metric or ():
        yield from metric_problems(hyperparameters, metric)
    yield from _updaters(hyperparameters)
    yield from _constraints(hyperparameters)
    yield from _exact(hyperparameters)
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", hyperparameters.device):
        yield f"Hyperparameter device: {hyperparameters.device} is not in ['auto', 'cpu', 'cuda', 'cuda:N']"
    if hyperparameters.max_bin < 2:
        yield (
            f"Hyperparameter max_bin: {hyperparameters.max_bin} is not in [2, +inf): a feature needs two "
            "bins at least"
        )
    if (
        hyperparameters.max_depth == 0
        and hyperparameters.max_leaves == 0
        and hyperparameters.booster != "gblinear"
    ):
        yield "max_depth=0 sets no limit to trees: give max_leaves, or a depth"
    if hyperparameters.huber_slope == 0:
        yield "Hyperparameter huber_slope: 0 leaves nothing of the loss; give any other number"
    if hyperparameters.multi_strategy == "multi_output_tree" and hyperparameters.tree_method not in (
        "auto",
        "hist",
        "gpu_hist",
    ):
        yield f"multi_strategy=multi_output_tree needs tree_method hist, not {hyperparameters.tree_method}"
    if hyperparameters.objective == "reg:quantileerror" and not hyperparameters.quantile_alpha:
        yield "objective reg:quantileerror needs quantile_alpha: the levels, as in quantile_alpha=0.1,0.5,0.9"
    if not all(0 < level < 1 for level in hyperparameters.quantile_alpha or ()):
        yield "Hyperparameter quantile_alpha: a level is not in (0, 1)"
    if hyperparameters.use_dask_gpu_training == "true" and hyperparameters.tree_method not in (
        "auto",
        "hist",
        "gpu_hist",
    ):
        yield (
            "use_dask_gpu_training=true needs tree_method hist or gpu_hist, not "
            f"{hyperparameters.tree_method}"
        )


def _classes(hyperparameters: Fields) -> Iterator[str]:
    multi = hyperparameters.objective.startswith("multi:")
    if multi and hyperparameters.num_class is None:
        yield "Require input for parameter 'num_class' for multi-classification"
    if not multi and (hyperparameters.num_class or 0) > 2:
        yield (
            f"num_class={hyperparameters.num_class} goes with objective multi:softmax or multi:softprob, not "
            f"with {hyperparameters.objective}: choose one of these, or leave num_class out"
        )


def metric_problems(hyperparameters: Fields, metric: str) -> Iterator[str]:
    from optml.algorithms.xgboost.names import EvalMetric

    name = base_name(metric)
    names = [word for word in get_args(EvalMetric) if "@" not in word]
    if "@" in metric:
        if name not in (*THRESHOLDS, "tweedie-nloglik"):
            yield (
                f"Metric '{metric}' is not supported. Parameter 'eval_metric' with customized threshold "
                f"should be one of these options: {', '.join(map(repr, THRESHOLDS))}."
            )
            return
        if threshold(metric) is None:
            after = metric.partition("@")[2]
            yield f"Threshold value '{after}' in '{metric}' expects float input."
            return
    elif metric not in names:
        yield f"Hyperparameter eval_metric: {metric} is not in {names}"
        return
    if name == "auc" and not hyperparameters.objective.startswith(("binary:", "rank:", "multi:softprob")):
        yield (
            f"Metric '{name}' can only be applied for classification and ranking problems. "
            f"The objective is {hyperparameters.objective}"
        )
    if (
        name in ("aft-nloglik", "interval-regression-accuracy")
        and hyperparameters.objective != "survival:aft"
    ):
        yield (
            f"Metric '{name}' can only be applied with objective survival:aft, not with "
            f"{hyperparameters.objective}"
        )
    if name in CLASSIFICATION and not is_classifier(hyperparameters.objective):
        yield (
            f"Metric '{name}' needs an objective of classes (binary:*, multi:*), not "
            f"{hyperparameters.objective}"
        )
    if name in BINARY_AVERAGE and hyperparameters.objective.startswith("multi:"):
        yield f"Metric '{name}': Target is multiclass but average='binary'. Use {BINARY_AVERAGE[name]}"


def _exact(hyperparameters: Fields) -> Iterator[str]:
    """What the exact search for splits cannot do."""
    if hyperparameters.booster == "gblinear" or not (
        hyperparameters.tree_method == "exact" or "grow_colmaker" in (hyperparameters.updater or ())
    ):
        return
    for is_set, name in (
        (hyperparameters.max_depth == 0, "max_depth=0 (no limit)"),
        (hyperparameters.colsample_bynode < 1, f"colsample_bynode={hyperparameters.colsample_bynode:g}"),
        (hyperparameters.sampling_method != "uniform", f"sampling_method={hyperparameters.sampling_method}"),
    ):
        if is_set:
            yield f"{name} does not go with tree_method=exact: use tree_method=hist, or leave it out"


def _updaters(hyperparameters: Fields) -> Iterator[str]:
    shotgun = hyperparameters.booster == "gblinear" and hyperparameters.updater in (None, ("shotgun",))
    if shotgun and hyperparameters.feature_selector not in (None, "cyclic", "shuffle"):
        yield f"feature_selector={hyperparameters.feature_selector} needs updater=coord_descent, not shotgun"
    if hyperparameters.updater is None:
        if hyperparameters.process_type == "update" and hyperparameters.booster != "gblinear":
            yield "process_type=update needs to be told what to do: updater=refresh, prune, or both"
        return
    chain = ",".join(hyperparameters.updater)
    if hyperparameters.booster == "gblinear":
        if len(hyperparameters.updater) != 1 or hyperparameters.updater[0] not in LINEAR:
            yield f"Linear updater should be one of these options: 'shotgun', 'coord_descent'; found {chain}"
        return
    if LINEAR & set(hyperparameters.updater):
        yield f"updater {chain} goes with booster=gblinear, not with {hyperparameters.booster}"
    elif hyperparameters.process_type == "update":
        if not set(hyperparameters.updater) <= {"refresh", "prune"}:
            yield f"process_type=update can only be used with updater 'refresh' and 'prune'; found {chain}"
    elif len(GROWERS & set(hyperparameters.updater)) > 1:
        yield f"Only one tree grow plugin can be selected; found {chain}"
    elif hyperparameters.updater[0] not in {*GROWERS, *SUCCESSORS, "sync"} or set(
        hyperparameters.updater
    ) == {"sync"}:
        yield (
            f"updater {chain} grows no tree: begin with grow_histmaker, or to revise trees set "
            "process_type=update"
        )
    for name in hyperparameters.updater:
        if name in SUCCESSORS:
            yield (
                f"updater {name} is gone from XGBoost {_engine()}; {SUCCESSORS[name]} is the nearest that "
                "it has"
            )


def _engine() -> str:
    from importlib.metadata import PackageNotFoundError, version

    for package in ("xgboost", "xgboost-cpu"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "3"


def _constraints(hyperparameters: Fields) -> Iterator[str]:
    for name in ("monotone_constraints", "interaction_constraints"):
        if getattr(hyperparameters, name) is not None and hyperparameters.booster == "gblinear":
            yield f"{name} is about trees, but booster is gblinear: leave one out"
    text = hyperparameters.interaction_constraints
    if text is None:
        return
    try:
        groups = json.loads(text)
        whole = isinstance(groups, list) and all(
            isinstance(group, list) and all(isinstance(item, int) and item >= 0 for item in group)
            for group in groups
        )
    except ValueError:
        whole = False
    if not whole:
        yield (
            f"Hyperparameter interaction_constraints: could not parse value '{text[:100]}'; expected groups "
            "of feature indices, as in [[0,1],[2,3,4]]"
        )

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
GONE = {"distcol": "grow_histmaker", "grow_skmaker": "grow_histmaker"}  # -> the nearest that is alive
THRESHOLDS = ("error", "ndcg", "map")


def problems(h: Fields) -> Iterator[str]:
    """Every rule that is broken."""
    yield from _classes(h)
    for metric in h.eval_metric or ():
        yield from metric_problems(h, metric)
    yield from _updaters(h)
    yield from _constraints(h)
    yield from _exact(h)
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", h.device):
        yield f"Hyperparameter device: {h.device} is not in ['auto', 'cpu', 'cuda', 'cuda:N']"
    if h.max_bin < 2:
        yield f"Hyperparameter max_bin: {h.max_bin} is not in [2, +inf): a feature needs two bins at least"
    if h.max_depth == 0 and h.max_leaves == 0 and h.booster != "gblinear":
        yield "max_depth=0 sets no limit to trees: give max_leaves, or a depth"
    if h.huber_slope == 0:
        yield "Hyperparameter huber_slope: 0 leaves nothing of the loss; give any other number"
    if h.multi_strategy == "multi_output_tree" and h.tree_method not in ("auto", "hist", "gpu_hist"):
        yield f"multi_strategy=multi_output_tree needs tree_method hist, not {h.tree_method}"
    if h.objective == "reg:quantileerror" and not h.quantile_alpha:
        yield "objective reg:quantileerror needs quantile_alpha: the levels, as in quantile_alpha=0.1,0.5,0.9"
    if not all(0 < level < 1 for level in h.quantile_alpha or ()):
        yield "Hyperparameter quantile_alpha: a level is not in (0, 1)"
    if h.use_dask_gpu_training == "true" and h.tree_method not in ("auto", "hist", "gpu_hist"):
        yield f"use_dask_gpu_training=true needs tree_method hist or gpu_hist, not {h.tree_method}"


def _classes(h: Fields) -> Iterator[str]:
    multi = h.objective.startswith("multi:")
    if multi and h.num_class is None:
        yield "Require input for parameter 'num_class' for multi-classification"
    if not multi and (h.num_class or 0) > 2:
        yield (
            f"num_class={h.num_class} goes with objective multi:softmax or multi:softprob, not with "
            f"{h.objective}: choose one of these, or leave num_class out"
        )


def metric_problems(h: Fields, metric: str) -> Iterator[str]:
    from optml.algorithms.xgboost.names import EvalMetric

    name = base_name(metric)
    known = [word for word in get_args(EvalMetric) if "@" not in word]
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
    elif metric not in known:
        yield f"Hyperparameter eval_metric: {metric} is not in {known}"
        return
    if name == "auc" and not h.objective.startswith(("binary:", "rank:", "multi:softprob")):
        yield (
            f"Metric '{name}' can only be applied for classification and ranking problems. "
            f"The objective is {h.objective}"
        )
    if name in ("aft-nloglik", "interval-regression-accuracy") and h.objective != "survival:aft":
        yield f"Metric '{name}' can only be applied with objective survival:aft, not with {h.objective}"
    if name in CLASSIFICATION and not is_classifier(h.objective):
        yield f"Metric '{name}' needs an objective of classes (binary:*, multi:*), not {h.objective}"
    if name in BINARY_AVERAGE and h.objective.startswith("multi:"):
        yield f"Metric '{name}': Target is multiclass but average='binary'. Use {BINARY_AVERAGE[name]}"


def _exact(h: Fields) -> Iterator[str]:
    """What the exact search for splits cannot do."""
    if h.booster == "gblinear" or not (h.tree_method == "exact" or "grow_colmaker" in (h.updater or ())):
        return
    for given, name in (
        (h.max_depth == 0, "max_depth=0 (no limit)"),
        (h.colsample_bynode < 1, f"colsample_bynode={h.colsample_bynode:g}"),
        (h.sampling_method != "uniform", f"sampling_method={h.sampling_method}"),
    ):
        if given:
            yield f"{name} does not go with tree_method=exact: use tree_method=hist, or leave it out"


def _updaters(h: Fields) -> Iterator[str]:
    shotgun = h.booster == "gblinear" and h.updater in (None, ("shotgun",))
    if shotgun and h.feature_selector not in (None, "cyclic", "shuffle"):
        yield f"feature_selector={h.feature_selector} needs updater=coord_descent, not shotgun"
    if h.updater is None:
        if h.process_type == "update" and h.booster != "gblinear":
            yield "process_type=update needs to be told what to do: updater=refresh, prune, or both"
        return
    chain = ",".join(h.updater)
    if h.booster == "gblinear":
        if len(h.updater) != 1 or h.updater[0] not in LINEAR:
            yield f"Linear updater should be one of these options: 'shotgun', 'coord_descent'; found {chain}"
        return
    if LINEAR & set(h.updater):
        yield f"updater {chain} goes with booster=gblinear, not with {h.booster}"
    elif h.process_type == "update":
        if not set(h.updater) <= {"refresh", "prune"}:
            yield f"process_type=update can only be used with updater 'refresh' and 'prune'; found {chain}"
    elif len(GROWERS & set(h.updater)) > 1:
        yield f"Only one tree grow plugin can be selected; found {chain}"
    elif h.updater[0] not in {*GROWERS, *GONE, "sync"} or set(h.updater) == {"sync"}:
        yield (
            f"updater {chain} grows no tree: begin with grow_histmaker, or to revise trees set "
            "process_type=update"
        )
    for name in h.updater:
        if name in GONE:
            yield f"updater {name} is gone from XGBoost {_engine()}; {GONE[name]} is the nearest that it has"


def _engine() -> str:
    from importlib.metadata import PackageNotFoundError, version

    for package in ("xgboost", "xgboost-cpu"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "3"


def _constraints(h: Fields) -> Iterator[str]:
    for name in ("monotone_constraints", "interaction_constraints"):
        if getattr(h, name) is not None and h.booster == "gblinear":
            yield f"{name} is about trees, but booster is gblinear: leave one out"
    text = h.interaction_constraints
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

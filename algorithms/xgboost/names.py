"""Names of metrics and objectives, and what follows from a name alone."""

from __future__ import annotations

from typing import Literal

# Metrics that a larger value of is better; of the others, a smaller.
MAXIMIZED = frozenset({
    "accuracy", "auc", "aucpr", "balanced_accuracy", "f1", "f1_binary", "f1_macro", "map", "ndcg",
    "precision", "precision_macro", "precision_micro", "r2", "recall", "recall_macro", "recall_micro",
})  # fmt: skip

MINIMIZED = (
    "aft-nloglik", "cox-nloglik", "error", "gamma-deviance", "gamma-nloglik", "interval-regression-accuracy",
    "logloss", "mae", "mape", "merror", "mlogloss", "mphe", "mse", "poisson-nloglik", "rmse", "rmsle",
    "tweedie-nloglik",
)  # fmt: skip

# Computed here, of confusion counts and of sums; the rest by the library.
CLASSIFICATION = frozenset({
    "accuracy", "balanced_accuracy", "f1", "f1_binary", "f1_macro", "precision", "precision_macro",
    "precision_micro", "recall", "recall_macro", "recall_micro",
})  # fmt: skip
REGRESSION = frozenset({"mse", "r2"})

# Metrics of the positive class alone -> what to use with several classes.
BINARY_AVERAGE = {"f1_binary": "f1_macro", "precision": "precision_macro", "recall": "recall_macro"}


def base_name(metric: str) -> str:
    """`ndcg` of `ndcg@32`."""
    return metric.partition("@")[0]


def threshold(metric: str) -> float | None:
    """0.5 of `error@0.5`, `ndcg@3-` being 3 too; None where no number follows."""
    try:
        return float(metric.partition("@")[2].removesuffix("-"))
    except ValueError:
        return None


def is_classifier(objective: str) -> bool:
    return objective.startswith(("binary:", "multi:")) or objective == "reg:logistic"


def ours(metric: str, objective: str) -> bool:
    """Is a metric computed here, not by the library? Of classes it has no rmse and no mae."""
    multi = objective.startswith("multi:")
    return metric in CLASSIFICATION | REGRESSION or (multi and metric in ("rmse", "mae"))


EvalMetric = Literal[
    "accuracy", "auc", "aucpr", "balanced_accuracy", "f1", "f1_binary", "f1_macro", "map", "ndcg",
    "precision", "r2", "recall", "precision_macro", "precision_micro", "recall_macro", "recall_micro",
    "aft-nloglik", "cox-nloglik", "error", "gamma-deviance", "gamma-nloglik", "interval-regression-accuracy",
    "logloss", "mae", "mape", "merror", "mlogloss", "mphe", "mse", "poisson-nloglik", "rmse", "rmsle",
    "tweedie-nloglik", "error@t", "ndcg@t", "map@t",
]  # fmt: skip

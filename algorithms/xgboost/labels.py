"""Which labels an objective takes: told before training, by row, where the library would only say no."""

from __future__ import annotations

import numpy as np

from optml.algorithms.xgboost.hyperparameters import Hyperparameters
from optml.errors import UserError
from optml.formats.records import Records

_EXAMPLES = 3  # rows that one message names
_GRADES = 31  # of relevance: the gain of a grade is 2^grade - 1, in 32 bits


def check(records: Records, labels: np.ndarray, hyperparameters: Hyperparameters, channel: str) -> None:
    """Raises UserError that names the first rows whose labels (n,) the objective cannot take."""
    with np.errstate(over="ignore"):
        wrong = ~np.isfinite(labels.astype(np.float32))  # as the library keeps them
    expected, fix = "label must be a finite number of 32 bits", "remove such rows or fill the label in"
    if not wrong.any():
        wrong, expected, fix = _judge(labels, hyperparameters)
    rows = np.flatnonzero(wrong)[:_EXAMPLES].tolist()
    if rows:
        rows_named = ", ".join(f"{labels[row]:g} in {records.where(row)}" for row in rows)
        more = int(wrong.sum()) - len(rows)
        raise UserError(
            f"{expected} for objective {hyperparameters.objective}; channel '{channel}' has label "
            f"{rows_named}{f' and {more} more in this block' if more else ''}: {fix}"
        )


def _classes(labels: np.ndarray) -> str:
    """What to do about classes that are numbered wrongly, by those (n,) that a block holds."""
    least, most = labels.min(), labels.max()
    if (labels != np.floor(labels)).any() or least < 0:
        return "number the classes 0, 1, 2 and so on, and set num_class to how many there are"
    if least > 0:
        return (
            f"the classes seem to be numbered from {least:g} to {most:g}: subtract {least:g} from every "
            f"label and set num_class to {most - least + 1:g}, or leave them and set it to {most + 1:g}"
        )
    return f"set num_class to {most + 1:g} or more, as many as there are classes, of which 0 is one"


def _judge(labels: np.ndarray, hyperparameters: Hyperparameters) -> tuple[np.ndarray, str, str]:
    """Which labels are wrong, what was expected (in the library's words), and what to do."""
    objective = hyperparameters.objective
    if objective in ("binary:logistic", "binary:logitraw", "reg:logistic"):
        wrong = (labels < 0) | (labels > 1)
        return wrong, "label must be in [0,1] for logistic regression", "use 0 and 1, or another objective"
    if objective == "binary:hinge":
        wrong = (labels != 0) & (labels != 1)
        return wrong, "label must be 0 or 1 for the hinge loss", "use 0 and 1, or another objective"
    if objective.startswith("multi:"):
        count = hyperparameters.num_class or 0
        wrong = (labels < 0) | (labels >= count) | (labels != np.floor(labels))
        return wrong, f"label must be in [0, num_class) and whole, num_class being {count},", _classes(labels)
    if objective in ("count:poisson", "reg:tweedie"):
        name = "PoissonRegression" if objective == "count:poisson" else "TweedieRegression"
        return labels < 0, f"{name}: label must be nonnegative", "use another objective"
    if objective == "reg:gamma":
        return labels <= 0, "GammaRegression: label must be positive", "use another objective"
    if objective == "reg:squaredlogerror":
        return labels <= -1, "label must be greater than -1 for rmsle", "use another objective"
    if objective == "survival:aft":
        return labels <= 0, "label must be a positive time", "leave out what took no time"
    if objective == "rank:map":
        wrong = (labels != 0) & (labels != 1)
        return wrong, "relevance must be 0 or 1", "use these, or rank:ndcg for several grades"
    if objective.startswith("rank:"):
        most = np.inf if "ndcg_exp_gain" in (hyperparameters.model_extra or {}) else _GRADES
        wrong = (labels < 0) | (labels > most) | (labels != np.floor(labels))
        return wrong, f"relevance must be nonnegative, whole, and at most {most}", "grade relevance from 0"
    return np.zeros(len(labels), bool), "", ""

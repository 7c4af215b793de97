"""XGBoost: gradient boosted trees, by the library of that name."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from optml.algorithms.answers import Response
from optml.algorithms.base import (
    Algorithm,
    ChannelSpec,
    Compute,
    Inference,
    Model,
    Roles,
    Run,
    Training,
    lazy,
)
from optml.algorithms.metrics import MetricSpec
from optml.algorithms.xgboost.hyperparameters import Hyperparameters
from optml.algorithms.xgboost.names import MAXIMIZED, MINIMIZED
from optml.errors import UserError
from optml.formats.content_type import CSV, JSON, JSON_LINES, LIBSVM, PARQUET, RECORDIO_PROTOBUF

LAYOUT = (
    "One row is a label, then the features. LIBSVM: label[:weight] [qid:n] index:value..., absent values are "
    "missing. CSV: an empty cell, NA and the like are missing; with csv_weights=1 the second column is the "
    "weight. Parquet: the first column is the label, null is missing. Columns of Parquet, and of CSV with "
    "header=present, go by their names. Files in folders of up to three levels, the channel's own being the "
    "first."
)
CONTENT_TYPES = (
    LIBSVM,
    "text/x-libsvm",
    "libsvm",
    CSV,
    "csv",
    PARQUET,
    "parquet",
    RECORDIO_PROTOBUF,
    "recordio-protobuf",
)


_METRICS = (*sorted(MAXIMIZED), *MINIMIZED)


def _metric(name: str) -> MetricSpec:
    return MetricSpec(
        f"validation:{name}",
        f"[{{epoch}}]\ttrain-{name}:{{value}}\tvalidation-{name}:{{value}}",
        "Maximize" if name in MAXIMIZED else "Minimize",
        "validation channel given, and the metric in eval_metric, tuned for, or the objective's own",
        # CloudWatch shows a tab as #011; the library adds what a metric is cut at: ndcg@32
        regex=rf".*\[[0-9]+\].*(?:#011|\t)validation-{name}(?:@[^:\s]+)?:([^\s#]+)",
    )


def _of_train(name: str) -> MetricSpec:
    """What the same line says of the training rows; AWS does not publish it."""
    return MetricSpec(
        f"train:{name}",
        f"[{{epoch}}]\ttrain-{name}:{{value}}",
        regex=rf"\[[0-9]+\]\t(?:\S+\t)*train-{name}(?:@[^:\s]+)?:(\S+)",
    )


def _channel(name: str) -> ChannelSpec:
    return ChannelSpec(
        name,
        "train" if name == "train" else "validation",
        required=name == "train",
        content_types=CONTENT_TYPES,
        default_content_type=LIBSVM,
        depth=3,
        meaning=LAYOUT if name == "train" else "The same layout and content type; scored after every round.",
    )


# The library takes its time to import: only a job or a server does.
def _import() -> None:
    """Import the library without its wrappers for scikit-learn and its plots, which would take three quarters
    of a second more: none is used here, and it leaves them out where something that they need is absent."""
    hidden = {"sklearn", "xgboost.plotting"} - set(sys.modules) if "xgboost" not in sys.modules else set()
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # so that importing them fails
    try:
        import_module("xgboost")
    finally:
        for name in hidden:
            del sys.modules[name]


def _fit(run: Run) -> Model | None:
    _import()
    from optml.algorithms.xgboost.training import fit

    return fit(run)


def _load(folder: Path, device: str) -> Model:
    _import()
    from optml.algorithms.xgboost.model import load

    return load(folder, device)


def _joining(text: str) -> None:
    if text.strip().lower() not in ("", "comma"):
        raise UserError(f"environment variable OPTML_XGB_CSV_JOIN is '{text}'; expected comma, or nothing")


def _ensemble(text: str) -> None:
    if text.strip().lower() not in ("", "true", "false"):
        raise UserError(
            f"environment variable SAGEMAKER_INFERENCE_ENSEMBLE is '{text}'; expected true or false"
        )


def _selection(text: str) -> None:
    from optml.algorithms.xgboost.selection import require_known

    require_known(text)


def _recognises(folder: Path) -> bool:
    from optml.algorithms.xgboost.files import models

    return bool(models(folder))


ALGORITHM = Algorithm(
    slug="xgboost",
    title="XGBoost",
    task="gradient boosted trees: regression, binary and multiclass classification, ranking, survival",
    hyperparameters=Hyperparameters,
    training=Training(
        channels=(
            _channel("train"),
            _channel("validation"),
            ChannelSpec(
                "code",
                "auxiliary",
                content_types=("text/python",),
                default_content_type="text/python",
                input_modes=("File",),
                distribution=("FullyReplicated",),
                meaning="The SDK's script mode: not read here.",
            ),
        ),
        metrics=tuple(_metric(name) for name in _METRICS),
        roles=Roles(seed="seed", weighted="csv_weights"),
        fit=_fit,
        sparse=True,
        missing=True,
        printed=tuple(_of_train(name) for name in _METRICS),
    ),
    inference=Inference(
        content_types=(*CONTENT_TYPES, JSON, JSON_LINES),
        accepts=(CSV, JSON, JSON_LINES, RECORDIO_PROTOBUF),
        response=Response("predictions", ("score",)),
        load=_load,
        recognises=_recognises,
        encode=lazy("optml.algorithms.xgboost.answer:encode"),
        label_size=None,
        missing=True,
        judges_width=True,
        variables={
            "OPTML_XGB_CSV_JOIN": _joining,
            "SAGEMAKER_INFERENCE_ENSEMBLE": _ensemble,
            "SAGEMAKER_INFERENCE_OUTPUT": _selection,
        },
        refusals=(415, 204),
        answer_of_many=JSON,
        feature_names=lambda model: model.feature_names,
        picture=lazy("optml.algorithms.xgboost.picture:draw"),
    ),
    compute=Compute(gpu=True, multi_gpu=True, multi_machine=True, incremental=True),
)

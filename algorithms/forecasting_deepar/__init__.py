"""DeepAR: one autoregressive recurrent network for many time series, which forecasts distributions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from algorithms.base import (
    PROGRESS,
    THROUGHPUT,
    Algorithm,
    Answer,
    ChannelSpec,
    Columns,
    Compute,
    Learner,
    MetricSpec,
    Model,
    Response,
    Setting,
    Written,
)
from algorithms.forecasting_deepar.hyperparameters import Hyperparameters

SERIES = (
    "One series a record: start (YYYY-MM-DD HH:MM:SS), target (numbers; null or NaN where one is missing), "
    "cat (whole numbers from 0 on) and dynamic_feat (lists as long as target) where there are such. JSON "
    "lines (.json, .jsonl, .json.gz) or Parquet, in any folder below."
)
FORMATS = ("application/jsonlines", "json", "json.gz", "parquet", "auto")


def _learner(setting: Setting) -> Learner:
    from algorithms.forecasting_deepar.learner import Learner

    return Learner(setting)


def _data(source: Any, setting: Setting) -> Any:
    from algorithms.forecasting_deepar.data import data

    return data(source, setting)


def _load(folder: Path, device: str) -> Model:
    from algorithms.forecasting_deepar.model import load

    return load(folder, device)


def _recognises(folder: Path) -> bool:
    from algorithms.forecasting_deepar.aws import recognises

    return recognises(folder)


def _decode(body: bytes, media: str, model: Any) -> Any:
    from algorithms.forecasting_deepar.requests import decode

    return decode(body, media, model)


def _encode(columns: Columns, media: str, answer: Answer) -> Written:
    from algorithms.forecasting_deepar.requests import encode

    return encode(columns, media, answer)


def _picture(model: Any, batch: Any, path: Path) -> str:
    from algorithms.forecasting_deepar.picture import draw

    return draw(model, batch, path)


ALGORITHM = Algorithm(
    slug="forecasting-deepar",
    title="DeepAR",
    task="probabilistic forecasting of many time series by one autoregressive recurrent network",
    hyperparameters=Hyperparameters,
    channels=(
        ChannelSpec(
            "train",
            "train",
            required=True,
            content_types=FORMATS,
            default_content_type="auto",
            input_modes=("File", "FastFile"),
            meaning=SERIES,
        ),
        ChannelSpec(
            "test",
            "test",
            content_types=FORMATS,
            default_content_type="auto",
            input_modes=("File", "FastFile"),
            distribution=("FullyReplicated",),
            meaning="The same; the last prediction_length values of each series are withheld and forecast.",
        ),
    ),
    metrics=(
        MetricSpec(
            "test:RMSE",
            "#quality_metric: host={host}, test RMSE <loss>={value}",
            "Minimize",
            "test channel given",
            scored=False,
        ),
        MetricSpec(
            "test:mean_wQuantileLoss",
            "#quality_metric: host={host}, test mean_wQuantileLoss <loss>={value}",
            "Minimize",
            "test channel given",
            scored=False,
        ),
        MetricSpec(
            "train:final_loss",
            "#quality_metric: host={host}, train final_loss <loss>={value}",
            "Minimize",
            "always",
        ),
        MetricSpec(
            "train:loss",
            "#quality_metric: host={host}, epoch={epoch}, train loss <loss>={value}",
            "Minimize",
            "each epoch",
        ),
        MetricSpec(
            "train:loss:batch",
            "#quality_metric: host={host}, epoch={epoch}, batch={batch} train loss <loss>={value}",
            "Minimize",
            "every fifth batch",
        ),
        PROGRESS,
        THROUGHPUT,
    ),
    content_types=("application/json", "application/jsonlines"),
    accepts=("application/json", "application/jsonlines"),
    response=Response("predictions", ("mean",)),
    learner=_learner,
    load=_load,
    recognises=_recognises,
    compute=Compute(gpu=True, multi_gpu=True, multi_machine=True, incremental=False, memory=330),
    data=_data,
    default_request="application/json",
    decode=_decode,
    encode=_encode,
    follows_request=True,
    picture=_picture,
)

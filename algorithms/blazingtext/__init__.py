"""BlazingText: word vectors (skipgram, cbow, batch_skipgram) and text classification (supervised)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from algorithms.base import (
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
from algorithms.blazingtext.hyperparameters import Hyperparameters

TEXT = (
    "Text, one sentence per line, tokens parted by white space, lower-cased by the user. supervised: labels "
    "are tokens that begin with __label__, anywhere in the line. Or JSON lines and augmented manifests with "
    "source and label (a number or a list). No ContentType, or text/csv, means text."
)
FORMATS = ("text/plain", "application/jsonlines", "text/csv", "application/x-recordio")


def _learner(setting: Setting) -> Learner:
    if setting.hyperparameters.supervised:
        from algorithms.blazingtext.classification import Classification

        return Classification(setting)
    from algorithms.blazingtext.embedding import Embedding

    return Embedding(setting)


def _data(source: Any, setting: Setting) -> Any:
    from algorithms.blazingtext.data import data

    return data(source, setting)


def _load(folder: Path, device: str) -> Model:
    from algorithms.blazingtext.model import load

    return load(folder, device)


def _recognises(folder: Path) -> bool:
    from algorithms.blazingtext.recognition import recognises

    return recognises(folder)


def _decode(body: bytes, media: str, model: Any) -> Any:
    from algorithms.blazingtext.requests import decode

    return decode(body, media, model)


def _encode(columns: Columns, media: str, answer: Answer) -> Written:
    from algorithms.blazingtext.requests import encode

    return encode(columns, media, answer)


ALGORITHM = Algorithm(
    slug="blazingtext",
    title="BlazingText",
    task="word vectors (skipgram, cbow, batch_skipgram) and text classification (supervised)",
    hyperparameters=Hyperparameters,
    channels=(
        ChannelSpec(
            "train",
            "train",
            required=True,
            content_types=FORMATS,
            default_content_type="text/plain",
            distribution=("FullyReplicated",),
            meaning=TEXT,
        ),
        ChannelSpec(
            "validation",
            "validation",
            content_types=FORMATS,
            default_content_type="text/plain",
            distribution=("FullyReplicated",),
            meaning="The same layout; mode supervised only. Required when early_stopping is true.",
        ),
        ChannelSpec(
            "evaluation",
            "test",
            content_types=("text/plain", "text/csv"),
            default_content_type="text/plain",
            distribution=("FullyReplicated",),
            meaning="Ours: files of word pairs with human scores (WordSim-353), 'tiger cat 7.35' a line. "
            "Word vectors are scored on them.",
        ),
    ),
    metrics=(
        MetricSpec(
            "train:mean_rho",
            "#mean_rho: {value}",
            "Maximize",
            "word vectors, evaluation true, channel evaluation given",
        ),
        MetricSpec("train:accuracy", "#train_accuracy: {value}", None, "supervised"),
        MetricSpec(
            "validation:accuracy",
            "#validation_accuracy: {value}",
            "Maximize",
            "supervised with a validation channel",
        ),
    ),
    content_types=("application/json", "application/jsonlines"),
    accepts=("application/json", "application/jsonlines"),
    response=Response("predictions", ("vector", "word")),
    learner=_learner,
    load=_load,
    recognises=_recognises,
    compute=Compute(gpu=True, multi_gpu=False, multi_machine=True, incremental=False),
    data=_data,
    default_request="application/json",
    scored_on_validation=True,
    decode=_decode,
    encode=_encode,
    follows_request=True,
)

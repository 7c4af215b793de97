"""A job of seconds of every algorithm and a request to its model, for containers and AWS's SDKs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from optml.formats import tabular
from optml.formats.content_type import ContentType
from optml.formats.images import record
from optml.formats.records import Records
from tests.algorithms.object2vec import training as object2vec
from tests.algorithms.semantic_segmentation import shapes
from tests.algorithms.seq2seq import sample as seq2seq
from tests.docker.test_image_classification import SETTINGS, jpegs, records

RECORDIO = "application/x-recordio-protobuf"
CSV, JSON, TEXT = "text/csv", "application/json", "text/plain"


@dataclass(frozen=True)
class Sample:
    """`data()` is the one file of each of `channels`, or {channel: {file: content}}.   content_type: of all
    channels; "": nobody says."""

    hyperparameters: Mapping[str, object]
    data: Callable[[], bytes | Mapping[str, Mapping[str, bytes]]]
    content_type: str
    request: bytes
    media: str
    channels: tuple[str, ...] = ("train",)

    def files(self) -> dict[str, Mapping[str, bytes]]:
        data = self.data()
        if isinstance(data, bytes):
            return {name: {"data.rec": data} for name in self.channels}
        return dict(data)

    def texts(self) -> dict[str, str]:
        """The hyperparameters as SageMaker hands them over."""
        return {name: str(value) for name, value in self.hyperparameters.items()}


rng = np.random.default_rng(0)
ROWS = rng.poisson(2.0, (300, 8)).astype(np.float32)
LABELS = (ROWS[:, :1] > 2).astype(np.float32)
PLAIN = "".join(",".join(f"{value:g}" for value in row) + "\n" for row in ROWS).encode()
LABELLED = "".join(
    f"{label[0]:g},{line}\n" for label, line in zip(LABELS, PLAIN.decode().split(), strict=True)
)
PAIRS = "".join(f"u{number % 50},10.0.{number % 9}.{number % 99}\n" for number in range(500)).encode()
SERIES = {"start": "2020-01-01 00:00:00", "target": [float(day % 7) for day in range(100)]}
ASKED = json.dumps({"instances": [SERIES], "configuration": {"num_samples": 5, "output_types": ["mean"]}})
ROW, FEATURES = b"1,2,3,4,5,6,7,8", b'{"instances": [{"features": [1, 2, 3, 4, 5, 6, 7, 8]}]}'


def recordio() -> bytes:
    return tabular.write(Records(ROWS, LABELS), ContentType.parse(RECORDIO))


def detections() -> bytes:
    """A `.rec` of four pictures with a box each."""
    stream = io.BytesIO()
    record.write(
        (
            record.Image(
                np.array([2, 5, number % 2, 0.2, 0.2, 0.7, 0.8], np.float32), number, content, vector=True
            )
            for number, (content, _) in enumerate(jpegs(4))
        ),
        stream,
    )
    return stream.getvalue()


def masked() -> dict[str, dict[str, bytes]]:
    """Pictures of shapes with their masks."""
    files: dict[str, dict[str, bytes]] = {}
    for channel, numbers in {"train": range(4), "validation": range(4, 6)}.items():
        pairs = {f"{number:04d}": shapes.shapes(number, (24, 32)) for number in numbers}
        files[channel] = {f"{n}.jpg": shapes.encoded(pixels, "JPEG") for n, (pixels, _) in pairs.items()}
        files[f"{channel}_annotation"] = {
            f"{n}.png": shapes.encoded(mask, palette=shapes.PALETTE) for n, (_, mask) in pairs.items()
        }
    return files


def copies() -> dict[str, dict[str, bytes]]:
    """Sentences that are their own translations, and the vocabularies."""
    files = {name: {"a.rec": seq2seq.copies(40, seed)} for seed, name in enumerate(("train", "validation"))}
    return {**files, "vocab": seq2seq.FILES}


def pairs() -> bytes:
    return "".join(json.dumps(pair) + "\n" for pair in object2vec.pairs(60)).encode()


SAMPLES: dict[str, Sample] = {
    "blazingtext": Sample(
        {"mode": "skipgram", "vector_dim": 10, "min_count": 1, "epochs": 1},
        lambda: b"the quick brown fox jumps over the lazy dog " * 200 + b"\n",
        "text/plain", b'{"instances": ["fox"]}', JSON,
    ),
    "factorization-machines": Sample(
        {"feature_dim": 8, "num_factors": 4, "predictor_type": "binary_classifier", "mini_batch_size": 100},
        recordio, RECORDIO, FEATURES, JSON,
    ),
    "forecasting-deepar": Sample(
        {"time_freq": "D", "context_length": 7, "prediction_length": 3, "epochs": 1, "num_cells": 10},
        lambda: (json.dumps(SERIES) + "\n").encode() * 20, "application/jsonlines", ASKED.encode(), JSON,
    ),
    "image-classification": Sample(
        SETTINGS, lambda: records(96), "application/x-recordio", jpegs(1)[0][0], "application/x-image",
        ("train", "validation"),
    ),
    "ipinsights": Sample(
        {"num_entity_vectors": 1000, "vector_dim": 16, "epochs": 1}, lambda: PAIRS, CSV, b"u1,10.0.0.1", CSV,
    ),
    "kmeans": Sample({"k": 3, "feature_dim": 8}, lambda: PLAIN, f"{CSV};label_size=0", ROW, CSV),
    "knn": Sample(
        {"k": 3, "feature_dim": 8, "sample_size": 300, "predictor_type": "classifier"},
        LABELLED.encode, CSV, ROW, CSV,
    ),
    "lda": Sample(
        {"feature_dim": 8, "num_topics": 3, "mini_batch_size": 300}, recordio, RECORDIO, FEATURES, JSON,
    ),
    "linear-learner": Sample(
        {"feature_dim": 8, "predictor_type": "binary_classifier", "mini_batch_size": 100, "epochs": 2},
        LABELLED.encode, CSV, ROW, CSV,
    ),
    "ntm": Sample(
        {"feature_dim": 8, "num_topics": 3, "mini_batch_size": 50, "epochs": 2},
        recordio, RECORDIO, FEATURES, JSON,
    ),
    "object-detection": Sample(
        {
            "base_network": "resnet-50", "num_classes": 2, "num_training_samples": 4, "mini_batch_size": 2,
            "epochs": 1,
        },
        detections, "application/x-recordio", jpegs(1)[0][0], "application/x-image", ("train", "validation"),
    ),
    "object2vec": Sample(
        object2vec.SMALL, pairs, "application/jsonlines",
        b'{"instances": [{"in0": [1, 2], "in1": [3]}]}', JSON,
    ),
    "pca": Sample(
        {"feature_dim": 8, "num_components": 2, "mini_batch_size": 100},
        lambda: PLAIN, f"{CSV};label_size=0", ROW, CSV,
    ),
    "randomcutforest": Sample({"feature_dim": 8}, lambda: PLAIN, f"{CSV};label_size=0", ROW, CSV),
    "semantic-segmentation": Sample(
        {
            "num_classes": shapes.CLASSES, "num_training_samples": 4, "crop_size": 24, "base_size": 32,
            "epochs": 1, "mini_batch_size": 2, "use_pretrained_model": False,
        },
        masked, "application/x-image", shapes.encoded(shapes.shapes(9)[0], "JPEG"), "image/jpeg",
    ),
    "seq2seq": Sample(seq2seq.SMALL, copies, "", b'{"instances": [{"data": "w1 w2"}]}', JSON),
    "xgboost": Sample({"num_round": 3, "objective": "binary:logistic"}, LABELLED.encode, CSV, ROW, CSV),
}  # fmt: skip

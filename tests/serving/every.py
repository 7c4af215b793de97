"""A small model of every algorithm, and requests to it in each content type that it reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from optml.algorithms import registry
from optml.algorithms.base import Model
from optml.formats import tabular
from optml.formats.content_type import CSV, JSON, LIBSVM, PARQUET, RECORDIO_PROTOBUF, ContentType
from optml.formats.records import Records
from optml.serving.negotiation import readable, writable
from optml.serving.served import Served

ROWS = np.random.default_rng(0).integers(0, 9, (40, 3)).astype(np.float32)


def _kmeans() -> Model:
    from optml.algorithms.kmeans.model import Model

    return Model(ROWS[:3], np.ones(3), {"k": 3})


def _knn() -> Model:
    from optml.algorithms.knn.flat import Flat
    from optml.algorithms.knn.model import Model
    from optml.algorithms.knn.settings import ModelSettings

    return Model(Flat(ROWS, inner=False), ROWS[:, 0] // 3, ModelSettings(3, "classifier"))


def _pca() -> Model:
    from optml.algorithms.pca.model import Model

    v = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 2)))[0].astype(np.float32)
    return Model(np.ones(2, np.float32), v, ROWS.mean(axis=0, keepdims=True))


def _linear_learner() -> Model:
    from tests.algorithms.linear_learner.test_model import model

    return model("multiclass_classifier", 3)


def _factorization_machines() -> Model:
    from optml.algorithms.factorization_machines.model import Model

    rng = np.random.default_rng(0)
    factors, weights = rng.normal(size=(3, 2)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    kind = "binary_classifier"
    settings = {"predictor_type": kind, "feature_dim": 3}
    return Model(factors, weights, 0.25, predictor_type=kind, width=3, hyperparameters=settings)


def _ntm() -> Model:
    from optml.algorithms.ntm.model import Model
    from optml.algorithms.ntm.parameters import Parameters
    from optml.algorithms.topics import topics
    from optml.algorithms.topics.topics import Topics

    rng = np.random.default_rng(0)

    def layer(after: int, before: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.normal(size=(after, before)).astype(np.float32), rng.normal(size=after).astype(np.float32)

    own = Parameters((layer(4, 3),), layer(2, 4), layer(2, 4), layer(3, 2), "sigmoid")
    words = topics.top(own.projection[0])
    return Model(own, Topics(words, topics.uniqueness(words)), {"num_topics": 2})


def _lda() -> Model:
    from optml.algorithms.lda.model import Model

    rng = np.random.default_rng(0)
    return Model(np.full(2, 0.5), rng.dirichlet(np.ones(3), 2), 0.1, hyperparameters={"num_topics": 2})


def _random_cut_forest() -> Model:
    from tests.algorithms.random_cut_forest.training import fit

    return fit(np.tile(ROWS, (10, 1)), num_trees=50, num_samples_per_tree=4)


def _xgboost() -> Model:
    registry.get("xgboost")
    import xgboost

    from optml.algorithms.xgboost.boosters import Native
    from optml.algorithms.xgboost.model import Model

    labels = (ROWS[:, 0] // 3).clip(0, 2)
    settings = {"objective": "multi:softprob", "num_class": 3, "max_depth": 2, "nthread": 1}
    return Model([Native(xgboost.train(settings, xgboost.DMatrix(ROWS, labels), 2))])


def _ip_insights() -> Model:
    from optml.algorithms.ip_insights.model import BIT_MAP, ENTITIES, Model
    from optml.algorithms.ip_insights.sketch import Sketch
    from optml.algorithms.kernels.pairs.terms import BITS

    rng = np.random.default_rng(0)
    arrays = {ENTITIES: rng.normal(size=(50, 4)), BIT_MAP: rng.normal(size=(BITS, 4))}
    return Model({name: a.astype(np.float32) for name, a in arrays.items()}, Sketch.empty(50), {}, {})


def _classifier() -> Model:
    from optml.algorithms.blazingtext import fasttext_file
    from optml.algorithms.blazingtext.classifier import Classifier
    from optml.algorithms.blazingtext.quantized import Dense
    from optml.algorithms.blazingtext.vocabulary import Vocabulary, Words

    words = Words.of([b"good", b"bad", b"film", b"</s>", b"__label__0", b"__label__1"])
    rng = np.random.default_rng(0)
    settings = fasttext_file.FastTextSettings(4, loss=fasttext_file.SOFTMAX, model=fasttext_file.SUPERVISED)
    tables = (Dense(rng.normal(size=(rows, 4)).astype(np.float32)) for rows in (4, 2))
    return Classifier(settings, Vocabulary(words, 4, 2, 6), *tables)


def _words() -> Model:
    from optml.algorithms.blazingtext import fasttext_file
    from optml.algorithms.blazingtext.quantized import Dense
    from optml.algorithms.blazingtext.vectors import WordVectors
    from optml.algorithms.blazingtext.vocabulary import Vocabulary, Words

    words = Words.of([b"good", b"bad", b"film"])
    table = Dense(np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32))
    return WordVectors(fasttext_file.FastTextSettings(4), Vocabulary(words, 3, 0, 3), table)


def _deepar() -> Model:
    from tests.algorithms.forecasting_deepar.networks import model

    return model(cardinality=(3,), dynamics=0)


def _image_classification() -> Model:
    from optml.algorithms.image_classification.facts import Facts
    from optml.algorithms.image_classification.model import Model
    from optml.algorithms.vision.architecture import Architecture
    from tests.algorithms.vision.test_weights import arrays

    facts = Facts(Architecture(20, "pre", "3x3", 1), 8, 8, 3)
    values = arrays(facts.architecture, 3)
    return Model(facts, {name: abs(array) if "var" in name else array for name, array in values.items()})


def _object2vec() -> Model:
    from optml.algorithms.object2vec.beginning import random
    from optml.algorithms.object2vec.hyperparameters import Hyperparameters
    from optml.algorithms.object2vec.model import Model
    from optml.algorithms.object2vec.network import Pairing

    settings = {"enc0_max_seq_len": 20, "enc0_vocab_size": 2000, "enc0_network": "pooled_embedding"}
    made = Hyperparameters.model_validate(settings | {"enc0_token_embedding_dim": 4, "mlp_dim": 3})
    arrays = {name: tensor.numpy() for name, tensor in Pairing(made).state_dict().items()}
    return Model(made, [random(2000, 4, side) for side in range(2)], arrays)


def _seq2seq() -> Model:
    from optml.algorithms.seq2seq.lengths import Lengths
    from optml.algorithms.seq2seq.model import Model
    from optml.algorithms.seq2seq.network import Translator
    from optml.algorithms.seq2seq.records import Vocabularies
    from tests.algorithms.seq2seq.sample import FILES, hyperparameters

    settings, vocabularies = hyperparameters(), Vocabularies.of(FILES, "here")
    arrays = Translator(settings, vocabularies.sizes).state_dict()
    numbers = {name: tensor.numpy() for name, tensor in arrays.items()}
    return Model(settings, vocabularies, Lengths.told(1.0, 0.1, settings), numbers)


def _semantic_segmentation() -> Model:
    from optml.algorithms.semantic_segmentation.facts import Facts
    from optml.algorithms.semantic_segmentation.model import Model
    from optml.algorithms.semantic_segmentation.networks import Segmenter, first_weights
    from optml.algorithms.vision.architecture import Architecture

    facts = Facts(Architecture(18, "post", "deep"), "fcn", 3, crop=24, auxiliary=False)
    network = Segmenter(facts, auxiliary=False)
    first_weights(network)
    return Model(facts, {name: tensor.numpy() for name, tensor in network.state_dict().items()})


def _object_detection() -> Model:
    from optml.algorithms.object_detection.design import design
    from optml.algorithms.object_detection.facts import Facts
    from optml.algorithms.object_detection.model import Model
    from optml.algorithms.object_detection.network import Detector
    from optml.algorithms.vision.architecture import Architecture

    own = design("resnet-50", 32, 3, Architecture(20))
    rng = np.random.default_rng(0)
    shapes = {name: tuple(tensor.shape) for name, tensor in Detector(own).state_dict().items()}
    values = {name: rng.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes.items()}
    return Model(Facts(own, 32), {name: abs(v) if "var" in name else v for name, v in values.items()})


MODELS: Mapping[str, Callable[[], Model]] = {
    "kmeans": _kmeans,
    "knn": _knn,
    "pca": _pca,
    "linear-learner": _linear_learner,
    "factorization-machines": _factorization_machines,
    "ntm": _ntm,
    "lda": _lda,
    "randomcutforest": _random_cut_forest,
    "xgboost": _xgboost,
    "ipinsights": _ip_insights,
    "blazingtext": _classifier,
    "blazingtext words": _words,
    "forecasting-deepar": _deepar,
    "image-classification": _image_classification,
    "object-detection": _object_detection,
    "object2vec": _object2vec,
    "seq2seq": _seq2seq,
    "semantic-segmentation": _semantic_segmentation,
}
NAMES = tuple(MODELS)


def slug(name: str) -> str:
    return name.partition(" ")[0]


@cache
def served(name: str) -> Served:
    return Served(registry.get(slug(name)), MODELS[name](), seconds=float("inf"))


def content_types(name: str) -> list[str]:
    """Those that the algorithm reads, in one spelling each."""
    return list(dict.fromkeys(ContentType.parse(media).media for media in readable(registry.get(slug(name)))))


def request(name: str, media: str, places: Sequence[int] = (0, 1, 2), bad: Sequence[int] = ()) -> bytes:
    """A body of some records, by their numbers; those in `bad` can have no answer. Of pictures the first
    one."""
    if media.startswith("image/") or media == "application/x-image":
        return _picture(places[0], bad=places[0] in bad)
    if name in _TEXTS:
        records = _TEXTS[name](max(places) + 1)
        return _texts([_BAD[name] if place in bad else records[place] for place in places], media)
    return _table(places, media, bad)


def accepts(name: str, media: str) -> list[str]:
    """Content types in which a request of that one can be answered."""
    algorithm = registry.get(slug(name))
    if algorithm.inference.same_accept:
        return [media]
    return list(dict.fromkeys(accept.split(";")[0] for accept in writable(algorithm)))


CASES = [(name, media) for name in NAMES for media in content_types(name)]
PICTURES = ("image-classification", "object-detection", "semantic-segmentation")  # a request is one
SEVERAL = [case for case in CASES if "image" not in case[1]]  # bodies of several records


def _picture(place: int, *, bad: bool) -> bytes:
    from optml.formats.images.png import png

    whole = png(np.random.default_rng(place).integers(0, 255, (9, 11)).astype(np.uint8))
    return whole[:-30] if bad else whole


def _pairs(count: int) -> list[Any]:
    return [[f"user, {number}", f"10.0.0.{number}"] for number in range(count)]


def _sentences(count: int) -> list[Any]:
    return [("good film", "bad film", "film")[number % 3] for number in range(count)]


def _series(count: int) -> list[Any]:
    start = "2016-01-01 00:00:00"
    target = [1.0 + step % 5 for step in range(20)]
    return [{"start": start, "target": target, "cat": [number % 3]} for number in range(count)]


def _objects(count: int) -> list[Any]:
    return [{"in0": [number + 1, 2], "in1": [3], "label": number % 2} for number in range(count)]


def _phrases(count: int) -> list[Any]:
    words = ["w1 w2 w3", "w4", "w5 w6"]
    return [dict.fromkeys(("data", "source"), words[number % 3]) for number in range(count)]


def _ids(phrases: list[Any]) -> bytes:
    from tests.algorithms.seq2seq.sample import IDS, encoded

    texts = [phrase["source"] for phrase in phrases]
    return encoded([([99] if text == 5 else [IDS[word] for word in text.split()], []) for text in texts])


_TEXTS: Mapping[str, Callable[[int], list[Any]]] = {
    "ipinsights": _pairs,
    "blazingtext": _sentences,
    "blazingtext words": _sentences,
    "forecasting-deepar": _series,
    "object2vec": _objects,
    "seq2seq": _phrases,
}
_BAD: Mapping[str, Any] = {
    "ipinsights": ["user", "no address"],
    "blazingtext": 5,
    "blazingtext words": 5,
    "forecasting-deepar": {"start": "2016-01-01 00:00:00", "target": "no list"},
    "object2vec": {"in0": [1], "in1": [5000]},
    "seq2seq": {"data": 5, "source": 5},
}


def _texts(records: list[Any], media: str) -> bytes:
    if media == CSV:
        return "".join(f'"{entity}",{address}\n' for entity, address in records).encode()
    if media == RECORDIO_PROTOBUF:
        return _ids(records)
    if isinstance(records[0], list):
        records = [{"features": record} for record in records]
    if media == JSON:
        return json.dumps({"instances": records}).encode()
    if not isinstance(records[0], dict):
        records = [{"source": record} for record in records]
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def _table(places: Sequence[int], media: str, bad: Sequence[int]) -> bytes:
    """A bad row has one feature too many."""
    parts = []
    for place in places:
        row = ROWS[place]
        one = np.append(row, 7)[None] if place in bad else row[None]
        record = Records(np.ascontiguousarray(one, np.float32), labels=None)
        if media == LIBSVM:
            record = replace(record, features=csr_array(record.features))
            parts.append(tabular.write(record, ContentType(media)))
        elif media == RECORDIO_PROTOBUF:
            record = replace(record, uids=(f"uid{place}",), metadata=(f"note {place}",))
            parts.append(_record_io(record))
        elif media == JSON:
            parts.append(json.dumps({"features": one[0].tolist()}).encode())
        elif media != PARQUET:
            parts.append(tabular.write(record, ContentType(media)))
    if media == JSON:
        return b'{"instances": [' + b", ".join(parts) + b"]}"
    if media == PARQUET:
        return tabular.write(Records(ROWS[list(places)]), ContentType(media))
    return b"".join(parts)


def _record_io(record: Records) -> bytes:
    from optml.formats.record_message import record_class
    from optml.formats.recordio import frame

    message = record_class()()
    message.features["values"].float32_tensor.values.extend(record.dense()[0].tolist())
    message.uid, message.metadata = record.uids[0], record.metadata[0]  # type: ignore[index]
    return frame(message.SerializeToString())

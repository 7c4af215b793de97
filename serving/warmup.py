"""A model answers once in each way that it can before anybody asks it.

So what a first request would have to import or compile is there when `/ping` says 200.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array

from optml.errors import UserError
from optml.formats import tabular
from optml.formats.content_type import CSV, JSON, JSON_LINES, LIBSVM, RECORDIO_PROTOBUF, ContentType
from optml.formats.records import Records
from optml.serving.batching import Gate
from optml.serving.errors import RequestError
from optml.serving.negotiation import readable
from optml.serving.predictor import Predictor
from optml.serving.served import Served
from optml.serving.settings import Settings

_WIDEST = 1 << 12  # columns of a sample that names them all
_MANY = 65  # records from which the sparse ones of RecordIO are parsed by compiled code


def warm_up(served: Served) -> float:
    """Let the model answer a record in each content type; returns the seconds that predicting one takes,
    infinity if nobody knows."""
    predictor = Predictor(served, Gate(1), Settings())
    for media, body in samples(served):
        try:
            records = predictor.decode(body, ContentType(media))
            predictor.written(served.model.predict(records, {}), media, records, {})
        except (UserError, RequestError):  # a model of which nobody knows a record that it can answer
            continue
    return _seconds(served)


def samples(served: Served) -> Iterator[tuple[str, bytes]]:
    """Pairs (content type, request) that the model can answer."""
    algorithm, width = served.algorithm, served.model.width
    for media in dict.fromkeys(ContentType.parse(name).media for name in readable(algorithm)):
        if algorithm.inference.sample is not None:
            yield media, algorithm.inference.sample(served.model, media)
        elif width is not None:
            yield media, _row(media, width)
            if media == RECORDIO_PROTOBUF:  # whose records go three ways
                one = csr_array((np.zeros(1, np.float32), ([0], [0])), shape=(1, width))
                yield media, tabular.write(Records(one, uids=("a",)), ContentType(media))
                yield media, tabular.write(Records(one), ContentType(media)) * _MANY


def _row(media: str, width: int) -> bytes:
    """A row of zeros."""
    if media == LIBSVM:
        return b"0:0\n"
    if width > _WIDEST and media in (JSON, JSON_LINES):
        return b'{"features": {"keys": [0], "shape": [%d], "values": [0]}}' % width
    zeros = [b"0"] * min(width, _WIDEST)
    if media == CSV:
        return b",".join(zeros) + b"\n"
    if media in (JSON, JSON_LINES):
        return b'{"features": [%b]}' % b",".join(zeros)
    return tabular.write(Records(np.zeros((1, len(zeros)), np.float32)), ContentType(media))


def _seconds(served: Served) -> float:
    if served.model.width is None:
        return float("inf")
    shape = (1, served.model.width)
    sparse = shape[1] > _WIDEST and served.algorithm.training.sparse
    record = Records(csr_array(shape, dtype=np.float32) if sparse else np.zeros(shape, np.float32))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        served.model.predict(record, {})
        times.append(time.perf_counter() - start)
    return min(times)

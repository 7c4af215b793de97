"""One request to one model: decode, check, predict, encode."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from algorithms.base import Answer, Columns
from algorithms.errors import UserError
from algorithms.records import Records, concatenate
from container.formats import tabular
from container.formats.checks import check_finite
from container.formats.column_order import ColumnOrder
from container.formats.content_type import ContentType
from container.formats.encoding import as_utf8, is_text
from container.formats.layout import Layout
from serving import codecs, metrics, negotiation
from serving.batching import Queue
from serving.errors import empty, unreadable
from serving.models import Served
from serving.pieces import pieces
from serving.settings import Settings


class Predictor:
    """What answers the invocations of one model. Called from many threads."""

    def __init__(self, served: Served, queue: Queue, settings: Settings) -> None:
        self.served = served
        self._queue = queue
        self._settings = settings
        width = None if served.algorithm.judges_width else served.model.width
        names = served.algorithm.feature_names and served.algorithm.feature_names(served.model)
        columns = ColumnOrder(names, "the model") if names else None
        self._layout = Layout(width, served.algorithm.label_size or 0, trained=True, columns=columns)
        self._accepts = negotiation.writable(served.algorithm, settings.multi_model)
        self._part = Answer(settings.batch, settings.multi_model)

    def answer(self, body: bytes, content_type: str, accept: str, deadline: float) -> tuple[bytes, str]:
        """The body of the answer and its content type.

        content_type, accept: the headers, "" where there is none. Raises RequestError, also for records that
        do not parse or that the model cannot take.
        """
        algorithm = self.served.algorithm
        unparsable, bare = algorithm.refusals
        if not body:
            raise empty(bare)
        form = negotiation.of_request(content_type, body, algorithm)
        start = time.perf_counter()
        failed: dict[int, str] = {}
        records: Any
        try:
            records = self._decode(body, form)
        except UserError as error:
            if self._settings.bad_record == "error" or algorithm.decode is not None:
                raise unreadable(str(error), unparsable) from None
            records, failed = self._decode_apart(body, form)
        decoded = time.perf_counter()
        metrics.DECODED.observe(decoded - start)
        wanted = form.media if algorithm.follows_request else accept or self._settings.accept or ""
        media, options = negotiation.of_answer(wanted, self._accepts)
        try:
            columns = self._predict(records, options, deadline)
        except UserError as error:  # the model's own opinion of a record
            raise unreadable(str(error)) from None
        start = time.perf_counter()
        answer = None
        if algorithm.encode is not None and not failed:
            answer = algorithm.encode(columns, media, self._part)
        if answer is None:
            answer = codecs.encode(
                columns,
                media,
                algorithm.response,
                uids=getattr(records, "uids", None),
                metadata=getattr(records, "metadata", None),
                failed=failed,
                final_newline=not self._settings.batch,
            )
        metrics.ENCODED.observe(time.perf_counter() - start)
        return answer, media

    def _decode(self, body: bytes, form: ContentType) -> Any:
        """The records of a table, or what the algorithm makes of a body."""
        if self.served.algorithm.decode is not None:
            body = as_utf8(body, form, "the request") if is_text(form) else body
            return self.served.algorithm.decode(body, form.media, self.served.model)
        records = tabular.decode(body, form, self._layout)
        check_finite(records, missing=self.served.algorithm.missing)
        return records

    def _decode_apart(self, body: bytes, form: ContentType) -> tuple[Records | None, dict[int, str]]:
        """The records of a body that decode, and what is wrong with the others, by their place."""
        good = []
        failed = {}
        try:
            apart = pieces(body, form)
        except UserError as error:
            raise unreadable(str(error)) from None
        for place, piece in enumerate(apart):
            try:
                good.append(self._decode(piece, form))
            except UserError as error:
                failed[place] = str(error)
        return (concatenate(good) if good else None), failed

    def _predict(self, records: Any, options: Mapping[str, str], deadline: float) -> Columns:
        if records is None or not len(records):
            return {name: np.empty(0, np.float32) for name in self.served.algorithm.response.fields}
        return self._queue.predict(self.served, records, options, deadline)

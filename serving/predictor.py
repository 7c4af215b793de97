"""One request to one model: decode, check, predict, encode."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from optml.algorithms.answers import Answer
from optml.deadline import Overdue, check, until
from optml.errors import UserError
from optml.formats import tabular
from optml.formats.checks import check_finite
from optml.formats.column_order import ColumnOrder
from optml.formats.compression import TooLarge
from optml.formats.content_type import ContentType
from optml.formats.encoding import as_utf8, is_text
from optml.formats.layout import Layout
from optml.formats.records import Columns, gathered
from optml.serving import codecs, metrics, negotiation
from optml.serving.batching import Queue, overtaken
from optml.serving.errors import RequestError, empty, too_large, unreadable
from optml.serving.pieces import Pieces, pieces, said_of_one
from optml.serving.served import Served
from optml.serving.settings import Settings

MOST_BAD = 10_000  # records of a request that may lack an answer: each takes some tries to be found


class Predictor:
    """What answers the invocations of one model. Called from many threads."""

    def __init__(self, served: Served, queue: Queue, settings: Settings) -> None:
        self.served = served
        self._queue = queue
        self._settings = settings
        width = None if served.algorithm.inference.judges_width else served.model.width
        names = served.algorithm.inference.feature_names and served.algorithm.inference.feature_names(
            served.model
        )
        columns = ColumnOrder(names, "the model") if names else None
        self._layout = Layout(
            width, served.algorithm.inference.label_size or 0, trained=True, columns=columns
        )
        self._accepts = negotiation.writable(served.algorithm, settings.multi_model)
        self._part = Answer(settings.batch, settings.multi_model)

    def answer(self, body: bytes, content_type: str, accept: str, deadline: float) -> tuple[bytes, str]:
        """The body of the answer and its content type.

        content_type, accept: the headers, "" where there is none. deadline: in `time.monotonic()`'s seconds.
        Raises RequestError, also for records that do not parse or that the model cannot take, for an answer
        that is too long, and at the deadline (503).
        """
        try:
            with until(deadline):
                return self._answer(body, content_type, accept, deadline)
        except Overdue:
            raise overtaken() from None

    def _answer(self, body: bytes, content_type: str, accept: str, deadline: float) -> tuple[bytes, str]:
        algorithm = self.served.algorithm
        unparsable, bare = algorithm.inference.refusals
        if not body:
            raise empty(bare)
        form = negotiation.of_request(content_type, body, algorithm)
        start = time.perf_counter()
        failed: dict[int, str] = {}
        try:
            records = self.decode(body, form)
        except TooLarge:
            raise too_large(self._settings.max_content_length) from None
        except UserError as error:
            records, failed = self._sound(body, form, unreadable(str(error), unparsable), deadline)
        metrics.DECODED.observe(time.perf_counter() - start)
        wanted = form.media if algorithm.inference.follows_request else accept or self._settings.accept or ""
        if algorithm.inference.same_accept and accept:
            negotiation.of_answer(accept, (form.media,))
        media, options = negotiation.of_answer(wanted, self._accepts)
        try:
            columns = self._predict(records, options, deadline)
        except UserError as error:  # the model's own opinion of a record
            refusal = unreadable(str(error))
            records, failed = self._sound(body, form, refusal, deadline)
            try:
                columns = self._predict(records, options, deadline)
            except UserError:
                raise refusal from None
        start = time.perf_counter()
        try:
            answer = self.written(columns, media, records, failed)
        except UserError as error:  # of an answer that this media type cannot hold
            raise unreadable(str(error)) from None
        metrics.ENCODED.observe(time.perf_counter() - start)
        return answer, media

    def decode(self, body: bytes, form: ContentType) -> Any:
        """The records of a table, or what the algorithm makes of a body. Raises UserError, and Overdue."""
        if self.served.algorithm.inference.decode is not None:
            body = as_utf8(body, form, "the request") if is_text(form) else body
            return self.served.algorithm.inference.decode(body, form, self.served.model)
        blocks = []
        for block in tabular.blocks(body, form, self._layout, max_bytes=self._settings.max_content_length):
            check_finite(block, missing=self.served.algorithm.inference.missing)
            blocks.append(block)
            check()
        return gathered(blocks)

    def _sound(
        self, body: bytes, form: ContentType, refusal: RequestError, deadline: float
    ) -> tuple[Any, dict[int, str]]:
        """The records of a body that have answers, and what is wrong with the others, by their places.

        A group of records is tried at once, then the halves of what is not sound, until each bad record
        stands alone. Raises `refusal`, of the whole body, where bad records are not to be left out, where
        records cannot be told apart, and where more than MOST_BAD are bad; Overdue at the deadline.
        """
        if self._settings.bad_record == "error":
            raise refusal
        failed: dict[int, str] = {}
        good: list[bytes] = []
        count = 0
        try:
            apart = pieces(body, form)
            if apart.bare is not None and self.served.algorithm.inference.decode is not None:
                self.decode(apart.bare, apart.form)  # what is asked of every record must be sound itself
            for group in apart.groups:
                for place, why in self._bad(group, apart, deadline):
                    failed[count + place] = why
                    if len(failed) > MOST_BAD:
                        raise refusal
                sound = [record for place, record in enumerate(group, count) if place not in failed]
                count += len(group)
                if sound:
                    good.append(apart.text(sound))
            if failed:
                return (self.decode(apart.body(good), apart.form) if good else None), failed
        except UserError:  # also where each is sound, but they do not go together
            pass
        raise refusal

    def _bad(self, group: Sequence[Any], apart: Pieces, deadline: float) -> Iterator[tuple[int, str]]:
        """The records that have no answer: place in the group, and what is wrong."""
        untried = [range(len(group))]
        while untried:
            check()
            places = untried.pop()
            try:
                some = apart.body([apart.text(group[places.start : places.stop])])
                self._predict(self.decode(some, apart.form), {}, deadline)
            except UserError as error:
                if len(places) > 1:
                    middle = len(places) // 2
                    untried += [places[middle:], places[:middle]]
                else:
                    yield places.start, said_of_one(str(error))

    def _predict(self, records: Any, options: Mapping[str, str], deadline: float) -> Columns:
        if records is None or not len(records):
            return {name: np.empty(0, np.float32) for name in self.served.algorithm.inference.response.fields}
        return self._queue.predict(self.served, records, options, deadline)

    def written(self, columns: Columns, media: str, records: Any, failed: Mapping[int, str]) -> bytes:
        """The body of an answer; failed: place -> why that record has none."""
        algorithm = self.served.algorithm
        if algorithm.inference.encode is not None:
            parts = (algorithm.inference.encode(part, media, self._part) for part in codecs.parts(columns))
            written = codecs.joined(parts, self._settings.max_answer)
            if written is not None:
                others = {place: codecs.unanswered_row(why, media) for place, why in failed.items()}
                return bytes(written.with_others(others) if others else written)
        return codecs.encode(
            columns,
            media,
            algorithm.inference.response,
            uids=getattr(records, "uids", None),
            metadata=getattr(records, "metadata", None),
            failed=failed,
            final_newline=not self._settings.batch,
            most=self._settings.max_answer,
        )

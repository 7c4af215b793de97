"""Answers that are not predictions: a status, a code for programs, a sentence for people.

The phrase that AWS's containers use comes first, so that what matches on it goes on to work, and the cause
follows at once: SageMaker cuts messages, and SDK v2 in local mode shows the body as if it were a prediction.
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from optml.formats.content_type import JSON

UNREADABLE = "unable to evaluate payload provided"


class RequestError(Exception):
    """A request that is answered with an error."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: Iterable[tuple[str, str]] = (),
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = list(headers)
        self.request_id = request_id

    def body(self, *, json: bool) -> tuple[bytes, str]:
        """The body and its content type."""
        if not json:
            suffix = f" (request_id {self.request_id})" if self.request_id else ""
            return (self.message + suffix).encode("utf-8", "replace"), "text/plain; charset=utf-8"
        error = {"code": self.code, "message": self.message.encode("utf-8", "replace").decode()}
        if self.request_id:
            error["request_id"] = self.request_id
        return orjson.dumps({"error": error}), JSON


def empty(status: int = 400) -> RequestError:
    return RequestError(status, "EmptyPayload", "payload is empty")


def unreadable(cause: str, status: int = 400) -> RequestError:
    """The body does not parse, or its records do not fit the model."""
    return RequestError(status, "InvalidPayload", f"{UNREADABLE}: {cause}")


def unsupported_content_type(content_type: str, supported: Iterable[str]) -> RequestError:
    message = f"content-type {content_type[:100]} not supported; supported: {', '.join(supported)}"
    return RequestError(415, "UnsupportedContentType", message)


def unsupported_encoding(encoding: str) -> RequestError:
    return RequestError(
        415, "UnsupportedContentEncoding", f"content-encoding {encoding[:100]} not supported; use gzip"
    )


def unsupported_accept(accept: str, supported: Iterable[str]) -> RequestError:
    message = (
        f"Accept type {accept[:100]} is not supported. "
        f"Please use supported accept types: [{', '.join(supported)}]"
    )
    return RequestError(406, "UnsupportedAccept", message)


def too_large(limit: int) -> RequestError:
    message = f"payload is larger than {limit} bytes; send less at a time, or raise MAX_CONTENT_LENGTH"
    return RequestError(413, "PayloadTooLarge", message)


def too_long(limit: int) -> RequestError:
    message = (
        f"the answer would be larger than {limit >> 20} MiB; send fewer records at a time, or raise "
        "OPTML_MAX_ANSWER_MB"
    )
    return RequestError(413, "AnswerTooLarge", message)


def busy(cause: str) -> RequestError:
    return RequestError(503, "Busy", f"the server is busy: {cause}; try again", [("Retry-After", "1")])


def cannot_load(cause: str) -> RequestError:
    return RequestError(500, "ModelLoadError", f"Unable to load model: {cause}")

"""Errors as AWS's services answer them."""

from __future__ import annotations


class ApiError(Exception):
    """What a client gets: a code and a text in the form of the service's protocol.

    status: HTTP's.   fields: further members of the answer, such as OriginalStatusCode.
    """

    def __init__(self, code: str, message: str, status: int = 400, **fields: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.fields = fields


def validation(message: str) -> ApiError:
    """The request makes no sense: what was wrong with it."""
    return ApiError("ValidationException", message)

"""S3's errors."""

from __future__ import annotations

from optml.local.control.errors import ApiError

_TEXTS = {
    "NoSuchBucket": (404, "The specified bucket does not exist"),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchUpload": (404, "The specified upload does not exist. The upload ID may be invalid, or the"
                          " upload may have been aborted or completed."),
    "InvalidPart": (400, "One or more of the parts could not be found, or its ETag does not match."),
    "InvalidPartOrder": (400, "The list of parts was not in ascending order."),
    "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed size"),
    "BucketAlreadyOwnedByYou": (409, "Your previous request to create the named bucket succeeded and you"
                                     " already own it."),
    "BucketNotEmpty": (409, "The bucket you tried to delete is not empty"),
    "PreconditionFailed": (412, "At least one of the pre-conditions you specified did not hold"),
    "InvalidRange": (416, "The requested range is not satisfiable"),
    "BadDigest": (400, "The checksum or Content-MD5 you specified did not match what we received."),
    "IncompleteBody": (400, "The request body terminated before the number of bytes specified."),
    "InvalidArgument": (400, "Invalid Argument"),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "KeyTooLongError": (400, "Your key is too long"),
    "MalformedXML": (400, "The XML you provided was not well-formed."),
    "NotImplemented": (501, "optml does not do that operation of S3."),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "AccessDenied": (403, "Access Denied"),
}  # fmt: skip


def error(code: str, message: str | None = None, **fields: object) -> ApiError:
    status, text = _TEXTS[code]
    return ApiError(code, message or text, status, **fields)

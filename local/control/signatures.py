"""Signatures of requests, version 4, for `optml up --verify`: recomputed with botocore's own signer."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from starlette.requests import Request
from starlette.types import Message, Receive

from optml.local.control.errors import ApiError

_HEADER = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request,\s*"
    r"SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{64})"
)
_SKEW = timedelta(minutes=15)
_UNSIGNED = ("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")


async def verify(request: Request, keys: tuple[str, str]) -> Request:
    """The request, to be read further: its body is checked against the signed hash as it comes. Raises
    ApiError for one that is not signed with these keys, or not lately."""
    query = dict(parse_qsl(_query(request), keep_blank_values=True))
    if "X-Amz-Signature" in query:
        return _presigned(request, query, keys)
    if "AWSAccessKeyId" in query:
        return _presigned_of_old(request, query, keys)
    match = _HEADER.fullmatch(request.headers.get("authorization", "").strip())
    if match is None:
        raise _denied("MissingAuthenticationToken", "Request is missing Authentication Token")
    key, _, region, service, signed, signature = match.groups()
    stamp = request.headers.get("x-amz-date", "")
    if abs(datetime.now(UTC) - _time(stamp)) > _SKEW:
        raise _denied("RequestTimeTooSkewed", f"the signature is of {stamp}")
    told = request.headers.get("x-amz-content-sha256")
    body = b""
    if told is None:  # the hash of the body is signed, and not sent along
        body = await request.body()
        request = Request(request.scope, _replay(body))
        told = hashlib.sha256(body).hexdigest()
    if told.startswith("STREAMING-AWS4"):
        raise _denied("NotImplemented", "signed chunks are not checked here: send the whole body's hash")
    signer = (S3SigV4Auth if service == "s3" else SigV4Auth)(Credentials(*keys), service, region)
    expected = _signature(signer, request, _query(request), signed.split(";"), told, stamp)
    if key != keys[0] or not hmac.compare_digest(expected, signature):
        raise _mismatch()
    if told in _UNSIGNED or body:
        return request
    return Request(request.scope, _hashed(request, told))


def _presigned(request: Request, query: dict[str, str], keys: tuple[str, str]) -> Request:
    key, _, region, service, _ = (query.get("X-Amz-Credential", "") + "/////").split("/")[:5]
    stamp = query.get("X-Amz-Date", "")
    try:
        seconds = int(query.get("X-Amz-Expires", "0"))
    except ValueError:
        seconds = 0
    if datetime.now(UTC) > _time(stamp) + timedelta(seconds=seconds):
        raise _denied("AccessDenied", "Request has expired")
    signature = query["X-Amz-Signature"]
    rest = "&".join(pair for pair in _query(request).split("&") if not pair.startswith("X-Amz-Signature="))
    signer = (S3SigV4QueryAuth if service == "s3" else SigV4QueryAuth)(Credentials(*keys), service, region)
    signed = query.get("X-Amz-SignedHeaders", "host").split(";")
    expected = _signature(signer, request, rest, signed, "UNSIGNED-PAYLOAD", stamp)
    if key != keys[0] or not hmac.compare_digest(expected, signature):
        raise _mismatch()
    return request


def _presigned_of_old(request: Request, query: dict[str, str], keys: tuple[str, str]) -> Request:
    """Version 2, in which boto3 still signs addresses of S3."""
    expires = query.get("Expires", "")
    if not expires.isdigit() or datetime.now(UTC).timestamp() > int(expires):
        raise _denied("AccessDenied", "Request has expired")
    own = ("AWSAccessKeyId=", "Signature=", "Expires=")
    rest = "&".join(pair for pair in _query(request).split("&") if not pair.startswith(own))
    path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
    headers = HTTPHeaders.from_dict({**request.headers, "Date": expires})
    split = urlsplit(f"http://{request.headers['host']}{path}" + (f"?{rest}" if rest else ""))
    expected = HmacV1QueryAuth(Credentials(*keys)).get_signature(request.method, split, headers)
    if query["AWSAccessKeyId"] != keys[0] or not hmac.compare_digest(expected, query.get("Signature", "")):
        raise _mismatch()
    return request


def _signature(
    signer: SigV4Auth, request: Request, query: str, signed: list[str], told: str, stamp: str
) -> str:
    """What a holder of the keys makes of this request."""
    path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
    url = f"http://{request.headers['host']}{path}" + (f"?{query}" if query else "")
    headers = {name: request.headers[name] for name in signed if name in request.headers}
    plain = AWSRequest(request.method, url, headers)
    plain.context["timestamp"] = stamp
    signer.payload = lambda unused: told
    text: str = signer.signature(signer.string_to_sign(plain, signer.canonical_request(plain)), plain)
    return text


def _query(request: Request) -> str:
    text: str = request.scope["query_string"].decode("latin-1")
    return text


def _replay(body: bytes) -> Receive:
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _hashed(request: Request, told: str) -> Receive:
    """The body's messages; the last one only where all of it has the signed hash."""
    digest = hashlib.sha256()
    receive = request.receive

    async def checked() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            digest.update(message.get("body", b""))
            if not message.get("more_body") and digest.hexdigest() != told:
                raise ApiError(
                    "XAmzContentSHA256Mismatch", "The body does not have the hash that was signed."
                )
        return message

    return checked


def _time(stamp: str) -> datetime:
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise _denied("IncompleteSignature", f"X-Amz-Date is '{stamp}'") from None


def _mismatch() -> ApiError:
    return _denied(
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret"
        " Access Key and signing method.",
    )


def _denied(code: str, message: str) -> ApiError:
    return ApiError(code, message, 403)

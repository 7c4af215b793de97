"""S3's answers."""

from __future__ import annotations

from email.utils import formatdate

from starlette.responses import Response

from optml.local.control.errors import ApiError
from optml.local.control.s3 import xml
from optml.local.control.s3.objects import Object


def summary(found: Object, url: bool) -> xml.Tree:
    return (
        ("Key", xml.encoded(found.key, url)),
        ("LastModified", xml.iso(found.modified)),
        ("ETag", f'"{found.etag}"'),
        ("Size", found.size),
        ("StorageClass", "STANDARD"),
    )


def object_headers(found: Object) -> dict[str, str]:
    return {
        "Content-Type": "binary/octet-stream",
        **{
            name.title() if not name.startswith("x-amz") else name: text
            for name, text in found.headers.items()
        },
        "ETag": f'"{found.etag}"',
        "Last-Modified": formatdate(found.modified, usegmt=True),
        "Accept-Ranges": "bytes",
    }


def document(root: str, tree: xml.Tree) -> Response:
    return Response(xml.document(root, tree), media_type="application/xml")


def failed(problem: ApiError, method: str = "GET") -> Response:
    """An error as S3 words it; without a body for HEAD."""
    if method == "HEAD":
        return Response(status_code=problem.status)
    tree = [("Code", problem.code), ("Message", problem.message), *problem.fields.items()]
    body = xml.document("Error", tree).replace(f' xmlns="{xml.NAMESPACE}"'.encode(), b"")
    return Response(body, problem.status, media_type="application/xml")

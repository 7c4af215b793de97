"""Operations on buckets: made, listed, removed; and their listings."""

from __future__ import annotations

import base64

from starlette.responses import Response

from optml.local.control.errors import ApiError
from optml.local.control.s3 import xml
from optml.local.control.s3.answers import document, summary
from optml.local.control.s3.call import Call
from optml.local.control.s3.errors import error
from optml.local.control.s3.listing import page
from optml.local.control.s3.operations.worker import Worker
from optml.local.control.s3.store import Store

# Sub-resources of a bucket or an object that are accepted and mean nothing here, and what GET answers.
_EMPTY = {
    "acl": ("AccessControlPolicy", ()),
    "versioning": ("VersioningConfiguration", ()),
    "tagging": ("Tagging", (("TagSet", ()),)),
    "accelerate": ("AccelerateConfiguration", ()),
    "logging": ("BucketLoggingStatus", ()),
    "notification": ("NotificationConfiguration", ()),
    "requestPayment": ("RequestPaymentConfiguration", (("Payer", "BucketOwner"),)),
}
IGNORED = (*_EMPTY, "lifecycle", "policy", "cors", "encryption", "publicAccessBlock", "ownershipControls")
_OWNER = ("Owner", (("ID", "optml"), ("DisplayName", "optml")))


class Buckets:
    """Answers requests that name no key."""

    def __init__(self, store: Store, worker: Worker, region: str) -> None:
        self._store = store
        self._worker = worker
        self._region = region

    async def ignored(self, call: Call, name: str) -> Response:
        await self._worker.run(self._store.bucket, call.bucket)
        if call.request.method in ("PUT", "DELETE", "POST"):
            await call.discard()
            return Response(status_code=200 if call.request.method == "PUT" else 204)
        if name not in _EMPTY:
            raise ApiError(f"NoSuch{name[0].upper()}{name[1:]}Configuration", "There is none.", 404)
        return document(*_EMPTY[name])

    async def names(self, call: Call) -> Response:
        names = await self._worker.run(self._store.buckets)
        buckets = [
            ("Bucket", (("Name", name), ("CreationDate", xml.iso(created))))
            for name, created in names
            if name.startswith(call.query.get("prefix", ""))
        ]
        return document("ListAllMyBucketsResult", (_OWNER, ("Buckets", buckets)))

    async def head(self, call: Call) -> Response:
        await self._worker.run(self._store.bucket, call.bucket)
        return Response(headers={"x-amz-bucket-region": self._region})

    async def create(self, call: Call) -> Response:
        await call.discard()
        await self._worker.run(self._store.create, call.bucket)
        return Response(headers={"Location": f"/{call.bucket}"})

    async def remove(self, call: Call) -> Response:
        await self._worker.run(self._store.remove, call.bucket)
        return Response(status_code=204)

    async def listing(self, call: Call) -> Response:
        if "location" in call.query:
            await self._worker.run(self._store.bucket, call.bucket)
            region = "" if self._region == "us-east-1" else self._region
            return Response(xml.document("LocationConstraint", ()).replace(b"><", f">{region}<".encode()))
        return await self._worker.run(self._listing, call)

    def _listing(self, call: Call) -> Response:
        second = call.query.get("list-type") == "2"
        url = call.query.get("encoding-type") == "url"
        prefix, delimiter = call.query.get("prefix", ""), call.query.get("delimiter", "")
        most = min(call.number("max-keys", 1000), 1000)
        token = call.query.get("continuation-token")
        after = call.query.get("start-after" if second else "marker", "")
        if token is not None:
            try:
                after = base64.urlsafe_b64decode(token).decode()
            except ValueError:
                raise error("InvalidArgument", "The continuation token provided is incorrect") from None
        found = page(self._store.bucket(call.bucket), prefix, delimiter, after, most)
        own: list[tuple[str, object]] = [("Name", call.bucket), ("Prefix", xml.encoded(prefix, url))]
        if second:
            own += [("KeyCount", len(found.objects) + len(found.prefixes)), ("ContinuationToken", token)]
            if found.last is not None:
                own.append(("NextContinuationToken", base64.urlsafe_b64encode(found.last.encode()).decode()))
            own.append(("StartAfter", xml.encoded(call.query.get("start-after", ""), url) or None))
        else:
            own.append(("Marker", xml.encoded(after, url)))
            own.append(("NextMarker", xml.encoded(found.last, url) if found.last is not None else None))
        own += [
            ("MaxKeys", most),
            ("Delimiter", xml.encoded(delimiter, url) or None),
            ("IsTruncated", found.last is not None),
            ("EncodingType", "url" if url else None),
        ]
        own += [("Contents", summary(each, url)) for each in found.objects]
        own += [("CommonPrefixes", (("Prefix", xml.encoded(each, url)),)) for each in found.prefixes]
        return document("ListBucketResult", own)

    async def delete_objects(self, call: Call) -> Response:
        if "delete" not in call.query:
            raise error("NotImplemented")
        root = await call.xml()
        keys = [each.findtext("Key") or "" for each in root.findall("Object")]
        bucket = await self._worker.run(self._store.bucket, call.bucket)
        quiet = root.findtext("Quiet") == "true"
        for key in keys:
            await self._worker.run(bucket.delete, key)
        return document("DeleteResult", () if quiet else [("Deleted", (("Key", key),)) for key in keys])

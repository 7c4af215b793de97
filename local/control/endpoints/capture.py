"""Data capture: requests and answers of an endpoint, as lines of JSON in S3."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import random
import threading
import time
import uuid
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from optml.formats.content_type import CSV, JSON
from optml.local.control.endpoints.manager import Manager
from optml.local.control.endpoints.requests import Invocation
from optml.local.control.endpoints.variants import Variant
from optml.local.control.errors import ApiError
from optml.local.control.s3.objects import split

if TYPE_CHECKING:
    from optml.local.control.context import Context
    from optml.local.control.endpoints.invoker import ContainerReply

log = logging.getLogger(__name__)

_FLUSH_SECONDS = 5.0
_MOST = 4 << 20  # bytes of lines that wait: then they are written at once


class Capture:
    """Lines are collected for some seconds, then become an object."""

    def __init__(self, context: Context, endpoints: Manager) -> None:
        self._context = context
        self._endpoints = endpoints
        self._lock = threading.Lock()
        self._lines: dict[tuple[str, str, str], list[bytes]] = defaultdict(list)
        self._size = 0
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name="capture", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing = True
        self._wake.set()
        self._thread.join()

    def wants(self, variant: Variant, endpoint: str) -> bool:
        """Is the next answer of this variant to be kept?"""
        deployment = self._endpoints.deployment(endpoint)
        config = deployment.config.get("DataCaptureConfig") if deployment else None
        if not config or not config.get("EnableCapture"):
            return False
        return random.random() * 100 < float(config["InitialSamplingPercentage"])  # noqa: S311

    def keep(self, call: Invocation, reply: ContainerReply, body: bytes) -> None:
        deployment = self._endpoints.deployment(call.endpoint)
        if deployment is None:
            return
        config = deployment.config["DataCaptureConfig"]
        modes = {option["CaptureMode"] for option in config.get("CaptureOptions", ())}
        types = config.get("CaptureContentTypeHeader", {})
        captured: dict[str, Any] = {}
        if modes & {"Input", "InputAndOutput"} and isinstance(call.body, bytes):
            content = call.header("content-type") or ""
            captured["endpointInput"] = _side(call.body, content, types, "INPUT")
        if modes & {"Output", "InputAndOutput"}:
            captured["endpointOutput"] = _side(body, reply.content_type.decode("latin-1"), types, "OUTPUT")
        metadata = {
            "eventId": str(uuid.uuid4()),
            "inferenceTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if identity := call.header("x-amzn-sagemaker-inference-id"):
            metadata["inferenceId"] = identity
        line = {"captureData": captured, "eventMetadata": metadata, "eventVersion": "0"}
        encoded = json.dumps(line).encode() + b"\n"
        with self._lock:
            self._lines[config["DestinationS3Uri"], call.endpoint, reply.variant.name].append(encoded)
            self._size += len(encoded)
            if self._size > _MOST:
                self._wake.set()

    def flush(self) -> None:
        with self._lock:
            lines, self._lines, self._size = self._lines, defaultdict(list), 0
        for (uri, endpoint, variant), found in lines.items():
            try:
                self._write(uri, endpoint, variant, b"".join(found))
            except (ApiError, OSError) as error:
                log.error("data capture of %s: %s", endpoint, error)

    def _write(self, uri: str, endpoint: str, variant: str, body: bytes) -> None:
        bucket, prefix = split(uri.rstrip("/"))
        now = datetime.now(UTC)
        name = f"{now:%Y/%m/%d/%H}/{now:%M-%S}-{time.time_ns() % 10**9:09d}-{uuid.uuid4()}.jsonl"
        key = "/".join(part for part in (prefix, endpoint, variant, name) if part)
        content, path = self._context.s3.contents.new()
        path.write_bytes(body)
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        self._context.s3.bucket(bucket).put(key, content, len(body), md5, {})

    def _loop(self) -> None:
        while not self._closing:
            self._wake.wait(_FLUSH_SECONDS)
            self._wake.clear()
            self.flush()


def _side(body: bytes, content_type: str, types: dict[str, Any], mode: str) -> dict[str, str]:
    """The data as text where the configuration says so of their type, else in base64."""
    media = content_type.partition(";")[0].strip()
    if media in types.get("CsvContentTypes", [CSV]):
        encoding = "CSV"
    elif media in types.get("JsonContentTypes", [JSON]):
        encoding = "JSON"
    else:
        encoding = "BASE64"
    data = base64.b64encode(body).decode()
    if encoding != "BASE64":
        try:
            data = body.decode()
        except UnicodeDecodeError:
            encoding = "BASE64"
    return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": encoding}

"""Asynchronous invocations: accepted onto disk, answered in their turn, the answer put into S3."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from optml.local.control.endpoints import requests
from optml.local.control.endpoints.client import BrokenError
from optml.local.control.endpoints.invoker import Invoker
from optml.local.control.endpoints.manager import Manager
from optml.local.control.endpoints.requests import Invocation
from optml.local.control.errors import ApiError
from optml.local.control.jobs.supervised import write
from optml.local.control.s3.bodies import receive
from optml.local.control.s3.objects import Object, split

if TYPE_CHECKING:
    from optml.local.control.context import Context

log = logging.getLogger(__name__)

MAX_WAITING = 1000  # of one endpoint
_PIECE = 1 << 20  # bytes
_RETRY_SECONDS = 1.0  # while an endpoint is not in service


class Queue:
    """A file in home/async for each request that has no answer yet: a kill loses none."""

    def __init__(self, context: Context, endpoints: Manager, invoker: Invoker) -> None:
        self._context = context
        self._endpoints = endpoints
        self._invoker = invoker
        self._folder = context.home.root / "async"
        self._tasks: set[asyncio.Task[None]] = set()
        self._limits: dict[str, asyncio.Semaphore] = {}
        self._waiting: dict[str, int] = {}

    def start(self) -> None:
        self._folder.mkdir(exist_ok=True)
        for path in sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns):
            self._begin(path, json.loads(path.read_text()))

    def close(self) -> None:
        def cancel() -> None:
            for task in self._tasks:
                task.cancel()

        self._context.in_loop(cancel)

    async def accept(self, name: str, request: Request) -> Response:
        """Raises ApiError for what cannot be queued."""
        deployment = self._endpoints.deployment(name)
        if deployment is None:
            endpoint = self._context.resources.get("Endpoint", name)
            raise requests.not_in_service(name, endpoint.status) if endpoint else requests.unknown(name)
        config = deployment.config.get("AsyncInferenceConfig")
        if config is None:
            raise ApiError("ValidationError", f"Endpoint {name} takes no asynchronous invocations.")
        source = request.headers.get("x-amzn-sagemaker-inputlocation")
        if source is None:
            source = await self._stored(name, config, request)
        if self._waiting.get(name, 0) >= MAX_WAITING:
            raise ApiError("ServiceUnavailable", f"{MAX_WAITING} requests of {name} wait already.", 503)
        identity = request.headers.get("x-amzn-sagemaker-inference-id") or str(uuid.uuid4())
        output = config["OutputConfig"]["S3OutputPath"].rstrip("/")
        failure = (config["OutputConfig"].get("S3FailurePath") or output).rstrip("/")
        number = str(uuid.uuid4())
        job = {
            "endpoint": name,
            "input": source,
            "output": f"{output}/{number}.out",
            "failure": f"{failure}/{number}-error.out",
            "headers": _passed(request),
            "concurrent": config.get("ClientConfig", {}).get("MaxConcurrentInvocationsPerInstance", 4),
            "until": time.time() + int(request.headers.get("x-amzn-sagemaker-requestttlseconds", 21600)),
        }
        path = self._folder / f"{number}.json"
        await asyncio.to_thread(write, path, json.dumps(job))
        self._begin(path, job)
        headers = {
            "X-Amzn-SageMaker-OutputLocation": job["output"],
            "X-Amzn-SageMaker-FailureLocation": job["failure"],
        }
        return JSONResponse({"InferenceId": identity}, 202, headers)

    async def _stored(self, name: str, config: dict[str, Any], request: Request) -> str:
        """A body that came with the request, as an object."""
        base = config["OutputConfig"]["S3OutputPath"].rstrip("/")
        uri = f"{base}/async-endpoint-inputs/{name}/{uuid.uuid4()}"
        content, path = self._context.s3.contents.new()
        body = await receive(request.stream(), {}, path, self._context.pool)
        bucket, key = split(uri)
        await asyncio.to_thread(self._context.s3.bucket(bucket).put, key, content, body.size, body.md5, {})
        return uri

    def _begin(self, path: Path, job: dict[str, Any]) -> None:
        name = job["endpoint"]
        self._waiting[name] = self._waiting.get(name, 0) + 1
        task = asyncio.get_running_loop().create_task(self._run(path, job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, path: Path, job: dict[str, Any]) -> None:
        name = job["endpoint"]
        limit = self._limits.setdefault(name, asyncio.Semaphore(job["concurrent"]))
        async with limit:
            try:
                await self._answered(job)
            except (ApiError, BrokenError, OSError) as error:
                await self._failed(job, str(error))
            except Exception as error:
                log.exception("asynchronous invocation of %s", name)
                await self._failed(job, f"InternalFailure: {type(error).__name__}: {error}")
            finally:
                self._waiting[name] -= 1
        path.unlink(missing_ok=True)

    async def _answered(self, job: dict[str, Any]) -> None:
        found = await asyncio.to_thread(self._context.s3.find, job["input"])
        if found is None:
            raise ApiError("ValidationError", f"There is no object at {job['input']}.")
        headers = {key.encode(): text.encode("latin-1") for key, text in job["headers"].items()}
        while True:
            call = Invocation(job["endpoint"], headers, _pieces(found), found.size)
            try:
                reply = await self._invoker.invoke(call)
                break
            except ApiError as error:
                waits = error.code == "ValidationError" and "is not InService" in error.message
                if not waits or time.time() > job["until"]:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)
        content, path = self._context.s3.contents.new()
        try:
            body = await receive(reply.answer.body(), {}, path, self._context.pool)
        finally:
            reply.done()
        kept = {"content-type": reply.content_type.decode("latin-1")}
        bucket, key = split(job["output"])
        await asyncio.to_thread(self._context.s3.bucket(bucket).put, key, content, body.size, body.md5, kept)

    async def _failed(self, job: dict[str, Any], message: str) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield message.encode()

        content, path = self._context.s3.contents.new()
        body = await receive(pieces(), {}, path, self._context.pool)
        bucket, key = split(job["failure"])
        try:
            await asyncio.to_thread(
                self._context.s3.bucket(bucket).put, key, content, body.size, body.md5, {}
            )
        except ApiError as error:
            log.error("asynchronous invocation of %s: %s: %s", job["endpoint"], job["failure"], error)


def _passed(request: Request) -> dict[str, str]:
    """The headers for the container. Of an asynchronous invocation they come under names of their own."""
    passed = {key: text for key, text in request.headers.items() if key.encode() in requests.PASSED}
    passed.pop("content-type", None)
    for name in ("content-type", "accept"):
        if (value := request.headers.get(f"x-amzn-sagemaker-{name}")) is not None:
            passed[name] = value
    return passed


async def _pieces(found: Object) -> AsyncIterator[bytes]:
    with found.path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece

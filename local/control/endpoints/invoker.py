"""An invocation, from the request to the answer of the last container."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optml.formats.content_type import CSV
from optml.local.control.endpoints import requests
from optml.local.control.endpoints.client import BrokenError, ServerAnswer
from optml.local.control.endpoints.counts import Counts
from optml.local.control.endpoints.manager import Manager
from optml.local.control.endpoints.models import path_of
from optml.local.control.endpoints.requests import Invocation
from optml.local.control.endpoints.variants import Deployment, Instance, Stage, Variant
from optml.local.control.errors import ApiError

if TYPE_CHECKING:
    from optml.local.control.context import Context

START_WAIT = 60.0  # seconds that an invocation waits for an endpoint that starts again
_TRIES = 3  # instances that may have died under a request


@dataclass(slots=True)
class ContainerReply:
    """The answer of a container: `body` in pieces, once; then `done` must be called."""

    variant: Variant
    content_type: bytes
    custom: bytes | None
    length: bytes | None
    answer: ServerAnswer
    stage: Stage
    instance: Instance
    began: float

    async def body(self) -> AsyncIterator[bytes]:
        async for piece in self.answer.body():
            yield piece

    def done(self) -> None:
        self.stage.pool.release(self.answer)
        self.instance.busy -= 1
        self.instance.used = time.monotonic()


class Invoker:
    """Runs on the event loop alone."""

    def __init__(self, context: Context, endpoints: Manager, counts: Counts) -> None:
        self._context = context
        self._endpoints = endpoints
        self._counts = counts

    async def invoke(self, call: Invocation) -> ContainerReply:
        """Raises ApiError: the endpoint or variant is unknown, or ModelError for what a container says."""
        deployment = await self._deployment(call.endpoint)
        target = call.header("x-amzn-sagemaker-target-variant")
        variant = deployment.choose(target)
        if variant is None:
            raise ApiError("ValidationError", f"Variant {target} of endpoint {call.endpoint} not found.")
        began = time.perf_counter()
        try:
            reply = await self._tried(call, variant, began)
        except ApiError as error:
            status = int(str(error.fields.get("OriginalStatusCode", 400)))
            self._counts.invocation(call.endpoint, variant.name, time.perf_counter() - began, status)
            raise
        self._counts.invocation(call.endpoint, variant.name, time.perf_counter() - began, 200)
        return reply

    async def _deployment(self, name: str) -> Deployment:
        deadline = time.monotonic() + START_WAIT
        while (deployment := self._endpoints.deployment(name)) is None:
            endpoint = self._context.resources.get("Endpoint", name)
            if endpoint is None:
                raise requests.unknown(name)
            if endpoint.status != "InService" or time.monotonic() > deadline:
                raise requests.not_in_service(name, endpoint.status)
            await asyncio.sleep(0.05)  # the control plane has been started again: it comes
        return deployment

    async def _tried(self, call: Invocation, variant: Variant, began: float) -> ContainerReply:
        for attempt in range(_TRIES):
            instance = variant.choose()
            if instance is None and variant.serverless:
                loop = asyncio.get_running_loop()
                instance = await loop.run_in_executor(None, self._endpoints.wake, variant)
            if instance is None:
                raise self._failed(0, "no instance is in service", "primary", call.endpoint)
            instance.busy += 1
            try:
                return await self._through(call, variant, instance, began)
            except BrokenError as error:
                instance.busy -= 1
                last = attempt == _TRIES - 1 or not isinstance(call.body, bytes)
                if last or (instance.alive and attempt):
                    raise self._failed(0, str(error), "primary", call.endpoint) from None
            except BaseException:
                instance.busy -= 1
                raise
        raise AssertionError("the last try returns or raises")

    async def _through(
        self, call: Invocation, variant: Variant, instance: Instance, began: float
    ) -> ContainerReply:
        """Pass the request through the containers; `instance.busy` is the reply's from then on."""
        stages = instance.stages
        if variant.chain.direct:
            stages = [self._named(instance, call)]
        body, headers = call.body, call.passed()
        for stage in stages:
            last = stage is stages[-1]
            if not last:
                headers = [pair for pair in headers if pair[0] != b"Accept"]
            elif accept := call.headers.get(b"accept"):
                headers = [pair for pair in headers if pair[0] != b"Accept"] + [(b"Accept", accept)]
            path = await path_of(call, stage, self._context)
            answer = await stage.pool.request("POST", path, headers, body)
            name = stage.container.hostname if len(instance.stages) > 1 else "primary"
            if not 200 <= answer.status < 300:
                message = (await answer.read()).decode(errors="replace")
                stage.pool.release(answer)
                raise self._failed(answer.status, message, name, call.endpoint)
            if last:
                found = answer.headers
                return ContainerReply(
                    variant,
                    found.get(b"content-type", b"application/octet-stream"),
                    found.get(b"x-amzn-sagemaker-custom-attributes"),
                    found.get(b"content-length"),
                    answer,
                    stage,
                    instance,
                    began,
                )
            body = await answer.read()
            stage.pool.release(answer)
            headers = [pair for pair in headers if pair[0] not in (b"Content-Type", b"Content-Length")]
            headers.append((b"Content-Type", answer.headers.get(b"content-type", CSV.encode())))
        raise AssertionError("a chain has a last container")

    def _named(self, instance: Instance, call: Invocation) -> Stage:
        wanted = call.header("x-amzn-sagemaker-target-container-hostname")
        stage = next((stage for stage in instance.stages if stage.container.hostname == wanted), None)
        if stage is None:
            names = ", ".join(stage.container.hostname for stage in instance.stages)
            raise ApiError("ValidationError", f"TargetContainerHostname {wanted}: expected one of {names}.")
        return stage

    def _failed(self, status: int, message: str, container: str, endpoint: str) -> ApiError:
        log = f"{self._context.url}/console/endpoints/{endpoint}"
        return requests.model_error(status, message, container, log, f"/aws/sagemaker/Endpoints/{endpoint}")

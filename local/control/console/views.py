"""The pages: made on the server, readable without a script; scripts only keep them up to date."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from optml.local.control import support
from optml.local.control.console import code as snippets
from optml.local.control.console.charts import Point, svg
from optml.local.control.console.events import TICK, event
from optml.local.control.console.invoke import Form, content_types, tried
from optml.local.control.console.tuning import TuningPages
from optml.local.control.errors import ApiError
from optml.local.control.jobs import lifecycle, logs, metrics
from optml.local.control.plane import Plane
from optml.local.control.programs import slug_of
from optml.local.control.resources import Resource
from optml.local.control.s3.listing import page

_LINES = 400  # of a log, on a page
_KEYS = 500  # of a bucket, on a page
_KINDS = {"training": "TrainingJob", "transform": "TransformJob"}


class Console:
    """Answers what is asked below /console."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._templates = Environment(
            loader=PackageLoader("optml.local.control.console"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"time": _time, "seconds": _seconds, "size": _size, "segment": _segment}
        routes = [
            Route("/console", self._jobs),
            Route("/console/jobs/{kind}/{name}", self._job),
            Route("/console/jobs/{kind}/{name}/events", self._events),
            *TuningPages(plane, self._render, self._page).routes,
            Route("/console/endpoints", self._endpoints),
            Route("/console/endpoints/{name}", self._endpoint, methods=["GET", "POST"]),
            Route("/console/s3", self._buckets),
            Route("/console/s3/{bucket}", self._objects),
            Route("/console/s3/{bucket}/{key:path}", self._object),
            Route("/console/support", self._support),
            Route("/console/static/{name}", self._static),
            Route("/", lambda request: RedirectResponse("/console")),
        ]
        self._router = Router(routes, default=self._nothing)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._router(scope, receive, send)
        except HTTPException:
            await self._missing("There is no such page.")(scope, receive, send)
        except ApiError as error:
            await self._missing(error.message)(scope, receive, send)

    async def _nothing(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise HTTPException(404)

    def _render(self, template: str, **values: Any) -> str:
        return self._templates.get_template(template).render(**values, plane=self._plane, now=time.time())

    def _page(self, template: str, code: int = 200, **values: Any) -> HTMLResponse:
        return HTMLResponse(self._render(template, **values), code, headers={"Cache-Control": "no-store"})

    def _missing(self, message: str) -> HTMLResponse:
        return self._page("missing.html", 404, message=message)

    # Jobs

    async def _jobs(self, request: Request) -> Response:
        wanted, text = request.query_params.get("status", ""), request.query_params.get("name", "")
        jobs = [
            (path, job)
            for path, kind in _KINDS.items()
            for job in self._plane.resources.all(kind)
            if wanted in ("", job.status) and text.lower() in job.name.lower()
        ]
        jobs.sort(key=lambda each: each[1].created, reverse=True)
        statuses = ("InProgress", "Completed", "Failed", "Stopping", "Stopped")
        return self._page(
            "jobs.html", jobs=jobs[:200], total=len(jobs), status=wanted, name=text, statuses=statuses
        )

    def _found(self, request: Request) -> Resource:
        kind = _KINDS.get(request.path_params["kind"])
        job = self._plane.resources.get(kind, request.path_params["name"]) if kind else None
        if job is None:
            raise HTTPException(404)
        return job

    async def _job(self, request: Request) -> Response:
        job = self._found(request)
        values = self._values(job)
        charts = [(name, points[-1][1], svg(points, name)) for name, points in values.items()]
        image = job.request.get("AlgorithmSpecification", {}).get("TrainingImage", "")
        return self._page(
            "job.html",
            job=job,
            path=request.path_params["kind"],
            charts=charts,
            values=json.dumps(values).replace("<", "\\u003c"),
            lines=self._tail(self._plane.home.job(request.path_params["kind"], job.name) / "log"),
            slug=slug_of(image),
            again=snippets.training_job(job.request) if job.kind == "TrainingJob" else "",
            live=job.status not in lifecycle.ENDED,
        )

    async def _events(self, request: Request) -> Response:
        job = self._found(request)

        async def stream() -> AsyncIterator[str]:
            folder = self._plane.home.job(request.path_params["kind"], job.name) / "log"
            seen = ""
            while not await request.is_disconnected():
                state = await asyncio.to_thread(self._state, job, folder)
                for name, text in state.items():
                    if text != seen or name == "status":
                        yield event(name, text)
                seen = state["values"]
                current = self._plane.resources.get(job.kind, job.name)
                if current is None or current.status in lifecycle.ENDED:
                    yield event("ended", "ended")
                    return
                await asyncio.sleep(TICK)

        return StreamingResponse(
            stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    def _state(self, job: Resource, folder: Path) -> dict[str, str]:
        current = self._plane.resources.get(job.kind, job.name) or job
        status = self._templates.get_template("status.html").render(job=current)
        log = self._templates.get_template("log.html").render(lines=self._tail(folder))
        return {"values": json.dumps(self._values(current)), "status": status, "log": log}

    def _values(self, job: Resource) -> dict[str, list[Point]]:
        """Every value of each metric, over the time, or over their numbers where all come at once."""
        found: dict[str, list[Point]] = {}
        for name, when, value in metrics.values(job.name, self._plane.database):
            found.setdefault(name, []).append((when, value))
        return {
            name: points
            if points[-1][0] > points[0][0]
            else [(n, value) for n, (_, value) in enumerate(points, 1)]
            for name, points in sorted(found.items())
        }

    def _tail(self, folder: Path) -> list[str]:
        paths = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
        lines = []
        for path in paths[-4:]:
            mark = f"[{path.stem}] " if len(paths) > 1 else ""
            lines += [mark + event.text for event in logs.tail(path, _LINES // min(len(paths), 4))]
        return lines

    # Endpoints

    async def _endpoints(self, request: Request) -> Response:
        endpoints = sorted(self._plane.resources.all("Endpoint"), key=lambda each: each.created, reverse=True)
        return self._page(
            "endpoints.html", endpoints=[(each, self._traffic(each.name)) for each in endpoints]
        )

    def _traffic(self, name: str) -> dict[str, float]:
        """Requests and the mean latency, in milliseconds, of the last hour."""
        deployment = self._plane.endpoints.deployment(name)
        variants = [variant.name for variant in deployment.variants] if deployment else []
        return self._plane.counts.summary(name, variants, 3600.0)

    async def _endpoint(self, request: Request) -> Response:
        endpoint = self._plane.resources.get("Endpoint", request.path_params["name"])
        if endpoint is None:
            raise HTTPException(404)
        answer = None
        reads, writes = content_types(endpoint)
        form = Form(reads[0], writes[0])
        if request.method == "POST":
            form = Form.read(await request.body(), request.headers.get("content-type", ""), form)
            answer = await tried(self._plane, endpoint.name, form)
        deployment = self._plane.endpoints.deployment(endpoint.name)
        folder = self._plane.home.endpoint(endpoint.name) / "log"
        return self._page(
            "endpoint.html",
            endpoint=endpoint,
            variants=deployment.summaries() if deployment else [],
            traffic=self._traffic(endpoint.name),
            form=form,
            reads=reads,
            writes=writes,
            answer=answer,
            snippets=snippets.invocation(self._plane.url, endpoint.name),
            lines=[line for each in sorted(folder.glob("*")) for line in self._tail(each)][-_LINES:],
        )

    # S3

    async def _buckets(self, request: Request) -> Response:
        return self._page("buckets.html", buckets=self._plane.s3.buckets())

    async def _objects(self, request: Request) -> Response:
        bucket, prefix = request.path_params["bucket"], request.query_params.get("prefix", "")
        found = page(self._plane.s3.bucket(bucket), prefix, "/", request.query_params.get("after", ""), _KEYS)
        parts = prefix.split("/")[:-1]
        crumbs = [(part, "/".join(parts[: n + 1]) + "/") for n, part in enumerate(parts)]
        return self._page("objects.html", bucket=bucket, prefix=prefix, crumbs=crumbs, found=found)

    async def _object(self, request: Request) -> Response:
        key = request.scope["path"].removeprefix(f"/console/s3/{request.path_params['bucket']}/")
        found = self._plane.s3.bucket(request.path_params["bucket"]).get(key)
        if found is None:
            raise HTTPException(404)
        name = quote(key.rpartition("/")[2] or "object")
        # Never shown in the console's own origin: an object may be anybody's page.
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
            "X-Content-Type-Options": "nosniff",
        }
        return FileResponse(found.path, media_type="application/x-download", headers=headers)

    # The rest

    async def _support(self, request: Request) -> Response:
        return self._page("support.html", seen=support.seen(self._plane))

    async def _static(self, request: Request) -> Response:
        name = request.path_params["name"]
        path = Path(str(files("optml.local.control.console"))) / "static" / name
        if "/" in name or not path.is_file():
            raise HTTPException(404)
        return FileResponse(path, headers={"Cache-Control": "max-age=3600"})


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _seconds(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _size(number: int) -> str:
    amount = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError


def _segment(text: str) -> str:
    """A key as a part of an address."""
    return quote(text, safe="/")

"""The pages of tuning jobs: what was tried, what came of it, and the best of it deployed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from optml.local.control.console.charts import Line, parallel, scatter
from optml.local.control.console.events import TICK, event
from optml.local.control.plane import Plane
from optml.local.control.resources import Resource
from optml.local.control.services import hosting
from optml.local.control.tuning.children import Child
from optml.local.control.tuning.state import KIND, TuningState, ended
from optml.local.tuning.definition import Objective

ROWS = 500  # trials of a page


class TuningPages:
    """render: (template, values) -> its text.   page: the same as an answer."""

    def __init__(self, plane: Plane, render: Callable[..., str], page: Callable[..., Response]) -> None:
        self._plane = plane
        self._render = render
        self._page = page
        self.routes = [
            Route("/console/tuning", self._list),
            Route("/console/tuning/{name}", self._show),
            Route("/console/tuning/{name}/events", self._events),
            Route("/console/tuning/{name}/deploy", self._deploy, methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        jobs = sorted(self._plane.resources.all(KIND), key=lambda job: job.created, reverse=True)
        states = await asyncio.to_thread(lambda: [TuningState.of(self._plane, job) for job in jobs[:200]])
        return self._page("tunings.html", states=states, total=len(jobs))

    def _job(self, request: Request) -> Resource:
        job = self._plane.resources.get(KIND, request.path_params["name"])
        if job is None:
            raise HTTPException(404)
        return job

    async def _show(self, request: Request) -> Response:
        job = self._job(request)
        values = await asyncio.to_thread(self._values, job)
        return self._page("tuning.html", live=not ended(job), **values)

    def _values(self, job: Resource) -> dict[str, Any]:
        """What the page's living part shows."""
        state = TuningState.of(self._plane, job)
        best = state.best
        objective = state.tuning.definitions[0].objective
        done = [child for child in state.children if child.trial.value is not None]
        done.sort(key=lambda child: child.trial.ended or 0.0)
        names = sorted({name for child in state.children for name in child.trial.parameters})
        return {
            "job": job,
            "state": state,
            "best": best,
            "objective": objective,
            "names": names,
            "children": sorted(state.children, key=_rank(objective))[:ROWS],
            "scatter": scatter(
                [_value(child) for child in done], objective.metric, maximize=objective.maximize
            ),
            "parallel": parallel(*_axes(state, done, best)),
        }

    async def _events(self, request: Request) -> Response:
        job = self._job(request)

        async def stream() -> AsyncIterator[str]:
            seen = ""
            while not await request.is_disconnected():
                current = self._plane.resources.get(KIND, job.name)
                if current is None or ended(current):
                    yield event("ended", "ended")
                    return
                text = self._render("trials.html", **await asyncio.to_thread(self._values, current))
                if text != seen:
                    yield event("trials", text)
                    seen = text
                await asyncio.sleep(TICK)

        return StreamingResponse(
            stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    async def _deploy(self, request: Request) -> Response:
        """An endpoint of the best training job's model, called after it."""
        job = self._job(request)
        best = await asyncio.to_thread(lambda: TuningState.of(self._plane, job).best)
        if best is None:
            raise HTTPException(404)
        if self._plane.resources.get("Endpoint", best.job) is None:
            await asyncio.to_thread(self._create, best.job)
        return RedirectResponse(f"/console/endpoints/{best.job}", 303)

    def _create(self, name: str) -> None:
        """Model, configuration and endpoint of a training job, under its name."""
        trained = self._plane.resources.get("TrainingJob", name)
        if trained is None:
            raise HTTPException(404)
        region = trained.arn.split(":")[3]
        model = {
            "ModelName": name,
            "ExecutionRoleArn": trained.request["RoleArn"],
            "PrimaryContainer": {
                "Image": trained.request["AlgorithmSpecification"]["TrainingImage"],
                "ModelDataUrl": trained.state["ModelArtifacts"]["S3ModelArtifacts"],
            },
        }
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": name,
            "InitialInstanceCount": 1,
            "InstanceType": "ml.m5.large",
        }
        if self._plane.resources.get("Model", name) is None:
            hosting.create_model(self._plane, model, region)
        if self._plane.resources.get("EndpointConfig", name) is None:
            config = {"EndpointConfigName": name, "ProductionVariants": [variant]}
            hosting.create_config(self._plane, config, region)
        hosting.create_endpoint(self._plane, {"EndpointName": name, "EndpointConfigName": name}, region)


def _value(child: Child) -> float:
    value = child.trial.value
    assert value is not None
    return value


def _rank(objective: Objective) -> Callable[[Child], tuple[bool, float, int]]:
    """The best first, then those without a value by their numbers."""

    def rank(child: Child) -> tuple[bool, float, int]:
        value = child.trial.value
        return value is None, 0.0 if value is None else objective.loss(value), child.trial.number

    return rank


def _axes(state: TuningState, done: list[Child], best: Child | None) -> tuple[list[str], list[Line]]:
    """The names of what is varied and of the objective, and a line for each trial that has ended."""
    ranges: Mapping[tuple[str, str], Any] = {
        (definition.name, each.name): each
        for definition in state.tuning.definitions
        for each in definition.ranges
    }
    names = list(dict.fromkeys(name for _, name in ranges))
    values = [_value(child) for child in done]
    low, high = min(values, default=0.0), max(values, default=1.0)
    lines = []
    for child, value in zip(done, values, strict=True):
        places: list[float | None] = []
        for name in names:
            span, text = ranges.get((child.trial.definition, name)), child.trial.parameters.get(name)
            places.append(None if span is None or text is None else span.unit(text))
        places.append(0.5 if low == high else (value - low) / (high - low))
        lines.append(Line(places, child is best, f"{child.job}: {value:.6g}"))
    return [*names, state.tuning.definitions[0].objective.metric], lines

"""Servers of many models: each is fetched and loaded when it is first asked for."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from optml.errors import UserError
from optml.formats.content_type import JSON
from optml.local.control.endpoints.containers import fetch
from optml.local.control.endpoints.requests import Invocation
from optml.local.control.endpoints.variants import Stage
from optml.local.control.errors import ApiError
from optml.local.control.s3.objects import split

if TYPE_CHECKING:
    from optml.local.control.context import Context


async def path_of(call: Invocation, stage: Stage, context: Context) -> str:
    """Where the stage's container takes the request; its model is loaded by then. Raises ApiError for a model
    that is not there, or does not load."""
    if stage.container.models is None:
        return "/invocations"
    target = call.header("x-amzn-sagemaker-target-model")
    if not target:
        raise ApiError("ValidationError", "TargetModel is required: this endpoint has many models.")
    uri = stage.container.models[1].rstrip("/") + "/" + target.lstrip("/")
    found = await asyncio.to_thread(_find, uri, context)
    if found is None:
        bucket, key = split(uri)
        raise ApiError(
            "ValidationError",
            f"Failed to download model data(bucket: {bucket}, key: {key}). Please ensure that there is an"
            " object located at the URL and that the role passed to CreateModel has permissions to download"
            " the model.",
        )
    name = hashlib.sha256(f"{uri} {found}".encode()).hexdigest()[:32]  # a new object is a new model
    if name in stage.loaded:
        stage.loaded[name] = stage.loaded.pop(name)  # used last
    else:
        stage.loaded[name] = asyncio.ensure_future(_load(name, uri, stage, context))
    try:
        await asyncio.shield(stage.loaded[name])
    except BaseException:
        if stage.loaded.get(name) is not None and stage.loaded[name].done():
            stage.loaded.pop(name, None)
        raise
    return f"/models/{name}/invoke"


def _find(uri: str, context: Context) -> str | None:
    found = context.s3.find(uri)
    return found.etag if found else None


async def _load(name: str, uri: str, stage: Stage, context: Context) -> None:
    assert stage.container.models is not None
    folder = stage.container.models[0] / name
    try:
        await asyncio.to_thread(_fetched, uri, folder / "model", context)
    except UserError as error:
        raise ApiError("ValidationError", f"Failed to download model data: {error}") from None
    inside = folder if stage.container.serving.docker is None else Path("/opt/ml/models") / name
    body = json.dumps({"model_name": name, "url": str(inside / "model")}).encode()
    while True:
        answer = await stage.pool.request("POST", "/models", [(b"Content-Type", JSON.encode())], body)
        text = (await answer.read()).decode(errors="replace")
        stage.pool.release(answer)
        if answer.status in (200, 409):
            return
        others = [other for other, load in stage.loaded.items() if other != name and load.done()]
        if answer.status != 507 or not others:
            raise ApiError(
                "ModelError",
                f'Received server error ({answer.status}) from primary with message "{text[:2048]}".',
                424,
                OriginalStatusCode=answer.status,
                OriginalMessage=text[:2048],
            )
        await _unload(others[0], stage)


async def _unload(name: str, stage: Stage) -> None:
    """Make room: the model that was not used for longest goes."""
    assert stage.container.models is not None
    stage.loaded.pop(name, None)
    answer = await stage.pool.request("DELETE", f"/models/{name}", [], b"")
    await answer.read()
    stage.pool.release(answer)
    await asyncio.to_thread(shutil.rmtree, stage.container.models[0] / name, ignore_errors=True)


def _fetched(uri: str, folder: Path, context: Context) -> None:
    """For several instances side by side: what is there whole is taken."""
    if not folder.is_dir():
        part = folder.with_name(uuid.uuid4().hex)
        fetch(uri, part, context)
        try:
            part.rename(folder)
        except OSError:  # another instance was faster
            shutil.rmtree(part)

"""The containers of a model: what CreateModel was told, made ready to be served."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optml.container.archives import extract
from optml.errors import UserError
from optml.local.control.endpoints.server import Serving
from optml.local.control.errors import ApiError
from optml.local.control.jobs import artifacts

if TYPE_CHECKING:
    from optml.local.control.context import Context


@dataclass(frozen=True, slots=True)
class Container:
    """hostname: by which a Direct invocation names it.   models: where a server of many models finds them,
    and the prefix in S3 that they come from; None: it has one."""

    hostname: str
    serving: Serving
    models: tuple[Path, str] | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """The containers that a request passes through, one after the other; `direct`: it names one."""

    containers: tuple[Container, ...]
    direct: bool = False


def prepare(
    model: Mapping[str, Any], folder: Path, context: Context, environment: Mapping[str, str]
) -> Chain:
    """Fetch and unpack the artifacts of a model into `folder`. Raises UserError for what is not there."""
    described = model.get("Containers") or [model.get("PrimaryContainer") or {}]
    several = len(described) > 1
    containers = []
    for number, container in enumerate(described):
        hostname = container.get("ContainerHostname") or f"container-{number + 1}"
        containers.append(_container(container, hostname, folder / hostname, context, environment))
    direct = several and (model.get("InferenceExecutionConfig") or {}).get("Mode") == "Direct"
    return Chain(tuple(containers), direct)


def _container(
    container: Mapping[str, Any],
    hostname: str,
    folder: Path,
    context: Context,
    environment: Mapping[str, str],
) -> Container:
    image = container.get("Image")
    if not image:
        raise UserError(f"container {hostname} names no Image; optml knows no model packages yet")
    program = context.programs.of(image)
    variables = {**environment, **(container.get("Environment") or {})}
    if program.slug and program.docker:  # an image of all algorithms is told which
        variables.setdefault("OPTML_ALGORITHM", program.slug)
    source = _source(container)
    if container.get("Mode") == "MultiModel":
        models = folder / "models"
        models.mkdir(parents=True, exist_ok=True)
        variables["SAGEMAKER_MULTI_MODEL"] = "true"
        mount = ("-v", f"{models}:/opt/ml/models")
        return Container(hostname, Serving(None, program.docker, variables, mount), (models, source or ""))
    if source is None:
        if program.slug:
            raise UserError(f"container {hostname} names no ModelDataUrl: there is no model to serve")
        return Container(hostname, Serving(None, program.docker, variables))
    target = folder / hashlib.sha256(source.encode()).hexdigest()[:16]
    fetch(source, target, context)
    return Container(hostname, Serving(target, program.docker, variables))


def _source(container: Mapping[str, Any]) -> str | None:
    if url := container.get("ModelDataUrl"):
        return str(url)
    described = (container.get("ModelDataSource") or {}).get("S3DataSource")
    return str(described["S3Uri"]) if described else None


def fetch(uri: str, folder: Path, context: Context) -> None:
    """A model from S3 as a folder: an archive unpacked, or the objects under a prefix. Raises UserError."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        found = context.s3.find(uri)
        if found is not None:
            archive = folder.with_name(f"{folder.name}.tar.gz")
            archive.parent.mkdir(parents=True, exist_ok=True)
            archive.unlink(missing_ok=True)
            archive.symlink_to(found.path)
            try:
                extract(archive, folder)
            finally:
                archive.unlink()
            return
        artifacts.fetch(uri, folder, context.s3)
    except ApiError as error:
        raise UserError(f"{uri}: {error.message}") from None
    if not folder.is_dir():
        raise UserError(f"there is no model data at {uri}")

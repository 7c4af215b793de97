"""Which program an image's name stands for: our `train` and `serve` as processes, or a container."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from optml.algorithms import registry
from optml.errors import UserError
from optml.local.control.tuning.oracle import Oracle
from optml.local.tuning.tables import Table

Engine = Literal["auto", "process", "docker"]


@dataclass(frozen=True, slots=True)
class Program:
    """slug: of our algorithm; None: not ours.   docker: the image to run; None: this Python."""

    slug: str | None
    docker: str | None


class Programs:
    """Answers for images. With the engine `auto` ours run in Docker where their image is built, as processes
    otherwise; images that are not ours always need Docker."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._docker: bool | None = None

    def of(self, image: str) -> Program:
        """Raises UserError for an image that cannot be run here."""
        slug = slug_of(image)
        if slug is not None and self._engine == "process":
            return Program(slug, None)
        there = self.has_docker()
        if slug is None:
            if not there:
                raise UserError(
                    f"image {image} needs Docker, which is not running; "
                    f"optml's own algorithms are: {', '.join(registry.available())}"
                )
            return Program(None, image)
        built = next((name for name in _own_images(image, slug) if there and _has_image(name)), None)
        if built is None and self._engine == "docker":
            raise UserError(
                f"there is no image of {slug}: make image-cpu ALGORITHM={slug} builds optml/{slug}:cpu"
            )
        return Program(slug, built)

    def has_docker(self) -> bool:
        """Is an engine running? Asked again as long as there is none."""
        with self._lock:
            if not self._docker:
                self._docker = _quiet("docker", "info", "--format", "{{.ServerVersion}}")
            return self._docker


def slug_of(image: str) -> str | None:
    """The algorithm that the repository of an image is named after, as AWS names its own and we ours."""
    path, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    names = [path.removeprefix("sagemaker-")]
    if path in ("optml", "all"):  # optml:kmeans-cpu
        names = [tag.removesuffix("-cpu").removesuffix("-gpu")]
    return next((name for name in names if name in registry.MODULES), None)


def _own_images(image: str, slug: str) -> Sequence[str]:
    return (image, f"optml/{slug}:cpu", "optml/all:cpu")


def _has_image(name: str) -> bool:
    return _quiet("docker", "image", "inspect", name)


def _quiet(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@cache
def table(slug: str) -> Table:
    """What an algorithm of ours says of its hyperparameters and metrics. Asked of a process of its own: the
    control plane loads no algorithm, which would take as much memory as all else in it."""
    with Oracle() as oracle:
        return Table.from_json(oracle.ask({"table": slug})["table"])


def metric_definitions(slug: str) -> list[dict[str, str]]:
    """The metrics that an algorithm of ours prints, as the service has them."""
    return [{"Name": name, "Regex": metric.regex} for name, metric in table(slug).metrics.items()]

"""From a model folder to a model that answers: which algorithm wrote it, loaded, tried once."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import registry
from optml.algorithms.base import Algorithm, Model
from optml.errors import UserError
from optml.formats.records import Records

_ARCHIVE = "model.tar.gz"
_FOREIGN = {_ARCHIVE, "output.tar.gz"}  # what SDK v2 in local mode leaves beside a model it has unpacked


@dataclass(frozen=True, slots=True)
class Served:
    """A model in memory, ready to answer; times in seconds."""

    algorithm: Algorithm
    model: Model
    device: str = "cpu"
    seconds: float = 0.0  # that one record takes, or less
    load_seconds: float = 0.0
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    version: str = ""

    def describe(self) -> dict[str, Any]:
        """What `GET /` tells of it."""
        from optml.serving.negotiation import readable, writable

        return {
            "algorithm": self.algorithm.slug,
            "title": self.algorithm.title,
            "version": self.version,
            "feature_dim": self.model.width,
            "content_types": readable(self.algorithm),
            "accepts": writable(self.algorithm),
            "hyperparameters": self.hyperparameters,
            "device": self.device,
        }


@contextmanager
def unpacked(folder: Path) -> Iterator[Path]:
    """The folder itself or, if there is nothing in it but model.tar.gz, a temporary one with its content.

    Raises UserError for a folder that is missing or empty, and for an archive that cannot be unpacked.
    """
    try:
        names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    except OSError as error:
        raise UserError(f"the model folder {folder} cannot be read: {error.strerror}") from None
    if not names:
        raise UserError(f"the model folder {folder} is empty; mount or unpack a model there")
    if _ARCHIVE not in names or names - _FOREIGN:
        yield folder
        return
    from optml.container.archives import extract

    with tempfile.TemporaryDirectory(prefix="optml-model-") as temporary:
        extract(folder / _ARCHIVE, Path(temporary))
        yield Path(temporary)


def load(folder: Path, device: str = "cpu", slug: str | None = None) -> Served:
    """Load the model of a folder and let it answer once, so that the first request finds it warm.

    slug: the algorithm of an artifact that does not tell its own. Raises UserError that says what is wrong.
    """
    start = time.perf_counter()
    if not folder.is_dir():
        raise UserError(f"there is no model folder {folder}")
    found = registry.recognise(folder)
    inner = None if found else next(filter(registry.recognise, _folders(folder)), None)
    if inner is not None:
        raise UserError(
            f"{folder} holds its model in the inner folder {inner.name}: the files must lie at the top of "
            f"model.tar.gz, as `tar -C {inner.name} -czf model.tar.gz .` packs them"
        )
    found = found or slug
    if found is None:
        held = ", ".join(sorted(path.name for path in folder.iterdir())[:10])
        raise UserError(
            f"{folder} does not tell which algorithm wrote it (it holds {held or 'nothing'}); "
            f"set OPTML_ALGORITHM to one of {', '.join(registry.available())}"
        )
    algorithm = registry.get(found)
    model = algorithm.inference.load(folder, device)
    seconds = _warm_up(model)
    about = _about(folder)
    hyperparameters = about.get("hyperparameters")
    return Served(
        algorithm,
        model,
        device,
        seconds,
        time.perf_counter() - start,
        hyperparameters if isinstance(hyperparameters, dict) else {},
        str(about.get("version", "")),
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _warm_up(model: Model) -> float:
    """Let the model answer; returns the seconds that one record takes, infinity if nobody knows."""
    if model.width is None:
        return float("inf")
    record = Records(np.zeros((1, model.width), np.float32))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        model.predict(record, {})
        times.append(time.perf_counter() - start)
    return min(times)


def _about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / "model.json").read_text())
    except (OSError, ValueError):  # an artifact of AWS's has none
        return {}
    return about if isinstance(about, dict) else {}

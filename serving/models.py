"""From a model folder to a model that answers: which algorithm wrote it, loaded, tried once."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from optml.algorithms import registry
from optml.errors import UserError
from optml.serving.served import Served
from optml.serving.warmup import warm_up

_ARCHIVE = "model.tar.gz"
_FOREIGN = {_ARCHIVE, "output.tar.gz"}  # what SDK v2 in local mode leaves beside a model it has unpacked


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
        _require_files(folder)
        yield folder
        return
    from optml.container.archives import extract

    with tempfile.TemporaryDirectory(prefix="optml-model-") as temporary:
        extract(folder / _ARCHIVE, Path(temporary))
        yield Path(temporary)


def holds_model(folder: Path) -> bool:
    """Is there a model in the folder, or an archive that may hold one?"""
    return (folder / _ARCHIVE).is_file() or registry.recognise(folder) is not None


def _require_files(folder: Path) -> None:
    """Raise UserError for what is neither a file nor a folder: reading a FIFO would wait for ever."""
    for path in sorted(folder.rglob("*")):
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UserError(f"{path} is no regular file (a FIFO, a socket or a device); remove it")


def load(folder: Path, device: str = "cpu", slug: str | None = None) -> Served:
    """Load the model of a folder and let it answer once, so that the first request finds it warm.

    slug: the algorithm of an artifact that does not tell its own. Raises UserError that says what is wrong.
    """
    start = time.perf_counter()
    if not folder.is_dir():
        raise UserError(f"there is no model folder {folder}")
    algorithm_slug = registry.recognise(folder)
    inner = None if algorithm_slug else next(filter(registry.recognise, _folders(folder)), None)
    if inner is not None:
        raise UserError(
            f"{folder} holds its model in the inner folder {inner.name}: the files must lie at the top of "
            f"model.tar.gz, as `tar -C {inner.name} -czf model.tar.gz .` packs them"
        )
    algorithm_slug = algorithm_slug or slug
    if algorithm_slug is None:
        names = ", ".join(sorted(path.name for path in folder.iterdir())[:10])
        raise UserError(
            f"{folder} does not tell which algorithm wrote it (it holds {names or 'nothing'}); "
            f"set OPTML_ALGORITHM to one of {', '.join(registry.available())}"
        )
    algorithm = registry.get(algorithm_slug)
    model = algorithm.inference.load(folder, device)
    about = _about(folder)
    hyperparameters = about.get("hyperparameters")
    served = Served(
        algorithm,
        model,
        device,
        hyperparameters=hyperparameters if isinstance(hyperparameters, dict) else {},
        version=str(about.get("version", "")),
    )
    seconds = warm_up(served)
    return replace(served, seconds=seconds, load_seconds=time.perf_counter() - start)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / "model.json").read_text())
    except (OSError, ValueError):  # an artifact of AWS's has none
        return {}
    return about if isinstance(about, dict) else {}

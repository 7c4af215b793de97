"""The model folder: filled in one piece or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from optml.algorithms.base import Model
from optml.container.errors import system_error

SCRATCH = ".optml-"  # how the names of our temporary folders begin
LAST = "model.json"  # names what the other files are, so it comes after them


def publish(model: Model, folder: Path) -> None:
    """Save a model into `folder`: to a hidden folder within it first, then file by file into place.

    A file of the same name is replaced, others stay. Whatever fails, no half-written file is left.
    Raises OSError (disk full, no permission) and what the model's own `save` raises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clean(folder)
    scratch = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=folder))
    try:
        model.save(scratch)
        for path in scratch.rglob("*"):
            if path.is_file():
                path.chmod(path.stat().st_mode | 0o444)  # safetensors makes files that only we may read
                _sync(path)
        for path in sorted(scratch.iterdir(), key=lambda path: (path.name == LAST, path.name)):
            target = folder / path.name
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            path.replace(target)
        sync_folder(folder)
    except Exception as error:
        system = system_error(error)
        if system is None or system.errno is None:
            raise
        # The user knows the folder, not the hidden one within it.
        raise OSError(system.errno, system.strerror, str(folder)) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def clean(folder: Path) -> None:
    """Remove what a job killed while it saved has left behind."""
    for left in folder.glob(SCRATCH + "*"):
        shutil.rmtree(left, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut; file systems that cannot are left alone."""
    with contextlib.suppress(OSError):
        _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

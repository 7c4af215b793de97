"""The `model` channel: the artifact of an earlier job, to go on from."""

from __future__ import annotations

import logging
from pathlib import Path

from optml.algorithms.registry import recognise
from optml.container.archives import extract
from optml.errors import UserError

log = logging.getLogger(__name__)

ARCHIVE = "model.tar.gz"


def unpack(channel: Path, slug: str, scratch: Path) -> Path:
    """The folder with the files of the model that `channel` holds as model.tar.gz, as another *.tar.gz, or
    unpacked. Archives are unpacked into `scratch`.

    Raises UserError for a channel that is empty or holds several archives, an unsafe archive, files that are
    no model, and the model of another algorithm.
    """
    if not channel.is_dir():
        raise UserError(f"channel 'model' is empty: there is no {channel}")
    files = sorted(path for path in channel.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not files:
        raise UserError(f"channel 'model' is empty: no files under {channel}")
    archives = [path for path in files if path.name.endswith((".tar.gz", ".tgz"))]
    archives = [path for path in archives if path.name == ARCHIVE] or archives
    if len(archives) > 1:
        names = ", ".join(str(path.relative_to(channel)) for path in archives)
        raise UserError(f"channel 'model' holds {len(archives)} archives: {names}; give one model")
    folder = channel
    if archives:
        folder = scratch / "model"
        extract(archives[0], folder)
    folder = _descend(folder)
    slug_of_folder = recognise(folder)
    if slug_of_folder is None:
        names = ", ".join(sorted(path.name for path in folder.iterdir())[:10])
        raise UserError(f"channel 'model' holds no model of {slug}; its files: {names or 'none'}")
    if slug_of_folder != slug:
        raise UserError(
            f"channel 'model' holds a model of {slug_of_folder}, but this job trains {slug}: "
            f"give a model of {slug}, or leave the channel out"
        )
    source = archives[0] if archives else channel
    log.info("The model of %s in channel 'model' was read from %s: training goes on from it", slug, source)
    return folder


def _descend(folder: Path) -> Path:
    """Archives packed with their folder's name hold nothing but one folder."""
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return _descend(inside[0]) if len(inside) == 1 and inside[0].is_dir() else folder

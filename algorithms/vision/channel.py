"""A channel as an index of images, whichever way its data come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from optml.algorithms.sources import Source
from optml.algorithms.vision.index import FIRST, ImageIndex, of_list, of_records
from optml.algorithms.vision.manifest import SUFFIXES, of_manifests
from optml.algorithms.vision.spill import of_pipe
from optml.errors import UserError


def read(source: Source, listing: Source | None = None) -> ImageIndex:
    """The labelled images of a channel: a Pipe, `.rec` files, a manifest, or the rows of the `.lst` in
    channel `listing`. Raises UserError naming file, record or line."""
    files = source.files()
    if files is None:
        return of_pipe(source)
    if listing is not None:
        name, path = _list(listing)
        return of_list(path.read_bytes(), name, files, source.name)
    manifests = [(name, path) for name, path in files if path.suffix in SUFFIXES]
    if manifests:
        return of_manifests(source, manifests, below(files))
    records = [(name, path) for name, path in files if path.suffix == ".rec"]
    if records:
        return of_records(records)
    shown = ", ".join(name for name, _ in files[:FIRST])
    raise UserError(
        f"channel '{source.name}' holds no .rec file, nor a manifest: it has {shown or 'nothing'}"
        f"{', ...' * (len(files) > FIRST)}; images by themselves need a .lst file in channel "
        f"'{source.name}_lst', and an image content type"
    )


def below(files: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    """Paths by their names below the channel's folder."""
    return {name.partition("/")[2]: path for name, path in files}


def _list(listing: Source) -> tuple[str, Path]:
    files = listing.files()
    if files is None:
        raise UserError(f"channel '{listing.name}' must be in File mode")
    lists = [(name, path) for name, path in files if path.suffix == ".lst"]
    if len(lists) != 1:
        shown = ", ".join(name for name, _ in (lists or files)[:FIRST])
        raise UserError(
            f"channel '{listing.name}' must hold one .lst file; it has {len(lists) or 'none'}: {shown}"
        )
    return lists[0]

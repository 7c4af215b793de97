"""Images in one channel, and a file about each in another: masks as PNG, or boxes as JSON."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from optml.algorithms.sources import Source
from optml.algorithms.vision.channel import below
from optml.algorithms.vision.index import FIRST, Files, ImageIndex
from optml.errors import UserError

log = logging.getLogger(__name__)

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def of_masks(images: Source, annotations: Source) -> ImageIndex:
    """Each image with the mask of the same stem: `train/0000.jpg` and `train_annotation/0000.png`. Folders
    within a channel are not searched. Raises UserError where no two belong together or a stem is there
    twice."""
    pictures = _by_stem(images, _flat(_files(images, IMAGES)))
    masks = _by_stem(annotations, _flat(_files(annotations, IMAGES)))
    stems = sorted(pictures.keys() & masks.keys())
    _require_pairs(images, annotations, stems, pictures, masks)
    names = [f"{images.name}/{pictures[stem][0]}" for stem in stems]
    second = [f"{annotations.name}/{masks[stem][0]}" for stem in stems]
    return ImageIndex(
        names,
        Files([pictures[stem][1] for stem in stems], names),
        masks=Files([masks[stem][1] for stem in stems], second),
        beside=second,
    )


def of_annotations(images: Source, annotations: Source) -> ImageIndex:
    """Each image with the JSON that names it as its `file`, below the images' channel, or that has its stem.
    Raises UserError, naming the file, for what is no JSON object, and where no two belong together."""
    pictures = below(_files(images, IMAGES))
    stems = {name.rpartition(".")[0]: name for name in pictures}
    names, paths, documents, second = [], [], [], []
    others = _files(annotations, (".json",))
    taken: dict[str, str] = {}
    for name, path in others:
        text = path.read_bytes()
        file = _document(text, name).get("file")
        picture = _picture(file, name.partition("/")[2], pictures, stems)
        if picture is None:
            continue
        if picture in taken:
            raise UserError(f"{taken[picture]} and {name} are both about {images.name}/{picture}; leave one")
        taken[picture] = name
        names.append(f"{images.name}/{picture}")
        paths.append(pictures[picture])
        documents.append(text)
        second.append(name)
    _require_pairs(images, annotations, names, pictures, dict(others))
    return ImageIndex(names, Files(paths, names), documents=documents, beside=second)


def _picture(file: Any, name: str, pictures: dict[str, Path], stems: dict[str, str]) -> str | None:
    """The image that an annotation is about."""
    if isinstance(file, str) and str(PurePosixPath(file)) in pictures:
        return str(PurePosixPath(file))
    return stems.get(name.rpartition(".")[0])


def _document(text: bytes, name: str) -> dict[str, Any]:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UserError(f"{name} is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise UserError(f"{name} is no object with image_size and annotations")
    return document


def _files(source: Source, suffixes: Sequence[str]) -> list[tuple[str, Path]]:
    """The files of a channel with these endings; others are named in a warning."""
    files = source.files()
    if files is None:
        raise UserError(f"channel '{source.name}' must be in File mode; a Pipe takes an augmented manifest")
    fitting = [(name, path) for name, path in files if path.suffix.lower() in suffixes]
    others = [name for name, path in files if path.suffix.lower() not in suffixes]
    if others:
        log.warning("%s", _counted(others, f"files are no {' or '.join(suffixes)} and left aside"))
    return fitting


def _flat(files: list[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Those that lie in the channel's own folder; others are named in a warning."""
    deeper = [name for name, _ in files if name.count("/") > 1]
    if deeper:
        log.warning("%s", _counted(deeper, "files lie in folders of a channel, and are left aside"))
    return [(name, path) for name, path in files if name.count("/") <= 1]


def _by_stem(source: Source, files: list[tuple[str, Path]]) -> dict[str, tuple[str, Path]]:
    stems: dict[str, tuple[str, Path]] = {}
    for name, path in files:
        inner = name.partition("/")[2]
        stem = inner.rpartition(".")[0]
        if stem in stems:
            raise UserError(f"channel '{source.name}' has both {stems[stem][0]} and {inner}; leave one")
        stems[stem] = inner, path
    return stems


def _require_pairs(
    images: Source, annotations: Source, pairs: Sequence[str], one: dict[str, Any], other: dict[str, Any]
) -> None:
    if not pairs:
        raise UserError(
            f"no image of channel '{images.name}' has a file of its name in channel '{annotations.name}': "
            "there "
            f"are {_first(one)} and {_first(other)}"
        )
    for source, count in ((images, len(one)), (annotations, len(other))):
        if count > len(pairs):
            log.warning(
                "%d of %d files of channel '%s' have no counterpart and are left aside",
                count - len(pairs),
                count,
                source.name,
            )


def _first(names: dict[str, Any]) -> str:
    shown = ", ".join(sorted(names)[:FIRST])
    return (shown + ", ..." * (len(names) > FIRST)) or "none"


def _counted(names: list[str], what: str) -> str:
    return f"{len(names)} {what}: {', '.join(names[:FIRST])}{', ...' * (len(names) > FIRST)}"

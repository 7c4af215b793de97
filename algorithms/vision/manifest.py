"""Augmented manifests in File mode: lines of JSON that name an image and its label.

The image's `source-ref` is a key of S3 (`s3://bucket/a/b/1.jpg`): it is looked for below the channel's folder
under the longest end of that key that is there (`a/b/1.jpg`, `b/1.jpg`, `1.jpg`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from optml.algorithms.sources import Source
from optml.algorithms.vision.documents import numbers, parsed
from optml.algorithms.vision.index import FIRST, Files, ImageIndex
from optml.errors import UserError, nearest, shown

_HEX = re.compile(r"#[0-9a-fA-F]{6}")
SUFFIXES = (".manifest", ".jsonl")


def of_manifests(
    source: Source, manifests: Sequence[tuple[str, Path]], files: Mapping[str, Path]
) -> ImageIndex:
    """The images of manifests: pairs (name for messages, path). files: path by its name below the channel's
    folder. Raises UserError naming file and line."""
    names: list[str] = []
    paths: list[Path] = []
    labels: list[bytes] = []
    seconds: list[Path] = []
    beside: list[str] = []
    missing: list[str] = []
    class_names: dict[int, str] = {}
    colours: dict[tuple[int, int, int], int] = {}
    keys = source.attributes[:2]
    for name, path in manifests:
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            if not line.strip():
                continue
            where = f"line {number} of {name}"
            entry = _entry(line, where)
            keys = keys if len(keys) == 2 else _keys(entry, where)
            for key in keys:
                if key not in entry:
                    raise UserError(f"{where} lacks '{key}'{nearest(key, entry, 'it has')}")
            image = resolved(entry[keys[0]], files)
            if image is None:
                missing.append(f"{entry[keys[0]]} ({where})")
                continue
            if keys[1].endswith("-ref"):
                second = resolved(entry[keys[1]], files)
                if second is None:
                    missing.append(f"{entry[keys[1]]} ({where})")
                    continue
                seconds.append(files[second])
                beside.append(f"{source.name}/{second} ({where})")
                _name_colours(colours, class_names, _metadata(entry, keys[1]), where)
            else:
                labels.append(orjson.dumps(entry[keys[1]]))
                _name_classes(class_names, entry[keys[1]], _metadata(entry, keys[1]))
            names.append(f"{source.name}/{image} ({where})")
            paths.append(files[image])
    if missing:
        raise UserError(
            f"{len(missing)} of {len(missing) + len(names)} files of the manifest are not in channel "
            f"'{source.name}' or are empty: {', '.join(missing[:FIRST])}{', ...' * (len(missing) > FIRST)}"
        )
    if not names:
        raise UserError(f"{manifests[0][0]} has no lines")
    contents = Files(paths, names)
    if seconds:
        masks = Files(seconds, beside)
        return ImageIndex(
            names, contents, masks=masks, beside=beside, class_names=class_names, colours=colours
        )
    return ImageIndex(names, contents, numbers(labels, names), labels, class_names=class_names)


def resolved(reference: Any, files: Mapping[str, Path]) -> str | None:
    """The longest end of a key that is there."""
    if not isinstance(reference, str):
        return None
    parts = reference.removeprefix("s3://").split("/")
    ends = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((end for end in ends if end in files), None)


def _entry(line: bytes, where: str) -> dict[str, Any]:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UserError(f"{where} is no JSON: {error}") from None
    if not isinstance(entry, dict):
        raise UserError(f'{where} is no object such as {{"source-ref": "s3://bucket/1.jpg", "class": 1}}')
    return entry


def _keys(entry: Mapping[str, Any], where: str) -> tuple[str, str]:
    """The attributes of the image and of its label, where nobody has told them."""
    image = next((key for key in entry if key.endswith("-ref")), None)
    label = next((key for key in entry if key != image and f"{_stem(key)}-metadata" in entry), None)
    if label is None:
        label = next((key for key in entry if key != image and not key.endswith("-metadata")), None)
    if image is None or label is None:
        raise UserError(
            f"{where} names no image and label: expected a key that ends in -ref, such as source-ref, and "
            f"one of the label; it has {', '.join(entry) or 'none'}"
        )
    return image, label


def _stem(key: str) -> str:
    """Ground Truth has `x-ref` beside `x-ref-metadata` or `x-metadata`."""
    return key.removesuffix("-ref")


def _metadata(entry: Mapping[str, Any], key: str) -> Any:
    return entry.get(f"{key}-metadata", entry.get(f"{_stem(key)}-metadata"))


def _name_colours(
    colours: dict[tuple[int, int, int], int], names: dict[int, str], metadata: Any, where: str
) -> None:
    """The colours of Ground Truth's masks: `{"1": {"class-name": "road", "hex-color": "#2acf59"}}`."""
    known = metadata.get("internal-color-map") if isinstance(metadata, dict) else None
    for key, about in (known if isinstance(known, dict) else {}).items():
        colour = about.get("hex-color") if isinstance(about, dict) else None
        if not key.isdecimal() or not isinstance(colour, str) or not _HEX.fullmatch(colour):
            raise UserError(f"{where} has {shown({key: about})} in internal-color-map; expected a hex-color")
        red, green, blue = bytes.fromhex(colour[1:])
        if colours.setdefault((red, green, blue), int(key)) != int(key):
            raise UserError(
                f"{where} has class {key} in the colour {colour}, which is another's in lines before"
            )
        names[int(key)] = str(about.get("class-name", ""))


def _name_classes(names: dict[int, str], label: Any, metadata: Any) -> None:
    """What Ground Truth says of its classes."""
    if not isinstance(metadata, dict):
        return
    known = metadata.get("class-map")
    if isinstance(known, dict):
        names.update({int(key): str(name) for key, name in known.items() if key.isdecimal()})
    value = parsed(label.encode()) if isinstance(label, str) else label
    if isinstance(value, (int, float)) and value >= 0 and isinstance(metadata.get("class-name"), str):
        names[int(value)] = metadata["class-name"]

"""From S3 to the channels of a training job: links to the contents of objects, dealt out to hosts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from optml.errors import UserError
from optml.local.control.errors import ApiError
from optml.local.control.s3.content import link_or_copy
from optml.local.control.s3.objects import Object, split
from optml.local.control.s3.store import Store

_T = TypeVar("_T")
_Item = tuple[str, Object]  # where it goes, relative to the channel's folder, and what


@dataclass(frozen=True, slots=True)
class Job:
    """What of a job its channels depend on."""

    folder: Path
    hosts: int
    mode: str  # AlgorithmSpecification.TrainingInputMode
    role: str = ""


def prepare(request: Sequence[Mapping[str, Any]], job: Job, store: Store) -> dict[str, dict[str, Any]]:
    """Lay out `InputDataConfig` in job.folder/channels; for each channel what the supervisor makes an `Input`
    of. Raises UserError for data that are not there."""
    return {channel["ChannelName"]: _channel(channel, job, store) for channel in request}


def _channel(channel: Mapping[str, Any], job: Job, store: Store) -> dict[str, Any]:
    name = channel["ChannelName"]
    source = channel["DataSource"].get("S3DataSource")
    if source is None:
        raise UserError(f"channel '{name}': optml reads S3 alone, not {', '.join(channel['DataSource'])}")
    mode = channel.get("InputMode") or job.mode
    distribution = source.get("S3DataDistributionType") or "FullyReplicated"
    prepared: dict[str, Any] = {
        "content_type": channel.get("ContentType"),
        "mode": "Pipe" if mode == "Pipe" else "File",
        "distribution": distribution,
        "wrapper": channel.get("RecordWrapperType") or "None",
        "shuffle": channel["ShuffleConfig"]["Seed"] if "ShuffleConfig" in channel else None,
    }
    folder = job.folder / "channels" / name
    try:
        if source["S3DataType"] == "AugmentedManifestFile":
            if mode != "Pipe":
                raise UserError(f"channel '{name}': an augmented manifest needs InputMode Pipe, not {mode}")
            prepared["shares"] = _augmented(source, folder, distribution, job.hosts, store)
        else:
            items = list(_items(source, store))
            if not items:
                raise UserError(_no_objects(source["S3Uri"], job.role))
            shares = _dealt(items, distribution, job.hosts)
            prepared["shares"] = _linked(shares, folder, prepared["mode"])
    except ApiError as error:
        raise UserError(f"Data download failed for channel '{name}': {error.message}") from None
    return prepared


def _items(source: Mapping[str, Any], store: Store) -> Iterator[_Item]:
    if source["S3DataType"] == "ManifestFile":
        yield from _manifest(source["S3Uri"], store)
        return
    prefix = split(source["S3Uri"])[1]
    objects = [found for found in store.under(source["S3Uri"]) if not found.key.endswith("/")]  # no markers
    base = f"{prefix.rstrip('/')}/" if prefix else ""
    if not all(found.key.startswith(base) for found in objects):  # the prefix ends within a name
        base = prefix[: prefix.rfind("/") + 1]
    for found in objects:
        yield found.key[len(base) :], found


def _manifest(uri: str, store: Store) -> Iterator[_Item]:
    text = _text(uri, store)
    try:
        head, *names = json.loads(text)
        prefix: str = head["prefix"]
    except (ValueError, TypeError, KeyError):
        raise UserError(
            f'{uri} is no manifest: expected a JSON list such as [{{"prefix": "s3://bucket/data/"}}, "a.csv"]'
        ) from None
    for name in names:
        found = store.find(prefix + name) if isinstance(name, str) else None
        if found is None:
            raise UserError(f"{uri} names {prefix}{name}, which is not there")
        yield name.lstrip("/"), found


def _augmented(
    source: Mapping[str, Any], folder: Path, distribution: str, hosts: int, store: Store
) -> list[dict[str, str]]:
    """A file of units for each host: a line is a list of ["path", ...] and ["text", ...]."""
    uri, names = source["S3Uri"], source.get("AttributeNames") or []
    lines = _text(uri, store).splitlines()
    units = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            chosen = [(name, values[name]) for name in names]
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{uri}, line {number}: {type(error).__name__}: {error}") from None
        unit = []
        for name, value in chosen:
            if not name.endswith("-ref"):
                unit.append(("text", value if isinstance(value, str) else json.dumps(value)))
                continue
            found = store.find(value)
            if found is None:
                raise UserError(f"{uri}, line {number}: {value} is not there")
            path = folder / "objects" / f"{number}-{name}"
            link_or_copy(found.path, path)
            unit.append(("path", str(path)))
        units.append(unit)
    if not units:
        raise UserError(f"{uri} holds no lines")
    shares = []
    for host, share in enumerate(_dealt(units, distribution, hosts)):
        path = folder / f"units-{host + 1}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(unit) + "\n" for unit in share))
        shares.append({"units": str(path)})
    return shares


def _dealt(items: Sequence[_T], distribution: str, hosts: int) -> list[Sequence[_T]]:
    if distribution == "ShardedByS3Key":
        return [items[host::hosts] for host in range(hosts)]
    return [items] * hosts


def _linked(shares: Sequence[Sequence[_Item]], folder: Path, mode: str) -> list[list[str]]:
    """Link the objects of each host; hosts with the same ones share a folder. A Pipe gets its files in order,
    File mode the folder."""
    folders: dict[int, Path] = {}
    for host, share in enumerate(shares):
        if id(share) in folders:
            continue
        folders[id(share)] = own = folder / f"host-{host + 1}"
        own.mkdir(parents=True)
        for name, found in share:
            _link(found, own, name)
    if mode == "Pipe":
        return [[str(folders[id(share)] / _safe(name)) for name, _ in share] for share in shares]
    return [[str(folders[id(share)])] for share in shares]


def _link(found: Object, folder: Path, name: str) -> None:
    try:
        link_or_copy(found.path, folder / _safe(name))
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise UserError(
            f"the objects at {found.key} and beside it cannot be files of one folder: one name is a folder"
        ) from None
    except OSError as error:
        raise UserError(f"the object {found.key} cannot be a file: {error.strerror}") from None


def _safe(name: str) -> str:
    """A key as a path: `a//b` and `../b` stay in the folder, and apart from `a/b`."""
    parts = [part if part not in ("", ".", "..") else f"%{part}%" for part in name.split("/")]
    return "/".join(parts)


def _text(uri: str, store: Store) -> str:
    found = store.find(uri)
    if found is None:
        raise UserError(f"the manifest {uri} is not there")
    try:
        return found.path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"the manifest {uri} is no text in UTF-8") from None


def _no_objects(uri: str, role: str) -> str:
    bucket = split(uri)[0]
    return (
        f'Data download failed:No S3 objects found under S3 URL "{uri}" given in input data source. Please'
        " ensure that the bucket exists, that objects exist under that S3 prefix, and that the role"
        f' "{role}" has "s3:ListBucket" permissions on bucket "{bucket}".'
    )


def lay_out(source: Mapping[str, Any], folder: Path, store: Store) -> None:
    """The objects of a transform job's source as files of a folder. Raises UserError where there are none."""
    items = list(_items(source, store))
    if not items:
        raise UserError(_no_objects(source["S3Uri"], ""))
    folder.mkdir(parents=True)
    for name, found in items:
        _link(found, folder, name)

"""The /opt/ml tree of one training job, made of a user's files (training-contract 2 and 13)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from algorithms.errors import UserError
from container.paths import Paths

INSIDE = Path("/opt/ml")


def write_config(
    paths: Paths,
    hyperparameters: Mapping[str, str],
    channels: Mapping[str, str | None],
    *,
    mode: str = "File",
) -> None:
    """Write input/config and the empty folders; `channels`: name -> content type or None."""
    paths.config.mkdir(parents=True)
    paths.data.mkdir(parents=True)
    paths.output_data.mkdir(parents=True)
    inputs = {}
    for name, content_type in channels.items():
        # The model of an incremental job is always files.
        entry = {"TrainingInputMode": "File" if name == "model" else mode}
        entry |= {"S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
        inputs[name] = entry | ({"ContentType": content_type} if content_type else {})
    host = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "lo"}
    for file, content in [
        ("hyperparameters", dict(hyperparameters)),
        ("inputdataconfig", inputs),
        ("resourceconfig", host),
    ]:
        (paths.config / f"{file}.json").write_text(json.dumps(content, indent=1))


def placed(channel: str, sources: Sequence[Path]) -> dict[Path, Path]:
    """Where a channel's files and folders go: path under `input/data` -> source, absolute.

    One folder is the channel itself; several sources lie in it side by side, numbered where names clash.
    Raises UserError naming a source that is not there.
    """
    for source in sources:
        if not source.exists():
            raise UserError(f"channel '{channel}': there is no file or folder '{source}'")
    if len(sources) == 1 and sources[0].is_dir():
        return {Path(channel): sources[0].resolve()}
    found: dict[Path, Path] = {}
    for number, source in enumerate(sources):
        name = source.resolve().name
        if Path(channel, name) in found:
            name = f"{number}-{name}"
        found[Path(channel, name)] = source.resolve()
    return found


def link(paths: Paths, places: Mapping[Path, Path]) -> None:
    """Put sources into input/data without copying them."""
    for place, source in places.items():
        target = paths.data / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source, target_is_directory=source.is_dir())


def docker_volumes(
    paths: Paths, places: Mapping[Path, Path], model: Path, checkpoints: Path | None
) -> list[str]:
    """The `-v` options that show a container the same tree; sources are read-only."""
    mounts = [(paths.root, INSIDE, ""), (model, INSIDE / "model", "")]
    if checkpoints is not None:
        mounts.append((checkpoints, INSIDE / "checkpoints", ""))
    mounts += [(source, INSIDE / "input" / "data" / place, ":ro") for place, source in places.items()]
    return [word for source, inside, mode in mounts for word in ("-v", f"{source}:{inside}{mode}")]

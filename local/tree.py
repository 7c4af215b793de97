"""The /opt/ml tree of a training job, made of a user's files (training-contract 2 and 13)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from optml.container.paths import Paths
from optml.errors import UserError
from optml.local.feeder import Unit, files

INSIDE = Path("/opt/ml")


@dataclass(frozen=True, slots=True)
class Input:
    """One channel of a job, as CreateTrainingJob describes it.

    sources: files and folders on this machine.   content_type: None: `train` finds it out.
    mode: File: links to the sources (mounts of a container); Pipe: FIFOs that a feeder serves.
    distribution: ShardedByS3Key deals the files out to the hosts of the job, in the order of their paths.
    shares:  what each host gets, where the caller has dealt it out; None: as `distribution` says.
    wrapper: RecordIO makes a record of each object in a Pipe.   shuffle: a seed to draw the order of a Pipe's
             objects with, anew in each epoch; None: as they come.
    """

    sources: Sequence[Path]
    content_type: str | None = None
    mode: Literal["File", "Pipe"] = "File"
    distribution: Literal["FullyReplicated", "ShardedByS3Key"] = "FullyReplicated"
    shares: Sequence[Sequence[Path | Unit]] | None = None
    wrapper: Literal["None", "RecordIO"] = "None"
    shuffle: int | None = None

    def of_host(self, rank: int, hosts: int) -> Sequence[Path | Unit]:
        """What of the sources a host gets."""
        if self.shares is not None:
            return self.shares[rank]
        if hosts == 1 or self.distribution == "FullyReplicated":
            return self.sources
        return [file for source in self.sources for file in files(source)][rank::hosts]


def write_config(
    paths: Paths,
    hyperparameters: Mapping[str, str],
    inputs: Mapping[str, Input],
    host: str = "algo-1",
    hosts: Sequence[str] = ("algo-1",),
) -> None:
    """Write input/config and make the empty folders."""
    for folder in (paths.config, paths.data, paths.output_data):
        folder.mkdir(parents=True)
    channels = {
        name: {
            "TrainingInputMode": channel.mode,
            "S3DistributionType": channel.distribution,
            "RecordWrapperType": channel.wrapper,
        }
        | ({"ContentType": channel.content_type} if channel.content_type else {})
        for name, channel in inputs.items()
    }
    resources = {"current_host": host, "hosts": list(hosts), "network_interface_name": "lo"}
    for file, content in [
        ("hyperparameters", dict(hyperparameters)),
        ("inputdataconfig", channels),
        ("resourceconfig", resources),
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
    places: dict[Path, Path] = {}
    for number, source in enumerate(sources):
        name = source.resolve().name
        if Path(channel, name) in places:
            name = f"{number}-{name}"
        places[Path(channel, name)] = source.resolve()
    return places


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

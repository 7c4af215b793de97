"""One training job, as the files under input/config and the environment describe it."""

from __future__ import annotations

import difflib
import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optml.algorithms.base import Algorithm, ChannelSpec, Hyperparameters, names
from optml.algorithms.registry import get
from optml.container.channels import Channel
from optml.container.fifo import is_fifo
from optml.container.hyperparameters import Engine, as_text, parse
from optml.container.paths import Paths
from optml.errors import PlatformError, UserError
from optml.formats.content_type import ContentType

log = logging.getLogger(__name__)

MODES = ("File", "FastFile", "Pipe")
DISTRIBUTIONS = ("FullyReplicated", "ShardedByS3Key")
WRAPPERS = ("None", "RecordIO")
MODEL = "model"  # the channel of an incremental job
PRETRAINED = "pretrained"  # an auxiliary channel of weights
PRETRAINED_VARIABLE = "OPTML_PRETRAINED_DIR"
CODE = "code"  # the SDK's script mode; nothing of ours


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts of a job (resourceconfig.json). Names sort as text, so algo-10 comes before algo-2."""

    current: str = "algo-1"
    all: tuple[str, ...] = ("algo-1",)
    interface: str | None = None  # of the network that joins them; may not exist

    @classmethod
    def read(cls, paths: Paths) -> Hosts:
        """The hosts alone, so that one whose other files are wrong can tell the rest. Raises UserError."""
        path = paths.config / "resourceconfig.json"
        return _hosts(_object(path) or {}, path)

    @property
    def rank(self) -> int:
        return self.all.index(self.current)

    @property
    def size(self) -> int:
        return len(self.all)

    @property
    def label(self) -> str:
        """This host as log lines print it: without the suffix that local mode gives (algo-1-x7k2p)."""
        return re.sub(r"(-[0-9]+)-[a-z0-9]{5}$", r"\1", self.current)


@dataclass(frozen=True)
class Job:
    """All that a training job was asked to do."""

    algorithm: Algorithm
    hyperparameters: Any  # the algorithm's own Hyperparameters
    engine: Engine
    raw: Mapping[str, str]  # hyperparameters as they came, as strings
    channels: Mapping[str, Channel]  # those of the algorithm that were given, in its order
    hosts: Hosts
    checkpoints: Path  # may not exist: then no checkpoints are wanted
    warm_start: Path | None  # the folder of the `model` channel
    pretrained: Mapping[str, Path]  # folders of weights, by where they come from, the first to be used first
    seed: int
    name: str  # of the training job, or ""

    @classmethod
    def read(cls, paths: Paths, slug: str) -> Job:
        """Read the configuration; whatever is absent has a default.

        Raises UserError with one line for every problem of hyperparameters, channels and hosts.
        """
        algorithm = get(slug)
        problems: list[str] = []

        def attempt(read: Callable[[], Any], otherwise: Any) -> Any:
            try:
                return read()
            except UserError as error:
                problems.append(str(error))
                return otherwise

        raw = attempt(lambda: _object(paths.config / "hyperparameters.json"), None)
        config = attempt(lambda: _object(paths.config / "inputdataconfig.json"), None)
        resources = attempt(lambda: _object(paths.config / "resourceconfig.json"), None)
        checkpoint = attempt(lambda: _object(paths.config / "checkpointconfig.json"), None) or {}
        if problems:  # what the other files mean depends on these
            raise UserError("\n".join(problems))

        hosts = attempt(lambda: _hosts(resources or {}, paths.config / "resourceconfig.json"), Hosts())
        hyperparameters, engine = attempt(
            lambda: parse(raw or {}, algorithm.hyperparameters, names(algorithm.training.metrics)),
            (Hyperparameters(), Engine()),
        )
        timeout = attempt(lambda: _number("OPTML_PIPE_TIMEOUT_S", 1200.0), 1200.0)
        seed = attempt(lambda: _number("OPTML_SEED", 0), 0)
        configs = _configs_of_folders(paths.data) if config is None else config
        channels, wrong = _channels(configs, algorithm, paths.data, hosts, timeout)
        problems += wrong
        # The objective is looked up in the raw text: it counts even where another value could not be read.
        objective = as_text((raw or {}).get("_tuning_objective_metric")).partition(":")
        if objective[1] and algorithm.training.channel(objective[0]) and objective[0] not in configs:
            problems.append(
                f"hyperparameter _tuning_objective_metric='{''.join(objective)}' needs the channel "
                f"'{objective[0]}', which was not given"
            )
        pretrained = attempt(lambda: _pretrained(channels), {})
        script = as_text((raw or {}).get("sagemaker_program"))
        if script:
            problems.append(
                f"hyperparameter sagemaker_program names the script '{script}', but this image runs none: "
                f"leave entry_point out to train {algorithm.title}, or take a framework's image"
            )
        if problems:
            raise UserError("\n".join(dict.fromkeys(problems)))
        _warn_of_copies(channels)
        return cls(
            algorithm=algorithm,
            hyperparameters=hyperparameters,
            engine=engine,
            raw={
                name: value if isinstance(value, str) else as_text(value)
                for name, value in (raw or {}).items()
            },
            channels=channels,
            hosts=hosts,
            checkpoints=_relocated(str(checkpoint.get("LocalPath") or paths.checkpoints), paths.root),
            warm_start=paths.data / MODEL if MODEL in configs else None,
            pretrained=pretrained,
            seed=seed,
            name=os.environ.get("TRAINING_JOB_NAME", ""),
        )


def _object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is no file. Raises UserError saying what is wrong."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PlatformError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise UserError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds {type(content).__name__} where a JSON object is expected")
    return content


def _relocated(path: str, root: Path) -> Path:
    """A path under /opt/ml, where the tree may have been moved to another root."""
    platform = Path("/opt/ml")
    return root / Path(path).relative_to(platform) if Path(path).is_relative_to(platform) else root / path


def _hosts(resources: Mapping[str, Any], path: Path) -> Hosts:
    every = resources.get("hosts") or [resources.get("current_host") or "algo-1"]
    if not isinstance(every, list) or not all(isinstance(host, str) and host for host in every):
        raise UserError(f"{path}: 'hosts' is {json.dumps(every)}; expected a list of host names")
    current = resources.get("current_host") or (every[0] if len(every) == 1 else None)
    if not isinstance(current, str) or current not in every:
        raise UserError(
            f"{path}: 'current_host' is {json.dumps(current)}, which is none of the hosts {', '.join(every)}"
        )
    interface = resources.get("network_interface_name")
    return Hosts(current, tuple(sorted(set(every))), interface if isinstance(interface, str) else None)


def _configs_of_folders(data: Path) -> dict[str, Any]:
    """Channels without inputdataconfig.json: the folders under input/data, and FIFOs that end in _0."""
    configs: dict[str, Any] = {}
    for path in sorted(data.iterdir()) if data.is_dir() else []:
        if path.name.startswith((".", "_")):
            continue
        if path.is_dir():
            configs[path.name] = {}
        elif path.name.endswith("_0") and is_fifo(path):
            configs.setdefault(path.name.removesuffix("_0"), {"TrainingInputMode": "Pipe"})
    return configs


def _channels(
    configs: Mapping[str, Any], algorithm: Algorithm, data: Path, hosts: Hosts, timeout: float
) -> tuple[dict[str, Channel], list[str]]:
    """The algorithm's channels that were given, in its order, and what is wrong with them."""
    channels: dict[str, Channel] = {}
    problems: list[str] = []
    wording = algorithm.hyperparameters.wording
    allowed = [*names(algorithm.training.channels), *([MODEL] if algorithm.compute.incremental else [])]
    for name in configs:
        if name not in (*allowed, CODE):
            near = difflib.get_close_matches(name, allowed, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            others = f"{algorithm.slug} takes {', '.join(allowed)}"
            problems.append(wording.unknown_channel.format(name=name, near=hint, others=others))
    for spec in algorithm.training.channels:
        if spec.name not in configs:
            if _missed(spec, configs):
                others = f"channels given: {', '.join(configs) or 'none'}"
                if spec.required_with is not None and not spec.required:
                    others += "; channel '{}' of {} needs it".format(*spec.required_with)
                problems.append(wording.missing_channel.format(name=spec.name, others=others))
            continue
        config = configs[spec.name]
        if not isinstance(config, dict):
            problems.append(
                f"channel '{spec.name}' is described by {json.dumps(config)}, not by a JSON object"
            )
            continue
        text = config.get("ContentType")
        channel = Channel(
            name=spec.name,
            spec=spec,
            folder=data / spec.name,
            mode=str(config.get("TrainingInputMode") or "File"),
            content_type=ContentType.parse(str(text)) if text else None,
            distribution=str(config.get("S3DistributionType") or "FullyReplicated"),
            wrapper=str(config.get("RecordWrapperType") or "None"),
            attributes=_attributes(config.get("AttributeNames")),
            pipe_timeout=timeout,
        )
        channel.may_be_empty = channel.distribution == "ShardedByS3Key" and hosts.size > 1
        wrong = _misdescribed(channel)
        if not wrong and hosts.size > 1 and channel.distribution not in spec.distribution:
            wrong.append(
                f"channel '{spec.name}' has S3DistributionType '{channel.distribution}', but on several "
                f"hosts {algorithm.title} takes {' or '.join(spec.distribution)}"
            )
        problems += wrong
        problem = None if wrong else channel.problem()
        if problem:
            problems.append(problem)
        channels[spec.name] = channel
    return channels, problems


def _attributes(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _missed(spec: ChannelSpec, configs: Mapping[str, Any]) -> bool:
    """Is a channel needed that was not given?"""
    if spec.name in configs or spec.required_with is None:
        return spec.required and spec.name not in configs
    name, media = spec.required_with
    beside = configs.get(name)
    text = beside.get("ContentType") if isinstance(beside, dict) else None
    return spec.required or (bool(text) and ContentType.parse(str(text)).media == media)


def _pretrained(channels: Mapping[str, Channel]) -> dict[str, Path]:
    """Where pretrained weights are: the channel of that name, and the folder that the environment names."""
    places = {f"channel '{PRETRAINED}'": channels[PRETRAINED].folder} if PRETRAINED in channels else {}
    text = os.environ.get(PRETRAINED_VARIABLE, "").strip()
    if text and not Path(text).is_dir():
        raise UserError(f"environment variable {PRETRAINED_VARIABLE}: there is no folder '{text}'")
    return places | ({PRETRAINED_VARIABLE: Path(text)} if text else {})


def _warn_of_copies(channels: Mapping[str, Channel]) -> None:
    """A model is not tested by what it was trained on."""
    files = [channels[name].files if name in channels else [] for name in ("train", "validation")]
    shared = set.intersection(*({path.name for path in paths} for paths in files))
    train, validation = (
        {(path.name, path.stat().st_size) for path in paths if path.name in shared} for paths in files
    )
    copies = sorted(name for name, _ in train & validation)
    if copies:
        log.warning(
            "Suspected identical files found in train and validation (of equal name and size): %s",
            ", ".join(copies[:5]),
        )


def _misdescribed(channel: Channel) -> list[str]:
    """What is wrong with the entry of a channel in inputdataconfig.json."""
    problems = [
        f"channel '{channel.name}' has {key} '{value}'; expected one of {', '.join(choices)}"
        for key, value, choices in (
            ("TrainingInputMode", channel.mode, MODES),
            ("S3DistributionType", channel.distribution, DISTRIBUTIONS),
            ("RecordWrapperType", channel.wrapper, WRAPPERS),
        )
        if value not in choices
    ]
    supported = [ContentType.parse(text).media for text in channel.spec.content_types]
    if channel.content_type is not None and channel.content_type.media not in supported:
        problems.append(
            f"channel '{channel.name}' has content type '{channel.content_type}'; "
            f"supported are {', '.join(channel.spec.content_types)}"
        )
    return problems


def _number(variable: str, default: Any) -> Any:
    """An environment variable that is a number >= 0, of the type of its default."""
    text = os.environ.get(variable, "").strip()
    kind = type(default)
    try:
        value = kind(text) if text else default
        if not 0 <= value < 2**63:
            raise ValueError(text)
    except ValueError:
        noun = "an integer" if kind is int else "a number"
        raise UserError(f"environment variable {variable}='{text}' is not {noun} >= 0") from None
    return value

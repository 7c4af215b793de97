"""Checkpoints: what a job killed at any moment needs to go on as if undisturbed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from algorithms.base import Cluster
from container.errors import system_error
from container.outputs import sync_folder

log = logging.getLogger(__name__)

KEEP = 2
VERSION = 1


@dataclass(frozen=True, slots=True)
class Position:
    """How far a job has come: the same on all its hosts."""

    epoch: int = 0  # epochs behind us
    step: int = 0  # steps into the epoch under way; a host without a batch left still steps
    updates: int = 0  # steps since the start of the job
    evaluations: int = 0  # passes over the validation channels
    rounded: int = -1  # updates at the last round's end
    evaluating: bool = False  # that round has ended, but for its evaluation
    over: bool = False  # training has come to its end, by the rule of early stopping

    @property
    def key(self) -> tuple[int, ...]:
        """Tells positions apart, and sorts them by age."""
        return self.updates, self.epoch, self.rounded, self.evaluations


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`state` is the learner's, `stopping` the early-stopping rule's, `counters` those of the log."""

    position: Position
    state: Mapping[str, np.ndarray]
    stopping: Mapping[str, np.ndarray] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)


def fingerprint(**facts: object) -> str:
    """A hash of all that a checkpoint depends on: algorithm, hyperparameters, seed, number of hosts."""
    text = json.dumps({"version": VERSION, **facts}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class Checkpoints:
    """The checkpoints of one host of one job, in a folder that hosts may share.

    folder:      None: nothing is saved, but for the best state of early stopping.
    scratch:     where the best state goes when there is no folder.
    name:        carries slug and rank; files are `<name>.<epoch>.ckpt`, with the step where in mid-epoch.
    fingerprint: a checkpoint with another one is not resumed from.
    """

    def __init__(self, folder: Path | None, scratch: Path, *, name: str, fingerprint: str) -> None:
        self.folder = folder
        self.name = name
        self.fingerprint = fingerprint
        self._best = (folder or scratch) / f"{name}.best.ckpt"
        self._pattern = re.compile(re.escape(name) + r"\.(\d+)(?:-(\d+))?\.ckpt")

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint and remove all but the last two. A disk that is full costs the checkpoint and a
        warning, not the job."""
        if self.folder is None:
            return
        position = checkpoint.position
        step = f"-{position.step}" if position.step else ""
        path = self.folder / f"{self.name}.{position.epoch}{step}.ckpt"
        try:
            self._write(path, checkpoint)
        except OSError as error:
            log.warning("Checkpoint %s could not be written: %s", path, error.strerror or error)
            return
        for old in self._paths()[:-KEEP]:
            old.unlink(missing_ok=True)

    def resume(self, cluster: Cluster) -> Checkpoint | None:
        """The newest checkpoint that every host has; None to start afresh. Logs which."""
        found: dict[tuple[int, ...], Path] = {}
        if self.folder is None:
            log.info("Checkpoint loading and saving are disabled.")
        else:
            shutil.rmtree(self.folder / f".{self.name}", ignore_errors=True)  # of a job killed while it wrote
            for path in self._paths():
                position = self._position(path)
                if position is not None:
                    found[position.key] = path
        common = set(found)
        for keys in cluster.gather(np.array(sorted(found), np.int64).reshape(-1, 4)):
            common &= set(map(tuple, keys.tolist()))
        if not common:
            with contextlib.suppress(OSError):  # a folder that can't be written: `save` warns of it
                self._best.unlink(missing_ok=True)
            return None
        path = found[max(common)]
        checkpoint = _read(path)
        log.info("Checkpoint loaded from %s at epoch %d", path, checkpoint.position.epoch)
        return checkpoint

    def save_best(self, state: Mapping[str, np.ndarray]) -> None:
        """Keep the state that early stopping holds for the best so far, on the disk."""
        self._write(self._best, Checkpoint(Position(), state))

    def best(self) -> Mapping[str, np.ndarray] | None:
        """The state last kept, None if none was."""
        return _read(self._best).state if self._best.exists() else None

    def _paths(self) -> list[Path]:
        """This host's checkpoints, from the oldest to the newest."""
        assert self.folder is not None
        found = []
        for path in self.folder.iterdir():
            match = self._pattern.fullmatch(path.name)
            if match:
                found.append((int(match[1]), int(match[2] or 0), path))
        return [path for _, _, path in sorted(found)]

    def _position(self, path: Path) -> Position | None:
        """Where a checkpoint stands; None, with a warning, for one that cannot be resumed from."""
        try:
            facts = _metadata(path)
            position = Position(**facts["position"])
            if facts["fingerprint"] == self.fingerprint:
                return position
        except Exception as error:
            log.warning("Checkpoint %s cannot be read (%s) and is left out", path, error)
            return None
        log.warning(
            "Checkpoint %s is of a job with other hyperparameters, seed or hosts; it is left out", path
        )
        return None

    def _write(self, path: Path, checkpoint: Checkpoint) -> None:
        from safetensors.numpy import save_file

        tensors = {f"state.{name}": array for name, array in checkpoint.state.items()}
        tensors |= {f"stopping.{name}": array for name, array in checkpoint.stopping.items()}
        facts = {
            "fingerprint": self.fingerprint,
            "position": asdict(checkpoint.position),
            "counters": dict(checkpoint.counters),
        }
        temporary = path.parent / f".{self.name}" / path.name
        try:
            temporary.parent.mkdir(exist_ok=True)
            # asarray, for ascontiguousarray would make a vector of a scalar
            save_file(
                {name: np.asarray(array, order="C") for name, array in tensors.items()},
                temporary,
                {"checkpoint": json.dumps(facts)},
            )
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        except Exception as error:
            raise system_error(error) or error from None
        finally:
            shutil.rmtree(temporary.parent, ignore_errors=True)


def _metadata(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        facts: dict[str, Any] = json.loads(file.metadata()["checkpoint"])
        return facts


def _read(path: Path) -> Checkpoint:
    from safetensors.numpy import load_file

    facts = _metadata(path)
    parts: dict[str, dict[str, np.ndarray]] = {"state": {}, "stopping": {}}
    for key, array in load_file(path).items():
        part, _, name = key.partition(".")
        parts[part][name] = array
    return Checkpoint(
        Position(**facts["position"]), parts["state"], parts["stopping"], counters=facts["counters"]
    )

"""Checkpoints: what a job killed at any moment needs to go on as if undisturbed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from optml.algorithms.cluster import Cluster
from optml.container.errors import system_error
from optml.container.outputs import sync_folder

log = logging.getLogger(__name__)

KEEP = 2
BESIDE = (
    16 << 20
)  # bytes of a state that is written beside training: less is written sooner than it is copied
VERSION = 3  # of the files: those of another version are not resumed from


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
    """`state` is the learner's, `stopping` the early-stopping rule's, `counters` those of the log, `columns`
    the names of the table's, in their order; None: it names none."""

    position: Position
    state: Mapping[str, np.ndarray]
    stopping: Mapping[str, np.ndarray] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    columns: tuple[str, ...] | None = None


def fingerprint(**facts: object) -> str:
    """A hash of all that a checkpoint depends on: algorithm, hyperparameters, seed, number of hosts."""
    text = json.dumps({"version": VERSION, **facts}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class Checkpoints:
    """The checkpoints of one host of one job, in a folder that hosts may share.

    Every file carries a checksum of all that it holds, so that damage is noticed; what is damaged is left out
    with a warning. A folder that is full, or cannot be written or read, never ends the job. A large state is
    copied and written beside training; whoever asks for the next or for the best one waits for it.

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
        self._has_best = False
        self._unsaved: dict[str, np.ndarray] | None = None  # the best state, where the disk did not take it
        self._own: list[Path] = []  # this job's, from the oldest to the newest
        self._writer: threading.Thread | None = None
        self._pattern = re.compile(re.escape(name) + r"\.(\d+)(?:-(\d+))?\.ckpt")

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint and remove all of this job but the last two. A disk that is full costs the
        checkpoint and a warning, not the job."""
        if self.folder is not None:
            self._beside(checkpoint.state, lambda state: self._save(replace(checkpoint, state=state)))

    def wait(self) -> None:
        """Until what was asked for is written."""
        if self._writer is not None:
            self._writer.join()
            self._writer = None

    def _beside(
        self, state: Mapping[str, np.ndarray], write: Callable[[Mapping[str, np.ndarray]], None]
    ) -> None:
        """Write a state, beside training where it is large; one after the other."""
        self.wait()
        if sum(array.nbytes for array in state.values()) < BESIDE:
            write(state)
            return
        copy = {name: np.array(array) for name, array in state.items()}
        # No daemon: a process that ends writes to the end.
        self._writer = threading.Thread(target=write, args=(copy,), name="checkpoint")
        self._writer.start()

    def _save(self, checkpoint: Checkpoint) -> None:
        assert self.folder is not None
        position = checkpoint.position
        step = f"-{position.step}" if position.step else ""
        path = self.folder / f"{self.name}.{position.epoch}{step}.ckpt"
        try:
            if self._unsaved is not None:  # without its best state nobody could go on from the checkpoint
                self._write(self._best, Checkpoint(Position(), self._unsaved))
                self._unsaved = None
            self._write(path, checkpoint)
            self._own = [*(other for other in self._own if other != path), path]
            while len(self._own) > KEEP:
                self._own.pop(0).unlink(missing_ok=True)
        except OSError as error:
            log.warning("Checkpoint %s could not be written: %s", path, error.strerror or error)

    def resume(self, cluster: Cluster) -> Checkpoint | None:
        """The newest checkpoint that every host has undamaged; None to start afresh. Logs which."""
        self.wait()
        candidates: dict[tuple[int, ...], Path] = {}
        if self.folder is None:
            log.info("Checkpoint loading and saving are disabled.")
        else:
            shutil.rmtree(self.folder / f".{self.name}", ignore_errors=True)  # of a job killed while it wrote
            candidates = {key: path for path in self._paths() if (key := self._key(path)) is not None}
        common = set(candidates)
        for keys in cluster.gather(np.array(sorted(candidates), np.int64).reshape(-1, 4)):
            common &= set(map(tuple, keys.tolist()))
        while common:
            newest = max(common)
            checkpoint = self._undamaged(candidates[newest])
            if all(cluster.gather(np.array(checkpoint is not None))):
                assert checkpoint is not None
                self._own = [candidates[key] for key in sorted(candidates)]
                log.info(
                    "Checkpoint loaded from %s at epoch %d", candidates[newest], checkpoint.position.epoch
                )
                return checkpoint
            common.remove(newest)
            if checkpoint is None:
                del candidates[newest]
        with contextlib.suppress(OSError):  # a folder that can't be written: `save` warns of it
            self._best.unlink(missing_ok=True)
        return None

    def save_best(self, state: Mapping[str, np.ndarray]) -> None:
        """Keep the state that early stopping holds for the best so far: on the disk, or in memory while the
        disk does not take it."""
        self._beside(state, self._save_best)

    def _save_best(self, state: Mapping[str, np.ndarray]) -> None:
        self._has_best = True
        self._unsaved = None
        try:
            self._write(self._best, Checkpoint(Position(), state))
        except OSError as error:
            log.warning(
                "The best state could not be written to %s (%s) and stays in memory",
                self._best,
                error.strerror or error,
            )
            self._unsaved = {name: np.array(array) for name, array in state.items()}

    def best(self) -> Mapping[str, np.ndarray] | None:
        """The state last kept; None if none was, or, with a warning, if it was damaged since."""
        self.wait()
        if self._unsaved is not None or not self._has_best:
            return self._unsaved
        try:
            return _read(self._best).state
        except Exception as error:
            log.warning(
                "The best state %s cannot be read (%s): the model is that of the last update",
                self._best,
                _reason(error),
            )
            return None

    def _paths(self) -> list[Path]:
        """This host's checkpoints, from the oldest to the newest."""
        assert self.folder is not None
        matches = []
        try:
            for path in self.folder.iterdir():
                match = self._pattern.fullmatch(path.name)
                if match:
                    matches.append((int(match[1]), int(match[2] or 0), path))
        except OSError as error:
            log.warning("The folder of checkpoints %s cannot be read: %s", self.folder, error.strerror)
        return [path for _, _, path in sorted(matches)]

    def _key(self, path: Path) -> tuple[int, ...] | None:
        """Where a checkpoint stands; None, with a warning, for one that cannot be resumed from."""
        try:
            if not path.is_file():  # a FIFO would be waited for
                raise ValueError("it is no file")
            facts = json.loads(_metadata(path)["checkpoint"])
            if facts["fingerprint"] == self.fingerprint:
                key: tuple[int, ...] = tuple(np.array(Position(**facts["position"]).key, np.int64).tolist())
                return key
        except Exception as error:
            log.warning("Checkpoint %s cannot be read (%s) and is left out", path, _reason(error))
            return None
        log.warning(
            "Checkpoint %s is of a job with other hyperparameters, seed, hosts or version of this program; "
            "it is left out",
            path,
        )
        return None

    def _undamaged(self, path: Path) -> Checkpoint | None:
        """The checkpoint, if it is what was written, and so is the best state that belongs to it."""
        try:
            checkpoint = _read(path)
            self._has_best = bool(json.loads(_metadata(path)["checkpoint"])["best"])
            if self._has_best:
                path = self._best
                _read(path)
        except Exception as error:
            log.warning("Checkpoint %s cannot be read (%s) and is left out", path, _reason(error))
            self._has_best = False
            return None
        return checkpoint

    def _write(self, path: Path, checkpoint: Checkpoint) -> None:
        """Raises OSError."""
        from safetensors.numpy import save_file

        tensors = {f"state.{name}": array for name, array in checkpoint.state.items()}
        tensors |= {f"stopping.{name}": array for name, array in checkpoint.stopping.items()}
        # asarray, for ascontiguousarray would make a vector of a scalar
        tensors = {name: np.asarray(array, order="C") for name, array in tensors.items()}
        facts = json.dumps(
            {
                "fingerprint": self.fingerprint,
                "position": asdict(checkpoint.position),
                "counters": dict(checkpoint.counters),
                "columns": checkpoint.columns,
                "best": self._has_best,  # a best state belongs to it
            }
        )
        temporary = path.parent / f".{self.name}" / path.name
        try:
            temporary.parent.mkdir(exist_ok=True)
            save_file(tensors, temporary, {"checkpoint": facts, "checksum": _checksum(facts, tensors)})
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            if path.is_dir() and not path.is_symlink():
                path.rmdir()  # an empty one only
            temporary.replace(path)
            sync_folder(path.parent)
        except Exception as error:
            raise system_error(error) or error from None
        finally:
            shutil.rmtree(temporary.parent, ignore_errors=True)


def _checksum(facts: str, tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of all that a checkpoint holds: its facts, and each array with its name, dtype and shape."""
    digest = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        metadata: dict[str, str] = file.metadata()
        return metadata


def _read(path: Path) -> Checkpoint:
    """Raises ValueError where the content is not what was written, and what safetensors and files raise."""
    from safetensors.numpy import load_file

    metadata, tensors = _metadata(path), load_file(path)
    if _checksum(metadata["checkpoint"], tensors) != metadata["checksum"]:
        raise ValueError("its checksum is wrong: it was damaged")
    facts = json.loads(metadata["checkpoint"])
    parts: dict[str, dict[str, np.ndarray]] = {"state": {}, "stopping": {}}
    for key, array in tensors.items():
        part, _, name = key.partition(".")
        parts[part][name] = array
    columns = facts.get("columns")
    return Checkpoint(
        Position(**facts["position"]),
        parts["state"],
        parts["stopping"],
        counters=facts["counters"],
        columns=None if columns is None else tuple(columns),
    )


def _reason(error: Exception) -> str:
    """What is wrong with a file, in a line."""
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return " ".join(str(error).split()) or type(error).__name__

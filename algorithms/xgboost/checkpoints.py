"""Checkpoints as AWS's container means to write them: `xgboost-checkpoint.<round>`, the newest five.

A model is all that they hold, with a checksum of itself as one of its attributes. A resumed job is bitwise an
undisturbed one: what a job with checkpoints draws at random follows from the seed and the round
(`callbacks.Draws`). Three kinds of jobs come out as good, but not the same: tree_method=approx with subsample
under a loss of constant curvature (the library keeps the bins of the rows it drew first),
lambdarank_pair_method=mean (it draws pairs by rounds counted from the resume), and gblinear (its sums are
rounded in another order: about 1e-6).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xgboost

from optml.algorithms.xgboost import boosters

log = logging.getLogger(__name__)

NAME = "xgboost-checkpoint"
TEMPORARY = ".sagemaker-ignore"  # suffix of names that the platform does not upload
UPLOADING, UPLOADED = ".sagemaker-uploading", ".sagemaker-uploaded"  # its marks beside a file
CHECKSUM = (
    "optml_checksum"  # the attribute, whose value is SHA-256 of the file with zeros in its digits' place
)
_ZEROS = b"0" * 64
_DIGITS = re.compile(rb"optml:([0-9a-f]{64})")
_PATTERN = re.compile(re.escape(NAME) + r"\.(\d+)")


class Checkpoints:
    """The checkpoints in a folder. Files from before this run are never removed."""

    def __init__(self, folder: Path, keep: int = 5) -> None:
        self.folder = folder
        self._keep = keep
        self._before = set(self.rounds())

    def rounds(self) -> list[int]:
        """The rounds, counted from 0, after which there is a checkpoint, in ascending order."""
        try:
            paths = [*self.folder.iterdir()] if self.folder.is_dir() else []
        except OSError as error:
            log.warning("The folder of checkpoints %s cannot be read: %s", self.folder, error.strerror)
            paths = []
        matches = (_PATTERN.fullmatch(path.name) for path in paths)
        return sorted(int(match[1]) for match in matches if match)

    def path(self, number: int) -> Path:
        return self.folder / f"{NAME}.{number}"

    def whole(self) -> Iterator[tuple[int, bytes]]:
        """The rounds and contents of the checkpoints that can be gone on from, the newest first. Whatever
        cannot be read, or is not what was written, is left out with a warning."""
        for number in reversed(self.rounds()):
            path = self.path(number)
            try:
                if not path.is_file():  # a FIFO would be waited for
                    raise ValueError("it is no file")
                content = path.read_bytes()
                check(content)
                boosters.parse(content)
            except (OSError, ValueError) as error:  # XGBoostError is a ValueError
                log.warning("Checkpoint %s cannot be read (%s) and is left out", path, boosters.reason(error))
                continue
            log.info("Checkpoint loaded from %s", path)
            yield number, content

    def save(self, number: int, content: bytes | bytearray) -> None:
        """Write the model as it is after a round, in one piece, and remove what is older than the newest. A
        disk that is full costs the checkpoint and a warning, not the job."""
        path = self.path(number)
        temporary = path.with_name(path.name + TEMPORARY)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            temporary.replace(path)
            for old in [number for number in self.rounds() if number not in self._before][: -self._keep]:
                if not self._being_uploaded(self.path(old)):
                    self.path(old).unlink(missing_ok=True)
        except OSError as error:
            log.warning("Checkpoint %s could not be written: %s", path, error.strerror)
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _being_uploaded(self, path: Path) -> bool:
        return (
            path.with_name(path.name + UPLOADING).exists()
            and not path.with_name(path.name + UPLOADED).exists()
        )


def content(booster: Any) -> bytes:
    """The content of a checkpoint: the model as UBJSON, with its checksum. The booster stays as it is."""
    booster.set_attr(**{CHECKSUM: f"optml:{_ZEROS.decode()}"})
    model = bytes(booster.save_raw("ubj"))
    booster.set_attr(**{CHECKSUM: None})
    return model.replace(b"optml:" + _ZEROS, b"optml:" + hashlib.sha256(model).hexdigest().encode())


def check(model: bytes) -> None:
    """Raises ValueError where the checksum is wrong. Models of others, AWS's among them, have none."""
    digits = _DIGITS.search(model)
    if digits is None:
        return
    blank = model[: digits.start(1)] + _ZEROS + model[digits.end(1) :]
    if hashlib.sha256(blank).hexdigest().encode() != digits[1]:
        raise ValueError("its checksum is wrong: it was damaged")


def restore(model: bytes) -> xgboost.Booster:
    """The booster of a checkpoint's content."""
    booster = boosters.parse(model)
    booster.set_attr(**{CHECKSUM: None})
    return booster

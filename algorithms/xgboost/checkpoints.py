"""Checkpoints as AWS's container means to write them: `xgboost-checkpoint.<round>`, the newest five.

A model is all that they hold, and a resumed job is bitwise an undisturbed one: what a job with checkpoints
draws at random follows from the seed and the round (`callbacks.Draws`). Three kinds of jobs come out as good,
but not the same: tree_method=approx with subsample under a loss of constant curvature (the library keeps the
bins of the rows it drew first), lambdarank_pair_method=mean (it draws pairs by rounds counted from the
resume), and gblinear (its sums are rounded in another order: about 1e-6).
"""

from __future__ import annotations

import contextlib
import logging
import re
from pathlib import Path

log = logging.getLogger(__name__)

NAME = "xgboost-checkpoint"
TEMPORARY = ".sagemaker-ignore"  # suffix of names that the platform does not upload
UPLOADING, UPLOADED = ".sagemaker-uploading", ".sagemaker-uploaded"  # its marks beside a file
_PATTERN = re.compile(re.escape(NAME) + r"\.(\d+)")


class Checkpoints:
    """The checkpoints in a folder. Files from before this run are never removed."""

    def __init__(self, folder: Path, keep: int = 5) -> None:
        self.folder = folder
        self._keep = keep
        self._before = set(self.rounds())

    def rounds(self) -> list[int]:
        """The rounds, counted from 0, after which there is a checkpoint, in ascending order."""
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        matches = (_PATTERN.fullmatch(path.name) for path in found)
        return sorted(int(match[1]) for match in matches if match)

    def path(self, number: int) -> Path:
        return self.folder / f"{NAME}.{number}"

    def save(self, number: int, content: bytes | bytearray) -> None:
        """Write the model as it is after a round, in one piece, and remove what is older than the newest. A
        disk that is full costs the checkpoint and a warning, not the job."""
        path = self.path(number)
        temporary = path.with_name(path.name + TEMPORARY)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            temporary.replace(path)
        except OSError as error:
            log.warning("Checkpoint %s could not be written: %s", path, error.strerror)
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            return
        for old in [number for number in self.rounds() if number not in self._before][: -self._keep]:
            if not self._being_uploaded(self.path(old)):
                self.path(old).unlink(missing_ok=True)

    def _being_uploaded(self, path: Path) -> bool:
        return (
            path.with_name(path.name + UPLOADING).exists()
            and not path.with_name(path.name + UPLOADED).exists()
        )

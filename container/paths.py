"""The /opt/ml tree, under a root that can be moved."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Paths:
    """Every path of the contract under one root (training-contract: directory tree)."""

    root: Path

    @classmethod
    def of_environment(cls) -> Paths:
        """`SAGEMAKER_BASE_DIR` moves the root, as in AWS's toolkits; `SAGEMAKER_DATA_PATH` is its alias."""
        root = os.environ.get("SAGEMAKER_BASE_DIR") or os.environ.get("SAGEMAKER_DATA_PATH") or "/opt/ml"
        return cls(Path(root))

    @property
    def config(self) -> Path:
        return self.root / "input" / "config"

    @property
    def data(self) -> Path:
        return self.root / "input" / "data"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def output_data(self) -> Path:
        return self.root / "output" / "data"

    @property
    def failure(self) -> Path:
        return self.root / "output" / "failure"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

"""OPTML_HOME: where the control plane keeps everything."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Home:
    """Every path under one root."""

    root: Path

    @classmethod
    def of_environment(cls) -> Home:
        return cls(Path(os.environ.get("OPTML_HOME") or "~/.optml").expanduser().absolute())

    @property
    def database(self) -> Path:
        return self.root / "control.db"

    @property
    def objects(self) -> Path:
        """The contents of objects of S3, by their ids."""
        return self.root / "s3" / "objects"

    @property
    def incoming(self) -> Path:
        """Contents that are being written, and parts of uploads."""
        return self.root / "s3" / "incoming"

    @property
    def sdk_config(self) -> Path:
        return self.root / "sagemaker-config.yaml"

    @property
    def site(self) -> Path:
        return self.root / "site"

    @property
    def address(self) -> Path:
        """A file with the address of the control plane that runs, or ran last."""
        return self.root / "address"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def dirty(self) -> Path:
        """There while a control plane runs, and after a kill."""
        return self.root / "dirty"

    def job(self, kind: str, name: str) -> Path:
        """The folder of a job: `kind` is training or transform."""
        return self.root / "jobs" / kind / _checked(name)

    def endpoint(self, name: str) -> Path:
        return self.root / "endpoints" / _checked(name)

    def make(self) -> None:
        for folder in (self.objects, self.incoming, self.root / "jobs", self.root / "endpoints"):
            folder.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)


def _checked(name: str) -> str:
    """A name of the API as the name of a folder: the model's patterns let nothing else through."""
    if not _PLAIN.fullmatch(name):
        raise ValueError(f"'{name}' is no name of a folder")
    return name

"""AWS's SDKs for the tests: v2 and v3 exclude each other, so each has a virtual environment of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def environment(name: str, requirement: str) -> Path:
    """The Python of the virtual environment `name` beside the project's, made on the first call. boto3 comes
    in a call of its own: asked for together, pip looks through old releases without an end."""
    folder = ROOT / name
    python = folder / "bin" / "python"
    if not (folder / ".complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        for words in ([requirement, "scikit-learn"], ["-U", "boto3"]):
            command = [str(python), "-m", "pip", "install", "--quiet", *words]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"pip could not install {words}: {done.stderr.strip().splitlines()[-1]}")
        (folder / ".complete").touch()
    return python

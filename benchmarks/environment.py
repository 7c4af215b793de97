"""Where a benchmark ran, so that its numbers can be judged: machine, versions, commit."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "numpy", "scipy", "numba", "pyarrow", "protobuf", "safetensors", "torch", "triton",
    "scikit-learn", "faiss-cpu", "flash-kmeans", "flask", "gunicorn", "xgboost-cpu", "xgboost", "gensim",
    "treelite", "pandas", "tomotopy", "simplejpeg", "pillow",
)  # fmt: skip


def environment() -> dict[str, Any]:
    """The machine, the versions of what took part, and the commit, ready for JSON.

    Keys: processor, cores (that this process may use), memory_gib, system, python, packages (name -> version,
    the installed ones of `PACKAGES`), gpu (name, memory_gib, capability, cuda; None without one), commit.
    """
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": _versions(),
        "gpu": _gpu(),
        "commit": _commit(),
    }


def save(name: str, rows: Iterable[Mapping[str, Any]], *, folder: Path = RESULTS, **facts: Any) -> Path:
    """Write `folder/NAME.json`: the environment, any further facts, and one object per measured row."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    record = {"environment": environment(), **facts, "rows": list(rows)}
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def options(description: str | None) -> argparse.ArgumentParser:
    """The command line of a benchmark: `--out`, and what it adds."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    return parser


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _gpu() -> dict[str, Any] | None:
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    device = torch.cuda.get_device_properties(0)
    return {
        "name": device.name,
        "memory_gib": round(device.total_memory / 2**30, 1),
        "capability": f"{device.major}.{device.minor}",
        "cuda": torch.version.cuda,
    }


def _commit() -> str | None:
    """The commit of the working tree; `+` after it when files differ from the commit."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")

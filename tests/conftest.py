"""Before any test: without a GPU, Triton interprets its kernels (it decides when it is first imported)."""

from __future__ import annotations

import os
from pathlib import Path

if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")

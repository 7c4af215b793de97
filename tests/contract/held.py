"""`train`, with the toy algorithm beside the others, held once a checkpoint is written.

`python -m tests.contract.held '*-0.1-*.ckpt' FIFO` stops at the first checkpoint of such a name until whoever
has the FIFO's other end closes it. Without arguments nothing is held.
"""

from __future__ import annotations

import os
import sys
from fnmatch import fnmatch
from pathlib import Path

from optml.algorithms import registry
from optml.container.__main__ import train


def hold(checkpoint: str, fifo: Path) -> None:
    """Wait for the FIFO's end once a file of such a name has taken its place."""
    replace = Path.replace

    def replaced(self: Path, target: Path) -> Path:
        path = replace(self, target)
        if fnmatch(Path(target).name, checkpoint):
            Path.replace = replace  # type: ignore[method-assign]
            fifo.read_bytes()
        return path

    Path.replace = replaced  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    registry.MODULES["toy"] = "tests.contract.toy"
    os.environ.setdefault("OPTML_ALGORITHM", "toy")
    if len(sys.argv) > 1:
        hold(sys.argv[1], Path(sys.argv[2]))
    train()

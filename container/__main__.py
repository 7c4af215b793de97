"""The program of the images: `train`, `serve`, or what the /opt/ml tree asks for."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import NoReturn

BEGAN = time.time()

USAGE = """\
usage: python -m optml.container [train | serve | --help | --version]

train      run the training job that /opt/ml/input/config describes; the model goes to /opt/ml/model
serve      answer HTTP requests with the model in /opt/ml/model, on port 8080

With another argument or none: train where /opt/ml/input/config/hyperparameters.json exists, else serve.
OPTML_ALGORITHM names the algorithm; SAGEMAKER_BASE_DIR moves /opt/ml.
"""


def train() -> NoReturn:
    """Train and end the process. The signal handler is there before anything slow is imported."""
    from optml.container.stop import Stop

    stop = Stop()
    stop.install()

    from optml.container import scratch
    from optml.cpus import limit_threads

    scratch.prepare()
    limit_threads(int(os.environ.get("OPTML_LOCAL_SIZE") or 1))

    from optml.container.train import main as run

    code = run(stop, BEGAN)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # whoever read the log is gone
            stream.flush()
    scratch.remove()
    os._exit(code)  # readers of FIFOs that nobody writes any more don't hold the process up


def serve() -> NoReturn:
    """Serve until told to stop."""
    from optml.container import scratch

    scratch.prepare()
    from optml.serving.server import main as run

    sys.exit(run())


def main() -> None:
    """Dispatch on the first argument; `train` and `serve` always win, further arguments are ignored."""
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    if first in ("--help", "-h"):
        print(USAGE, end="")
    elif first == "--version":
        from importlib.metadata import version

        print(f"optml {version('optml')}")
    elif first == "train" or (first != "serve" and _asked_to_train()):
        train()
    else:
        serve()


def _asked_to_train() -> bool:
    from optml.container.paths import Paths

    return (Paths.of_environment().config / "hyperparameters.json").exists()


if __name__ == "__main__":
    main()

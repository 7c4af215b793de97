"""Compile every numba function of the project now: what the build of an image runs, so that no job has to.

Our numba functions declare their types, so importing the module that holds them compiles them into the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages

import optml.algorithms.kernels
import optml.formats

# What is compiled, if at all, for the GPU it meets.
OTHERS = ("triton", "torch", "autograd")


def modules() -> Iterator[str]:
    """The names of the modules to import."""
    for package in (optml.algorithms.kernels, optml.formats):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(OTHERS):
                yield module.name


def main() -> None:
    for name in modules():
        import_module(name)


if __name__ == "__main__":
    main()

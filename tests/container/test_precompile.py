"""What the build of an image compiles."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

from optml.container.precompile import modules

NAMES = list(modules())


def imported(name: str) -> set[str]:
    """What a module imports as it is imported itself, by the first part of the name."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    found = set()
    for node in ast.parse(Path(spec.origin).read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_every_module_of_compiled_functions_is_imported() -> None:
    assert {"optml.algorithms.kernels.nearest.cpu", "optml.formats.csv_kernel"} <= set(NAMES)
    assert len([name for name in NAMES if "numba" in imported(name)]) > 15


def test_none_of_them_needs_triton_which_images_for_cpus_lack() -> None:
    assert not [name for name in NAMES if "triton" in imported(name)]

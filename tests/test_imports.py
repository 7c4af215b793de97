"""Who may import whom: the layers of docs/design.md, read from the source without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Of each layer, the layers that it may import beside itself and the ground floor (the files of src/optml).
LAYERS = {
    "": set[str](),
    "formats": set[str](),
    "algorithms": {"formats"},
    "container": {"algorithms", "formats"},
    "serving": {"algorithms", "container", "formats"},
    "local": {"algorithms", "container", "formats", "serving"},
}
# The program of the images starts the server when it is asked to serve.
EXCEPTIONS = {"container.__main__ imports serving.server"}
SHARED = {"kernels", "vision", "sequences", "topics"}  # folders of algorithms/ that are no algorithm


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the project, by its name without `optml.`"""
    for layer in LAYERS:
        root = ROOT / "src/optml" if layer == "" else ROOT
        for path in root.glob("*.py") if layer == "" else (root / layer).rglob("*.py"):
            yield ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"), path


FILES = dict(modules())


def imports(path: Path) -> Iterator[str]:
    """The modules of ours that a file imports, at its top or inside of a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            ours = name.removeprefix("optml.")
            if ours != name:
                yield ours if ours in FILES else ours.rpartition(".")[0]


GRAPH = {name: set(imports(path)) - {name} for name, path in FILES.items()}


def layer(module: str) -> str:
    first = module.partition(".")[0]
    return first if first in LAYERS else ""


def test_the_whole_project_is_read() -> None:
    assert len(FILES) > 300
    assert {layer(name) for name in FILES} == set(LAYERS)
    assert {target for targets in GRAPH.values() for target in targets} <= FILES.keys()


def test_files_import_each_other_in_no_circle() -> None:
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail("a circle of imports: " + " <- ".join(error.args[1]))


@pytest.mark.parametrize("own", list(LAYERS), ids=lambda own: own or "ground floor")
def test_nothing_imports_upwards(own: str) -> None:
    wrong = {
        f"{name} imports {target}"
        for name, targets in GRAPH.items()
        for target in targets
        if layer(name) == own and layer(target) not in LAYERS[own] | {own, ""}
    }
    assert wrong <= EXCEPTIONS


def test_an_algorithm_imports_no_other() -> None:
    wrong = []
    for name, targets in GRAPH.items():
        own = name.split(".")
        for target in targets:
            other = target.split(".")
            inside = own[0] == other[0] == "algorithms" and len(own) > 1 and len(other) > 1
            package = f"algorithms.{other[1]}" if inside else ""
            is_algorithm = inside and other[1] not in SHARED and FILES[package].name == "__init__.py"
            if is_algorithm and own[1] != other[1]:
                wrong.append(f"{name} imports {target}")
    assert not wrong


def test_algorithms_know_nothing_of_where_they_run() -> None:
    assert not [
        f"{name} imports {target}"
        for name, targets in GRAPH.items()
        if layer(name) == "algorithms"
        for target in targets
        if layer(target) in ("container", "serving", "local")
    ]

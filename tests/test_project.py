"""What the project says of itself beside the code: pinned versions, Dockerfiles, README, the CI script."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from difflib import SequenceMatcher
from pathlib import Path

import pytest

from algorithms import registry
from container.describe import metric_definitions

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_is_pinned_to_one_version_valid_anywhere() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    pinned = {canonical(name) for name in pins}
    extras = PROJECT["optional-dependencies"].values()
    asked = [*PROJECT["dependencies"], *(requirement for extra in extras for requirement in extra)]
    named = {canonical(re.split(r"[\[<>=; ]", requirement)[0]) for requirement in asked} - {"optml"}
    assert named <= pinned
    assert not [version for version in pins.values() if "+" in version]  # a local build is not everywhere


def test_every_algorithm_has_an_extra_and_the_image_of_all_takes_it() -> None:
    extras = PROJECT["optional-dependencies"]
    assert set(registry.available()) <= set(extras)
    everything = re.search(r"\[(.*)\]", extras["all"][0])
    assert everything is not None
    assert sorted(everything[1].split(",")) == registry.available()


def test_dockerfiles_differ_only_where_they_say_so() -> None:
    cpu, gpu = ((ROOT / name).read_text().splitlines() for name in ("Dockerfile.cpu", "Dockerfile.gpu"))
    blocks = SequenceMatcher(None, cpu, gpu, autojunk=False).get_opcodes()
    changed = ["\n".join(cpu[i:j] + gpu[k:m]) for tag, i, j, k, m in blocks if tag != "equal"]
    assert len(changed) == 5
    assert sum("Differs:" in block for block in changed[1:]) == 3  # and the title, the extra


def test_readme_states_what_every_algorithm_is() -> None:
    rows = dict(re.findall(r"^\| [^|]+ \| `([^`]+)` \| ([^|]+) \|$", (ROOT / "README.md").read_text(), re.M))
    assert rows.keys() == registry.MODULES.keys()
    assert sorted(slug for slug, state in rows.items() if state != "to come") == registry.available()


def test_readme_holds_the_metric_definitions_that_are_published() -> None:
    found = re.search(r"^METRICS = (\[.*?^\])", (ROOT / "README.md").read_text(), re.M | re.S)
    assert found is not None
    assert ast.literal_eval(found[1]) == metric_definitions(registry.get("kmeans"))


def test_readme_names_only_targets_that_make_knows() -> None:
    named = set(re.findall(r"make ([a-z]+(?:-[a-z]+)*)\b", (ROOT / "README.md").read_text()))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert named
    assert named <= targets | {"help"}


def test_readme_commands_work_as_they_stand(tmp_path: Path) -> None:
    block = re.search(r"^## Without Docker.*?```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert block is not None
    commands = [line for line in block[1].splitlines() if line.startswith("optml") and "serve" not in line]
    assert len(commands) == 5
    rows = [",".join(str((3 * row + column) % 7) for column in range(4)) for row in range(100)]
    (tmp_path / "data.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "part-0.csv").write_text("1,2,3,4\n")
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = "\n".join(["set -e", *commands])
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PATH": programs},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", [".ci/run"])
def test_script_is_bash(script: str) -> None:
    path = ROOT / script
    assert path.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(path)], check=True)

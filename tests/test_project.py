"""What the project says of itself beside the code: pinned versions, Dockerfiles, README, the CI script."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from difflib import SequenceMatcher
from pathlib import Path

import pytest

from optml import environment
from optml.algorithms import registry
from optml.formats import content_type
from optml.local.describe import metric_definitions

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
INTERNAL = {"OPTML_LOCAL_RANK", "OPTML_LOCAL_SIZE"}  # what the processes of one host tell each other
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
    rows = dict(
        re.findall(r"^\| [^|]+ \| `([^`]+)` \| ([^|]+) \| [^|]* \|$", (ROOT / "README.md").read_text(), re.M)
    )
    assert rows.keys() == registry.MODULES.keys()
    assert sorted(slug for slug, state in rows.items() if state != "to come") == registry.available()


def test_the_page_of_sagemaker_holds_the_metric_definitions_that_are_published() -> None:
    found = re.search(r"^METRICS = (\[.*?^\])", (ROOT / "docs/sagemaker.md").read_text(), re.M | re.S)
    assert found is not None
    assert ast.literal_eval(found[1]) == metric_definitions(registry.get("kmeans"))


def test_readme_names_only_targets_that_make_knows() -> None:
    named = set(re.findall(r"make ([a-z]+(?:-[a-z]+)*)\b", (ROOT / "README.md").read_text()))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert named
    assert named <= targets | {"help"}


def test_readme_names_only_pages_and_pictures_that_are_there() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} names {target}"


def test_the_page_of_the_environment_is_made_from_the_table() -> None:
    assert (ROOT / "docs/environment.md").read_text() == environment.page()


def test_every_environment_variable_is_in_the_table() -> None:
    named = r"[\"' ]((?:OPTML|SAGEMAKER)_[A-Z0-9_]*[A-Z]|MAX_CONTENT_LENGTH|DEEPAR_INFERENCE_CONFIG)[\"' ]"
    read = set()
    for folder in ("algorithms", "container", "formats", "local", "serving", "src/optml"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name != "environment.py":
                read |= set(re.findall(named, path.read_text()))
    groups = (environment.TRAINING, environment.SERVING, environment.TRANSFORM, environment.CONTROL)
    table = {name for group in groups for variable in group for name in variable.names}
    assert read - INTERNAL <= table
    assert {name for name in table if name.startswith(("OPTML", "SAGEMAKER"))} <= read


@pytest.mark.timeout(600)  # a minute of work, and machines are busy
def test_commands_of_readme_and_docs_work_as_they_stand(tmp_path: Path) -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    script = "".join(blocks).replace("\\\n", "")  # a line that goes on is one
    lines = [line for line in script.splitlines() if line.startswith("optml")]
    servers = ("optml serve", "optml up", "optml exec")  # with tests of their own
    commands = [
        line for line in lines if not line.startswith(servers) and "--docker" not in line.split("#")[0]
    ]
    assert len(commands) >= 8
    rows = [",".join(str((3 * row + column) % 7) for column in range(4)) for row in range(100)]
    for name in ("data.csv", "train.csv", "rest.csv", "series.csv"):
        (tmp_path / name).write_text("\n".join(rows) + "\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "part-0.csv").write_text("1,2,3,4\n")
    target = [float(hour % 24) for hour in range(400)]
    (tmp_path / "series.jsonl").write_text(json.dumps({"start": "2026-01-01 00:00:00", "target": target}))
    (tmp_path / "pairs.tsv").write_text("1\ta man plays\ta man is playing\n0\ta dog\tno cat sleeps\n")
    for name in ("train", "val"):
        for side in ("en", "de"):
            (tmp_path / f"{name}.{side}").write_text("a man plays\na dog\n" * 20)
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", "\n".join(["set -e", *commands])],
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


def test_content_types_are_named_in_one_place() -> None:
    named = {value for value in vars(content_type).values() if isinstance(value, str) and "/" in value}
    named -= {content_type.__file__, content_type.__cached__}
    assert "text/csv" in named
    literals = [
        f"{path.relative_to(ROOT)}: {value}"
        for folder in ("algorithms", "container", "formats", "local", "serving")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != ROOT / "formats" / "content_type.py"
        for value in re.findall(r'"([a-z]+/[a-z-]+)"', path.read_text())
        if value in named
    ]
    assert literals == []

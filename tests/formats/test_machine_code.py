from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BODY = """
from pathlib import Path
from numba import cfunc, types
from optml.formats import machine_code

@cfunc(types.int64(types.int64))
def function(number):
    return {expression}

machine_code.store(function, Path(__file__))
"""
CALL = """
import ctypes, sys
from pathlib import Path
from optml.formats import machine_code
address = machine_code.load(Path(sys.argv[1]))
print(address and ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)(20), "numba" in sys.modules)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "function.py"
    path.write_text(BODY.format(expression="2 * number + 2"))
    return path


def test_a_stored_function_runs_in_a_process_without_numba(source: Path) -> None:
    assert run("-c", CALL, str(source)).stdout == "None False\n"
    assert run(str(source)).returncode == 0
    assert run("-c", CALL, str(source)).stdout == "42 False\n"


def test_a_changed_source_or_another_cpu_has_no_code_yet(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(str(source)).returncode == 0
    with monkeypatch.context() as other:
        other.setenv("NUMBA_CPU_NAME", "generic")
        assert run("-c", CALL, str(source)).stdout == "None False\n"
    source.write_text(source.read_text() + "# changed\n")
    assert run("-c", CALL, str(source)).stdout == "None False\n"


def test_code_that_would_need_numba_when_it_runs_is_refused(source: Path) -> None:
    source.write_text(BODY.format(expression="7 // number"))  # raises ZeroDivisionError
    found = run(str(source))
    assert found.returncode
    assert "function.py: the compiled code calls" in found.stderr


def test_a_folder_that_cannot_be_written_is_no_error(source: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert run(str(source)).returncode == 0
    assert run("-c", CALL, str(source)).stdout == "None False\n"


@pytest.mark.parametrize("left", [20, *(pytest.param(left, marks=pytest.mark.slow) for left in (0, 500))])
def test_a_damaged_file_counts_as_none_and_is_made_anew(source: Path, tmp_path: Path, left: int) -> None:
    assert run(str(source)).returncode == 0
    (stored,) = (tmp_path / "cache").glob("*.o")
    stored.write_bytes(stored.read_bytes()[:left])
    assert run("-c", CALL, str(source)).stdout == "None False\n"
    assert run(str(source)).returncode == 0
    assert run("-c", CALL, str(source)).stdout == "42 False\n"

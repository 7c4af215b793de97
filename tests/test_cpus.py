import os
import subprocess
import sys
from pathlib import Path

import pytest

from optml import cpus


@pytest.fixture(autouse=True)
def eight_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_without_a_cgroup_the_affinity_counts(tmp_path: Path) -> None:
    assert cpus.count(tmp_path) == 8


def test_version_2_quota_is_rounded_up(tmp_path: Path) -> None:
    root = tree(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"})
    assert cpus.count(root) == 2


def test_version_2_without_limit_leaves_the_affinity(tmp_path: Path) -> None:
    root = tree(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"})
    assert cpus.count(root) == 8


def test_the_tightest_quota_along_the_path_counts(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/pod/app\n", "sys/fs/cgroup/pod/cpu.max": "300000 100000"}
    root = tree(tmp_path, files | {"sys/fs/cgroup/pod/app/cpu.max": "max 100000"})
    assert cpus.count(root) == 3


def test_version_1_quota_is_read_at_the_mount_when_the_path_is_the_hosts(tmp_path: Path) -> None:
    mount = "sys/fs/cgroup/cpu,cpuacct"
    files = {"proc/self/cgroup": "5:devices:/docker/ab\n4:cpu,cpuacct:/docker/ab\n"}
    root = tree(
        tmp_path, files | {f"{mount}/cpu.cfs_quota_us": "50000", f"{mount}/cpu.cfs_period_us": "100000"}
    )
    assert cpus.count(root) == 1


def test_version_1_without_limit_is_minus_one(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "4:cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1"}
    assert cpus.count(tree(tmp_path, files | {"sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"})) == 8


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*cpus.THREADS, *cpus.WAITING):
        monkeypatch.setenv(name, "")  # so that monkeypatch removes what the test sets
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("no_variables")
def test_threads_follow_omp_num_threads_where_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3,1")
    assert cpus.limit_threads() == 3
    assert os.environ["OPENBLAS_NUM_THREADS"] == "3"


@pytest.mark.usefixtures("no_variables")
def test_processes_share_the_cpus() -> None:
    assert cpus.limit_threads(processes=10**6) == 1


@pytest.mark.usefixtures("no_variables")
def test_threads_of_openmp_sleep_while_they_wait() -> None:
    cpus.limit_threads()
    assert os.environ["OMP_WAIT_POLICY"] == "passive"


@pytest.mark.usefixtures("no_variables")
@pytest.mark.parametrize("name", cpus.WAITING)
def test_how_threads_wait_is_left_to_a_user_who_says_so(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "7")
    cpus.limit_threads()
    assert {name: os.environ[name] for name in cpus.WAITING if name in os.environ} == {name: "7"}


def test_the_program_of_training_loads_no_openmp_before_it_says_how_to_wait() -> None:
    """Runtimes look at the environment once. `limit_threads` stands here for what follows it."""
    program = (
        "import sys, os, optml.cpus as cpus\n"
        "def ended(processes):\n"
        "    print(sorted({'numpy', 'scipy', 'torch', 'numba'} & set(sys.modules)), flush=True)\n"
        "    os._exit(0)\n"
        "cpus.limit_threads = ended\n"
        "from optml.container.__main__ import train\n"
        "train()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only GNU's runtime tells how it waits")
def test_the_runtime_of_torch_is_told() -> None:
    pytest.importorskip("torch")
    program = "from optml import cpus; cpus.limit_threads(); import torch"
    environment = {name: value for name, value in os.environ.items() if name not in cpus.WAITING}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | {"OMP_DISPLAY_ENV": "true"},
        capture_output=True,
        text=True,
        check=True,
    )
    policies = [line for line in done.stderr.splitlines() if "OMP_WAIT_POLICY" in line]
    assert policies
    assert all("PASSIVE" in line for line in policies)

import errno
from pathlib import Path

import pytest

from optml.container.errors import Failure, JobFailedError, explain, write
from optml.errors import PlatformError, UserError


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (UserError("one\n  two"), 2, "ClientError: one; two"),
        (UserError("text '\x1b[2J\0\u202e' and é"), 2, r"ClientError: text '\x1b[2J\x00\u202e' and é"),
        (PlatformError("no host"), 3, "PlatformError: no host"),
        (KeyError("x"), 1, "AlgorithmError: KeyError: 'x', see the log for the traceback"),
        (AssertionError(), 1, "AlgorithmError: AssertionError, see the log for the traceback"),
        (JobFailedError(Failure("ClientError", "told by another")), 2, "ClientError: told by another"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/opt/ml/model/x"),
            3,
            "PlatformError: no space left on the disk while writing /opt/ml/model/x; give the job a larger",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/a"), 3, "PlatformError: no permission for /a;"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/a"), 1, "AlgorithmError: FileNotFoundError:"),
        (
            MemoryError("Unable to allocate 3.0 GiB"),
            2,
            "ClientError: out of memory (Unable to allocate 3.0 GiB); lower mini_batch_size or k or use an ",
        ),
        (
            OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 1 GiB. More. More."),
            2,
            "ClientError: out of GPU memory (CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has",
        ),
    ],
)
def test_every_failure_has_a_kind_a_code_and_a_sentence(error: Exception, code: int, reason: str) -> None:
    failure = explain(error, ["k", "mini_batch_size"])
    assert failure.exit_code == code
    assert failure.reason.startswith(reason)
    assert "\n" not in failure.reason


def test_a_full_disk_that_safetensors_met_is_told_as_such() -> None:
    error = type("SafetensorError", (Exception,), {})("Error: I/O error: No space left (os error 28)")
    assert explain(error).reason.startswith("PlatformError: no space left on the disk")


def test_faults_of_ours_keep_their_traceback() -> None:
    with pytest.raises(KeyError) as raised:
        raise KeyError("x")
    assert "Traceback (most recent call last)" in explain(raised.value).traceback
    assert explain(UserError("x")).traceback == ""


def test_the_file_holds_1024_characters_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    write(Failure("ClientError", "\udcff" + "é" * 2000), tmp_path / "output" / "failure")
    assert len((tmp_path / "output/failure").read_text("utf-8")) == 1024
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["failure"]


def test_a_folder_that_cannot_be_made_is_no_second_failure(tmp_path: Path) -> None:
    (tmp_path / "output").write_text("")
    write(Failure("ClientError", "x"), tmp_path / "output" / "failure")


def test_what_the_machine_refuses_needs_no_traceback() -> None:
    with pytest.raises(PermissionError) as raised:
        raise PermissionError(errno.EACCES, "Permission denied", "/opt/ml/model")
    assert explain(raised.value).traceback == ""


def test_no_tree_is_made_for_the_failure_file(tmp_path: Path) -> None:
    write(Failure("ClientError", "x"), tmp_path / "typo" / "output" / "failure")
    assert not any(tmp_path.iterdir())


def test_memory_that_torch_asks_a_cpu_for_in_vain_is_the_users() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 60, dtype=torch.uint8)
    failure = explain(raised.value, ["mini_batch_size"])
    assert failure.kind == "ClientError"
    asked = "you tried to allocate 1152921504606846976 bytes"
    assert failure.text.startswith(f"out of memory ({asked}); lower mini_batch_size or use an instance")

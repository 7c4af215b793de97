import contextlib
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from optml.container.archives import extract
from optml.errors import UserError


def tar(path: Path, *members: tuple[str, bytes] | tarfile.TarInfo, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def refused(archive: Path, folder: Path, match: str, **limits: int) -> None:
    with pytest.raises(UserError, match=match):
        extract(archive, folder, **limits)
    assert list(folder.iterdir()) == []
    assert sorted(folder.parent.iterdir()) == sorted([archive, folder])


@pytest.mark.parametrize("mode", ["w:gz", "w", "w:bz2", "w:xz"])
def test_files_and_folders_come_out(tmp_path: Path, mode: str) -> None:
    archive = tar(tmp_path / "model.tar.gz", ("./model.json", b"{}"), ("deep/er/file", b"12"), mode=mode)
    extract(archive, tmp_path / "out")
    assert (tmp_path / "out/model.json").read_bytes() == b"{}"
    assert (tmp_path / "out/deep/er/file").read_bytes() == b"12"


def test_zip_files_come_out(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as packed:
        packed.writestr("a/b", "text")
    extract(tmp_path / "model.zip", tmp_path / "out")
    assert (tmp_path / "out/a/b").read_text() == "text"


def test_ordinary_permissions_are_given(tmp_path: Path) -> None:
    info = tarfile.TarInfo("file")
    info.mode = 0o4777
    extract(tar(tmp_path / "a.tar.gz", info), tmp_path / "out")
    assert not (tmp_path / "out/file").stat().st_mode & (stat.S_ISUID | stat.S_IXUSR)


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up", "..\\up", "C:\\up", "a\\..\\..\\up"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    refused(tar(tmp_path / "a.tar.gz", ("fine", b"1"), (name, b"2")), tmp_path / "out", "leads out")


@pytest.mark.parametrize("name", ["/etc/passwd", "../up"])
def test_names_in_a_zip_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(name, "text")
    refused(tmp_path / "a.zip", tmp_path / "out", "leads out")


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd", "../up"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_that_lead_out_are_refused(tmp_path: Path, kind: bytes, target: str) -> None:
    refused(tar(tmp_path / "a.tar.gz", special("link", kind, target)), tmp_path / "out", "leads out")


def test_a_link_within_becomes_a_copy(tmp_path: Path) -> None:
    members = ("dir/file", b"text"), special("dir/soft", tarfile.SYMTYPE, "file")
    archive = tar(tmp_path / "a.tar.gz", *members, special("hard", tarfile.LNKTYPE, "dir/file"))
    extract(archive, tmp_path / "out")
    for name in ("dir/soft", "hard"):
        assert (tmp_path / "out" / name).read_text() == "text"
        assert not (tmp_path / "out" / name).is_symlink()


def test_a_file_written_through_a_linked_folder_is_refused(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a.tar.gz", special("dir", tarfile.SYMTYPE, ".."), ("dir/up", b"1"))
    refused(archive, tmp_path / "out", "leads out")


@pytest.mark.parametrize("targets", [("b", "a"), ("nothing", "a")])
def test_links_in_a_circle_or_to_nothing_are_refused(tmp_path: Path, targets: tuple[str, str]) -> None:
    links = (special(name, tarfile.SYMTYPE, to) for name, to in zip("ab", targets, strict=True))
    refused(tar(tmp_path / "a.tar.gz", *links), tmp_path / "out", "leads to no file")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    refused(tar(tmp_path / "a.tar.gz", special("dev", kind)), tmp_path / "out", "is a device")


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(entry, "/etc/passwd")
    refused(tmp_path / "a.zip", tmp_path / "out", "neither file nor folder")


def test_a_bomb_is_stopped_by_what_it_holds(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a.tar.gz", ("zeros", bytes(1 << 20)))
    refused(archive, tmp_path / "out", "larger than 1000 bytes", max_bytes=1000)
    with zipfile.ZipFile(tmp_path / "a.tar.gz", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("zeros", bytes(1 << 20))
    refused(archive, tmp_path / "out", "larger than 1000 bytes", max_bytes=1000)


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a.tar.gz", *((str(index), b"") for index in range(4)))
    refused(archive, tmp_path / "out", "more than 3 files", max_files=3)


def test_a_file_and_a_folder_of_one_name_are_refused(tmp_path: Path) -> None:
    refused(tar(tmp_path / "a.tar.gz", ("a", b"1"), ("a/b", b"2")), tmp_path / "out", "same name")


def test_a_name_too_long_for_the_disk_is_refused(tmp_path: Path) -> None:
    refused(tar(tmp_path / "a.tar.gz", ("a" * 300, b"1")), tmp_path / "out", "too long")


@pytest.mark.parametrize("content", [b"", b"text", b"\x1f\x8b\x08", bytes(600), b"PK\x03\x04" + bytes(50)])
def test_what_is_no_archive_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar.gz").write_bytes(content)
    if content == bytes(600):  # two blocks of zeros are an empty tar file
        extract(tmp_path / "a.tar.gz", tmp_path / "out")
        assert list((tmp_path / "out").iterdir()) == []
    else:
        refused(tmp_path / "a.tar.gz", tmp_path / "out", "broken or no tar.gz")


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_every_truncation_is_told_or_harmless(tmp_path: Path, kind: str) -> None:
    whole = tmp_path / "whole"
    if kind == "tar":
        tar(whole, ("one", b"1" * 3000), ("two", b"2" * 3000))
    else:
        with zipfile.ZipFile(whole, "w") as packed:
            packed.writestr("one", "1" * 30)
    content = whole.read_bytes()
    for length in range(0, len(content), 7):
        (tmp_path / "cut").write_bytes(content[:length])
        folder = tmp_path / f"out{length}"
        try:
            extract(tmp_path / "cut", folder)
        except UserError:
            assert list(folder.iterdir()) == []


@pytest.mark.parametrize("mode", ["w", "w:gz", "zip"])
def test_damaged_bytes_are_told_or_harmless(tmp_path: Path, mode: str) -> None:
    whole = tmp_path / "whole"
    if mode == "zip":
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("one", "text" * 30)
    else:
        tar(whole, ("one", b"text" * 30), special("link", tarfile.SYMTYPE, "one"), mode=mode)
    content = whole.read_bytes()
    random = np.random.default_rng(0)
    for number in range(300):
        damaged = bytearray(content)
        for at in random.integers(0, min(len(content), 1200), 3):
            damaged[at] = random.integers(256)
        (tmp_path / "damaged").write_bytes(damaged)
        folder = tmp_path / "in" / str(number)
        with contextlib.suppress(UserError):
            extract(tmp_path / "damaged", folder)
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "damaged", "in"}


def test_what_is_no_archive_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(b"no archive" * 100)
    with pytest.raises(UserError) as raised:
        extract(tmp_path / "model.tar.gz", tmp_path / "out")
    assert str(raised.value) == "model.tar.gz is broken or no tar.gz or ZIP archive"

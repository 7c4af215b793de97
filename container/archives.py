"""Archives from strangers: what they hold goes into one folder, or nowhere."""

from __future__ import annotations

import errno
import lzma
import posixpath
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from optml.errors import UserError

MAX_BYTES = 64 << 30  # unpacked
MAX_FILES = 100_000
CHUNK = 1 << 20

BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,  # a compression that zipfile does not know
    RuntimeError,  # a ZIP with a password
    ValueError,  # numbers in headers
    struct.error,
)


def extract(archive: Path, folder: Path, *, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES) -> None:
    """Unpack a tar file (plain or compressed) or a ZIP into `folder`, which is made, or must be empty.

    Only regular files and folders are made, with ordinary permissions; a symbolic or hard link to a file of
    the same archive becomes a copy of it. Raises UserError, and leaves the folder empty, for a name that is
    absolute or leads out of the folder, a link that leads out of the archive, a device, more than `max_bytes`
    or `max_files` unpacked, and for what is no sound archive. Sizes are counted, not believed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty")
    try:
        left = max_bytes
        for number, (name, content) in enumerate(_members(archive)):
            if number >= max_files:
                raise UserError(f"{archive.name} holds more than {max_files} files")
            target = folder / _safe(name, archive)
            if content is None:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with content, target.open("wb") as file:
                while chunk := content.read(CHUNK):
                    left -= len(chunk)
                    if left < 0:
                        raise UserError(f"{archive.name} is larger than {max_bytes} bytes unpacked")
                    file.write(chunk)
    except BaseException as error:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        # gzip's errors carry no number; EINVAL is a seek to where a damaged header points
        damaged = isinstance(error, OSError) and error.errno in (None, errno.EINVAL)
        if isinstance(error, BROKEN) or damaged:
            # tarfile tells, a line each, what every kind of compression has against the file
            why = "" if "\n" in str(error) else f": {error}"
            raise UserError(f"{archive.name} is broken or no tar.gz or ZIP archive{why}") from error
        if isinstance(error, IsADirectoryError | FileExistsError | NotADirectoryError):
            raise UserError(f"{archive.name} holds a file and a folder of the same name") from error
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            raise UserError(f"{archive.name} holds a name that is too long for the disk") from error
        raise


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Pairs (name, content); no content: a folder."""
    if zipfile.is_zipfile(archive) and not tarfile.is_tarfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise UserError(
                        f"{archive.name} holds '{entry.filename}', which is neither file nor folder"
                    )
                yield entry.filename, None if entry.is_dir() else packed.open(entry)
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isdir():
                yield member.name, None
            elif member.isreg() or member.issym() or member.islnk():
                yield member.name, _content(tar, member, archive)
            else:
                raise UserError(f"{archive.name} holds '{member.name}', which is a device")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, archive: Path) -> IO[bytes]:
    """The bytes of a file, or of the file that a link names."""
    seen = {member.name}
    while not member.isreg():
        start = posixpath.dirname(member.name) if member.issym() else ""
        target = _safe(posixpath.normpath(posixpath.join(start, member.linkname)), archive, link=member.name)
        target_member = next(
            (other for other in tar.getmembers() if posixpath.normpath(other.name) == target), None
        )
        if target_member is None or target_member.name in seen or target_member.isdir():
            raise UserError(f"{archive.name} holds the link '{member.name}', which leads to no file in it")
        seen.add(target_member.name)
        member = target_member
    content = tar.extractfile(member)
    assert content is not None
    return content


def _safe(name: str, archive: Path, link: str = "") -> str:
    """The relative path that a name stands for. Raises UserError if it leads out of the folder."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or "\0" in name or name[1:2] == ":":
        what = f"the link '{link}' to" if link else "the name"
        raise UserError(f"{archive.name} holds {what} '{name}', which leads out of the archive")
    return name

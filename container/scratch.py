"""Folders to write to, for programs whose own may not be: images run as any user, and with --read-only.

Standard library only, and called before anything else is imported: numba, torch and tempfile look for their
folders when they are first used.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from optml.container.paths import Paths

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (writable in every container, but small)

_made: list[Path] = []


def prepare() -> None:
    """Set TMPDIR, HOME, USER and NUMBA_CACHE_DIR where what they are by default cannot be written or is not
    there. `remove` takes away what was made, at the latest at the end of the program."""
    if not _is_temporary_folder():
        root = Paths.of_environment().root
        places = [place for place in (root, root / "output", SHARED_MEMORY) if os.access(place, os.W_OK)]
        if not places:
            return  # whoever needs a temporary folder says that there is none
        os.environ["TMPDIR"] = tempfile.tempdir = str(_new(places[0]))
    if not os.access(Path.home(), os.W_OK):
        os.environ["HOME"] = str(_new())
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:  # getpass, and so torch, wants a name for it
        os.environ.setdefault("USER", "optml")
    compiled = os.environ.get("NUMBA_CACHE_DIR")
    if compiled:
        with suppress(OSError):
            Path(compiled).mkdir(parents=True, exist_ok=True)
        if not os.access(compiled, os.W_OK):
            os.environ["NUMBA_CACHE_DIR"] = str(_linked(Path(compiled), _new()))


def remove() -> None:
    """Remove the folders made by `prepare`; in another process than that, nothing."""
    while _made:
        shutil.rmtree(_made.pop(), ignore_errors=True)


def _is_temporary_folder() -> bool:
    try:
        return bool(tempfile.gettempdir())
    except FileNotFoundError:
        return False


def _new(folder: Path | None = None) -> Path:
    if not _made:
        atexit.register(_remove_in, os.getpid())
    _made.append(Path(tempfile.mkdtemp(prefix=".optml-" if folder else "optml-", dir=folder)))
    return _made[-1]


def _remove_in(process: int) -> None:
    if os.getpid() == process:
        remove()


def _linked(folder: Path, into: Path) -> Path:
    """A folder that can be written, in which every readable file of another is found: a cache that numba
    cannot write it does not read either."""
    for path in folder.rglob("*"):
        target = into / path.relative_to(folder)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif os.access(path, os.R_OK):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
    return into

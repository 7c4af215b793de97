"""The folders in which the kernel says what a container may use.

Standard library only: CPUs are counted before NumPy is imported.
"""

from __future__ import annotations

from pathlib import Path


def folders(controller: str, root: Path = Path("/")) -> list[Path]:
    """The folders of this process' cgroup and its parents, of version 1 or 2; controller: "cpu" or "memory".

    Inside a container the mount usually starts at the container's own cgroup while /proc may name the path
    on the host, so the mount's root is looked at in any case. `root` is where /proc and /sys are looked for.
    """
    places = []
    for line in read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / controllers  # version 2 has no controllers and no folder for them
        place = mount / path.lstrip("/")
        places += [place, *(parent for parent in place.parents if parent.is_relative_to(mount))]
    return places


def read(path: Path) -> str:
    """A small file's text; "" where it can't be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""

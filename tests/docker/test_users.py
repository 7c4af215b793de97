"""Containers of any user and without a file system to write to: every algorithm trains and serves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from optml.algorithms import registry
from tests.docker.engine import BUILD_SECONDS, Job, docker, server
from tests.docker.samples import SAMPLES

pytestmark = [pytest.mark.docker, pytest.mark.timeout(BUILD_SECONDS)]

USER = ("--user", "12345:12345")  # whom no /etc/passwd knows
READ_ONLY = ("--read-only",)


@pytest.fixture
def strangers(everything: str, tmp_path: Path) -> Iterator[Callable[[Job, int], None]]:
    """Gives a job's tree to a user, through a container where the tests are not root."""

    def give(path: Path, user: int) -> None:
        mount = ("-v", f"{path}:/given", "--entrypoint", "chown")
        docker("run", "--rm", *mount, everything, "-R", f"{user}:{user}", "/given")

    yield lambda job, user: give(job.root, user)
    give(tmp_path, os.getuid())


@pytest.mark.parametrize(
    ("slug", "options"),
    [
        *((slug, (*USER, *READ_ONLY)) for slug in registry.available()),
        *(("kmeans", options) for options in (USER, READ_ONLY)),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_any_user_trains_and_serves_where_nothing_can_be_written(
    everything: str,
    strangers: Callable[[Job, int], None],
    tmp_path: Path,
    slug: str,
    options: tuple[str, ...],
) -> None:
    sample = SAMPLES[slug]
    files = sample.files()
    job = Job(tmp_path / "job", sample.texts(), files, dict.fromkeys(files, sample.content_type))
    strangers(job, 12345 if USER[0] in options else 0)
    chosen = (*options, "--cap-drop", "ALL", "-e", f"OPTML_ALGORITHM={slug}", "-e", "NUMBA_DEBUG_CACHE=1")
    done = job.run(everything, "train", options=("--network", "none", *chosen))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "data saved to" not in done.stdout  # what the image has compiled is used
    with server(everything, job.model, *chosen) as serving:
        assert serving.invoke(sample.request, sample.media)


def test_a_container_too_small_for_the_program_says_so(everything: str, tmp_path: Path) -> None:
    sample = SAMPLES["forecasting-deepar"]
    job = Job(tmp_path / "job", sample.texts(), sample.files(), {"train": sample.content_type})
    options = ("--memory", "128m", "-e", "OPTML_ALGORITHM=forecasting-deepar")
    assert job.run(everything, "train", options=options).returncode == 2
    assert "this container may take 128 MiB of memory" in job.failure

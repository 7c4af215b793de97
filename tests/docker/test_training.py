"""Training jobs in containers, as SageMaker starts them (training-contract)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from optml.algorithms.registry import get
from tests.docker.engine import BUILD_SECONDS, Job, container, docker, logs, wait_for_log

pytestmark = [pytest.mark.docker, pytest.mark.timeout(BUILD_SECONDS)]

MakeJob = Callable[..., Job]


def centers(job: Job) -> np.ndarray:
    model = get("kmeans").inference.load(job.model, "cpu")
    return np.asarray(model.centers)  # type: ignore[attr-defined]


@pytest.fixture
def network(engine: None) -> Iterator[str]:
    name = f"optml-{uuid.uuid4().hex[:8]}"
    docker("network", "create", name)
    yield name
    docker("network", "rm", name)


def test_train_on_csv_leaves_a_model_and_no_failure(image: str, job: MakeJob) -> None:
    made = job()
    done = made.run(image, "train")
    assert done.returncode == 0, done.stdout + done.stderr
    assert centers(made).shape == (3, 4)
    assert made.failure == ""
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in made.model.iterdir())  # for users beside root
    assert "#quality_metric: host=algo-1, train msd <loss>=" in done.stdout


def test_recordio_gives_the_model_of_csv(image: str, job: MakeJob, recordio: bytes) -> None:
    from_csv = job("csv")
    from_recordio = job(
        "recordio",
        channels={"train": {"part-0.pbr": recordio}},
        content_types={"train": "application/x-recordio-protobuf"},
    )
    for made in (from_csv, from_recordio):
        done = made.run(image, "train")
        assert done.returncode == 0, done.stdout + done.stderr
    np.testing.assert_array_equal(centers(from_csv), centers(from_recordio))


@pytest.mark.parametrize("command", [(), ("something-else",)])
def test_without_a_known_command_a_job_is_trained(image: str, job: MakeJob, command: tuple[str, ...]) -> None:
    made = job()
    done = made.run(image, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert centers(made).shape == (3, 4)


def test_bare_train_program_does_the_same(image: str, job: MakeJob) -> None:
    made = job()
    done = made.run(image, options=("--network", "none", "--entrypoint", "train"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert centers(made).shape == (3, 4)


def test_user_error_is_told_in_the_failure_file_and_last_in_the_log(image: str, job: MakeJob) -> None:
    made = job(hyperparameters={"k": "three", "feature_dim": "4", "mini_batch_siz": "50"})
    done = made.run(image, "train")
    assert done.returncode == 2
    assert made.failure.startswith("ClientError: ")
    assert "three" in made.failure
    assert "mini_batch_size" in made.failure
    assert made.failure.removeprefix("ClientError: ") in done.stdout.splitlines()[-1]
    assert "Traceback" not in done.stdout + done.stderr


def test_functions_are_compiled_in_the_image_not_by_the_job(
    image: str, job: MakeJob, recordio: bytes
) -> None:
    made = job(
        channels={"train": {"part-0.pbr": recordio}},
        content_types={"train": "application/x-recordio-protobuf"},
    )
    done = made.run(image, "train", options=("--network", "none", "-e", "NUMBA_DEBUG_CACHE=1"))
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert "data loaded from" in said
    assert "data saved to" not in said


def test_docker_stop_leaves_the_model_so_far(image: str, job: MakeJob) -> None:
    made = job(hyperparameters={"k": "3", "feature_dim": "4", "mini_batch_size": "50", "epochs": "1000000"})
    with container(image, "train", options=tuple(made.mount())) as name:
        wait_for_log(name, "#progress_metric")
        docker("stop", "-t", "30", name)
        said = logs(name)
        code = docker("inspect", "-f", "{{.State.ExitCode}}", name).stdout.strip()
    assert code == "0", said
    assert centers(made).shape == (3, 4)


def test_two_containers_on_a_network_give_the_model_of_one(
    image: str, job: MakeJob, csv: bytes, network: str
) -> None:
    start = job("start")
    done = start.run(image, "train")
    assert done.returncode == 0, done.stdout + done.stderr
    # From the same centers, two hosts with mini-batches of 25 rows do what one does with 50.
    channels = {"train": {"iris.csv": csv}, "model": {p.name: p.read_bytes() for p in start.model.iterdir()}}

    def make(name: str, rows: int, **cluster: object) -> Job:
        hyperparameters = {
            "k": "3",
            "feature_dim": "4",
            "extra_center_factor": "1",
            "mini_batch_size": str(rows),
        }
        return job(name, hyperparameters=hyperparameters, channels=channels, **cluster)

    def on_network(made: Job) -> tuple[str, ...]:
        return ("--network", network, "--network-alias", made.host, *made.mount())

    alone = make("alone", 50)
    hosts = ("algo-1", "algo-2")
    leader, follower = (make(host, 25, hosts=hosts, host=host) for host in hosts)
    done = alone.run(image, "train")
    assert done.returncode == 0, done.stdout + done.stderr
    with (
        container(image, "train", options=on_network(leader)) as first,
        container(image, "train", options=on_network(follower)) as second,
    ):
        codes = [docker("wait", name).stdout.strip() for name in (first, second)]
        said = logs(first) + logs(second)
    assert codes == ["0", "0"], said
    assert list(follower.model.iterdir()) == []  # one writer: the hosts' folders are merged by the platform
    np.testing.assert_allclose(centers(leader), centers(alone), atol=1e-5)

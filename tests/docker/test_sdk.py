"""AWS's own SDKs, v2 and v3, drive the image in local mode; each in a virtual environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from optml.algorithms.registry import get
from tests.docker.engine import BUILD_SECONDS, ROOT, docker, server
from tests.docker.samples import SAMPLES
from tests.sdks import environment

pytestmark = [pytest.mark.docker, pytest.mark.timeout(BUILD_SECONDS)]

CLIENTS = Path(__file__).parent / "clients"
TELEMETRY_OFF = "SchemaVersion: '1.0'\nSageMaker: {PythonSDK: {Modules: {TelemetryOptOut: true}}}\n"
# The image URI that `sagemaker.image_uris.retrieve("kmeans", "us-east-1")` yields.
AWS_URI = "382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1"

Client = Callable[..., subprocess.CompletedProcess[str]]


def client(python: Path, script: str, folder: Path) -> Client:
    """Runs a script of `clients/` with nothing in its environment but what a user would set."""
    if shutil.which("docker-compose") is None and docker("compose", "version", check=False).returncode:
        pytest.skip("needs docker-compose: AWS's SDKs start containers through it")
    config = folder / "sagemaker.yaml"
    config.write_text(TELEMETRY_OFF)
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(config),
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(python), str(CLIENTS / script), *arguments, str(folder)],
            capture_output=True,
            text=True,
            env=variables,
            cwd=folder,
            timeout=600,
        )

    return run


@pytest.fixture
def folder(tmp_path: Path, csv: bytes) -> Path:
    """A user's folder with the training data. Not under HOME: the SDK refuses files below root's."""
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "iris.csv").write_bytes(csv)
    return tmp_path


@pytest.fixture(autouse=True)
def leave_no_containers(engine: None) -> Iterator[None]:
    """Remove the stopped containers that the SDKs leave behind."""
    yield
    ours = [f"--filter=ancestor=optml/{name}:test" for name in ("kmeans", "all")]
    if left := docker("ps", "--all", "--quiet", *ours).stdout.split():
        docker("rm", "--force", *left)


@pytest.fixture
def sdk2(engine: None, folder: Path) -> Client:
    return client(environment(".venv-sdk2", "sagemaker<3"), "sdk2.py", folder)


@pytest.fixture
def sdk3(engine: None, folder: Path) -> Client:
    return client(environment(".venv-sdk3", "sagemaker>=3"), "sdk3.py", folder)


@pytest.fixture
def aws_uri(image: str) -> Iterator[str]:
    """Our image under the name of AWS's, as `optml retag` tags it."""
    done = subprocess.run(
        [sys.executable, "-m", "optml.local.cli", "retag", image, "--region", "us-east-1"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    yield AWS_URI
    docker("rmi", "--force", AWS_URI)  # the SDK leaves stopped containers of it


def extract(archive: Path, into: Path) -> Path:
    with tarfile.open(archive) as opened:
        opened.extractall(into, filter="data")
    return into


def trained(archive: Path, folder: Path) -> bool:
    """Whether the artifact that the SDK packed is a K-Means model."""
    return get("kmeans").inference.load(extract(archive, folder / "model"), "cpu").width == 4


def test_sdk_v2_fits_deploys_predicts_and_transforms(sdk2: Client, image: str, folder: Path) -> None:
    done = sdk2("walk", image)
    assert done.returncode == 0, done.stdout + done.stderr
    assert trained(folder / "artifacts" / "model.tar.gz", folder)
    predicted = json.loads((folder / "answer.json").read_text())["predicted"]["predictions"]
    assert predicted[0]["closest_cluster"] != predicted[1]["closest_cluster"]
    lines = (folder / "transformed" / "iris.csv.out").read_text().splitlines()
    assert len(lines) == 150
    assert json.loads(lines[0])["closest_cluster"] == predicted[0]["closest_cluster"]


def test_sdk_v2_runs_the_retagged_image_where_it_asks_for_the_built_in(
    sdk2: Client, aws_uri: str, folder: Path
) -> None:
    done = sdk2("builtin", aws_uri)
    assert done.returncode == 0, done.stdout + done.stderr
    assert trained(folder / "artifacts" / "model.tar.gz", folder)


def test_sdk_v2_shows_why_a_hyperparameter_was_refused(sdk2: Client, image: str, folder: Path) -> None:
    done = sdk2("refused", image)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Process exited with code" in json.loads((folder / "answer.json").read_text())["error"]
    assert "Customer Error: " in done.stdout + done.stderr
    assert "three" in done.stdout + done.stderr


# Of the other algorithms AWS's SDK uses the same calls, with tables as K-Means above.
@pytest.mark.parametrize(
    "slug",
    ["image-classification", "lda", "object-detection", "object2vec", "semantic-segmentation", "seq2seq"],
)
def test_sdk_v2_fits_deploys_and_predicts(everything: str, sdk2: Client, folder: Path, slug: str) -> None:
    sample = SAMPLES[slug]
    for channel, files in sample.files().items():
        (folder / channel).mkdir(exist_ok=True)
        for path in (folder / channel).iterdir():
            path.unlink()
        for name, content in files.items():
            (folder / channel / name).write_bytes(content)
    (folder / "request").write_bytes(sample.request)
    job = {
        "algorithm": slug,
        "hyperparameters": dict(sample.hyperparameters),
        "channels": list(sample.files()),
        "content_type": sample.content_type,
        "media": sample.media,
    }
    (folder / "job.json").write_text(json.dumps(job))
    done = sdk2("drive", everything)
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = (folder / "artifacts").rglob("model.tar.gz")
    extract(archive, folder / "model")
    answer = (folder / "response").read_bytes()
    with server(everything, folder / "model", "-e", f"OPTML_ALGORITHM={slug}") as serving:
        assert answer == serving.invoke(sample.request, sample.media, "*/*")


def test_sdk_v3_trains_in_local_container_mode(sdk3: Client, image: str, folder: Path) -> None:
    done = sdk3(image)
    assert done.returncode == 0, done.stdout + done.stderr
    assert trained(folder / "job" / "compressed_artifacts" / "model.tar.gz", folder)

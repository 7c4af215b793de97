from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from optml.algorithms.base import Algorithm, ChannelSpec
from optml.container import job as module
from optml.container.channels import Channel
from optml.container.hyperparameters import Engine
from optml.container.job import Hosts, Job
from optml.container.paths import Paths
from optml.errors import PlatformError, UserError
from tests.container.sample import SAMPLE, SampleHyperparameters


@pytest.fixture(autouse=True)
def _sample_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(slug: str) -> Algorithm:
        assert slug == "sample"
        return SAMPLE

    monkeypatch.setattr(module, "get", get)
    for name in ("OPTML_SEED", "OPTML_PIPE_TIMEOUT_S", "TRAINING_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    paths.config.mkdir(parents=True)
    for channel in ("train", "test"):
        (paths.data / channel).mkdir(parents=True)
        (paths.data / channel / "a.csv").write_text("1,2\n")
    return paths


def write(paths: Paths, name: str, content: object) -> None:
    (paths.config / f"{name}.json").write_text(json.dumps(content))


def read(paths: Paths) -> Job:
    return Job.read(paths, "sample")


def problems(paths: Paths) -> list[str]:
    with pytest.raises(UserError) as caught:
        read(paths)
    return str(caught.value).split("\n")


def test_complete_configuration_is_read_as_the_service_writes_it(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTML_SEED", "7")
    monkeypatch.setenv("OPTML_PIPE_TIMEOUT_S", "2.5")
    monkeypatch.setenv("TRAINING_JOB_NAME", "job-1")
    raw = {"k": "10", "_num_gpus": "0", "_tuning_objective_metric": "test:msd", "_kvstore": "auto"}
    write(paths, "hyperparameters", raw)
    write(
        paths,
        "inputdataconfig",
        {
            "test": {"TrainingInputMode": "Pipe", "RecordWrapperType": "RecordIO"},
            "train": {
                "ContentType": "TEXT/CSV; label_size=0",
                "TrainingInputMode": "FastFile",
                "S3DistributionType": "ShardedByS3Key",
                "RecordWrapperType": "None",
                "KmsKeyId": "ignored",
            },
        },
    )
    write(
        paths,
        "resourceconfig",
        {
            "current_host": "algo-2",
            "current_instance_type": "ml.m5.large",
            "hosts": ["algo-2", "algo-1", "algo-10"],
            "network_interface_name": "eth0",
        },
    )
    write(paths, "checkpointconfig", {"S3Uri": "s3://b/p", "LocalPath": "/opt/ml/kept"})
    job = read(paths)
    assert job.hyperparameters == SampleHyperparameters(k=10)
    assert job.engine == Engine(num_gpus=0, tuning_objective_metric="test:msd")
    assert job.raw == raw
    assert list(job.channels) == ["train", "test"]
    train, test = job.channels.values()
    assert train.content_type is not None
    assert str(train.content_type) == "text/csv;label_size=0"
    assert (train.mode, train.distribution, train.wrapper) == ("FastFile", "ShardedByS3Key", "None")
    assert (test.mode, test.distribution, test.wrapper) == ("Pipe", "FullyReplicated", "RecordIO")
    assert (train.may_be_empty, test.may_be_empty) == (True, False)
    assert train.pipe_timeout == 2.5
    assert job.hosts == Hosts("algo-2", ("algo-1", "algo-10", "algo-2"), "eth0")
    assert (job.hosts.rank, job.hosts.size) == (2, 3)
    assert job.checkpoints == paths.root / "kept"
    assert job.warm_start is None
    assert (job.seed, job.name) == (7, "job-1")


def test_the_form_of_local_mode_is_enough(paths: Paths) -> None:
    write(paths, "hyperparameters", {"k": "10"})
    write(paths, "inputdataconfig", {"train": {"TrainingInputMode": "File"}})
    write(paths, "resourceconfig", {"current_host": "algo-1-cxkpa", "hosts": ["algo-1-cxkpa"]})
    job = read(paths)
    assert list(job.channels) == ["train"]
    assert job.channels["train"].distribution == "FullyReplicated"
    assert (job.hosts.rank, job.hosts.label) == (0, "algo-1")
    assert job.checkpoints == paths.checkpoints


def test_absent_files_have_defaults(paths: Paths) -> None:
    write(paths, "hyperparameters", {"k": 3})
    (paths.data / "_tmp").mkdir()
    (paths.data / "code").mkdir()
    job = read(paths)
    assert job.hosts == Hosts("algo-1", ("algo-1",), None)
    assert list(job.channels) == ["train", "test"]
    assert job.raw == {"k": "3"}
    assert job.seed == 0


def test_absent_channel_configuration_finds_fifos(paths: Paths) -> None:
    write(paths, "hyperparameters", {"k": 3})
    os.mkfifo(paths.data / "validation_0")
    job = read(paths)
    assert list(job.channels) == ["train", "validation", "test"]
    assert job.channels["validation"].mode == "Pipe"


def test_absent_hyperparameters_are_none_given(paths: Paths) -> None:
    assert problems(paths) == ["hyperparameter k is required and was not given: an integer >= 1"]


def test_the_channel_of_an_incremental_job_is_the_warm_start(paths: Paths) -> None:
    write(paths, "hyperparameters", {"k": "3"})
    write(paths, "inputdataconfig", {"train": {}, "model": {"ContentType": "application/x-sagemaker-model"}})
    job = read(paths)
    assert job.warm_start == paths.data / "model"
    assert list(job.channels) == ["train"]


def test_every_problem_of_every_file_is_reported_at_once(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTML_SEED", "many")
    write(paths, "hyperparameters", {"k": "none", "rat": "1", "_tuning_objective_metric": "validation:loss"})
    write(paths, "inputdataconfig", {"test": {"ContentType": "image/png"}, "trian": {}})
    write(paths, "resourceconfig", {"current_host": "algo-3", "hosts": ["algo-1", "algo-2"]})
    assert problems(paths) == [
        f"{paths.config}/resourceconfig.json: 'current_host' is \"algo-3\", which is none of the hosts "
        "algo-1, algo-2",
        "hyperparameter k='none' is not an integer >= 1",
        "hyperparameter 'rat' is unknown; did you mean 'rate'?",
        "environment variable OPTML_SEED='many' is not an integer >= 0",
        "channel 'trian' is unknown; did you mean 'train'? sample takes train, validation, test, model",
        "channel 'train' is required and was not given; channels given: test, trian",
        "channel 'test' has content type 'image/png'; "
        "supported are application/x-recordio-protobuf, text/csv",
        "hyperparameter _tuning_objective_metric='validation:loss' needs the channel 'validation', which was "
        "not given",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is not valid JSON: Expecting value"),
        ('{"k": "1",}', "is not valid JSON: Expecting property name"),
        ("[1]", "holds list where a JSON object is expected"),
        (b"\xff\xfe{}", "is not valid JSON: "),
        ("[" * 100_000, "is not valid JSON: "),
    ],
)
def test_malformed_json_names_the_file_and_the_place(
    paths: Paths, content: str | bytes, expected: str
) -> None:
    for name in ("hyperparameters", "resourceconfig"):
        (paths.config / f"{name}.json").write_bytes(
            content if isinstance(content, bytes) else content.encode()
        )
    first, second = problems(paths)
    assert first.startswith(f"{paths.config}/hyperparameters.json {expected}")
    assert second.startswith(f"{paths.config}/resourceconfig.json {expected}")


def test_a_configuration_file_that_is_a_folder_is_the_platforms_fault(paths: Paths) -> None:
    (paths.config / "hyperparameters.json").mkdir()
    with pytest.raises(PlatformError, match=r"hyperparameters\.json cannot be read: Is a directory"):
        read(paths)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {"TrainingInputMode": "Stream"},
            "has TrainingInputMode 'Stream'; expected one of File, FastFile, Pipe",
        ),
        ({"S3DistributionType": "Half"}, "has S3DistributionType 'Half'; expected one of FullyReplicated, "),
        (
            {"RecordWrapperType": "TFRecord"},
            "has RecordWrapperType 'TFRecord'; expected one of None, RecordIO",
        ),
        ("File", 'is described by "File", not by a JSON object'),
    ],
)
def test_a_bad_channel_entry_says_what_is_allowed(paths: Paths, config: object, expected: str) -> None:
    write(paths, "hyperparameters", {"k": "3"})
    write(paths, "inputdataconfig", {"train": config})
    [problem] = problems(paths)
    assert problem.startswith(f"channel 'train' {expected}")


def test_an_empty_channel_is_reported_before_training(paths: Paths) -> None:
    write(paths, "hyperparameters", {"k": "3"})
    (paths.data / "train" / "a.csv").unlink()
    assert problems(paths) == [f"channel 'train' is empty: no files under {paths.data}/train"]


def test_an_empty_shard_of_several_hosts_is_no_problem(paths: Paths) -> None:
    (paths.data / "train" / "a.csv").unlink()
    write(paths, "hyperparameters", {"k": "3"})
    write(paths, "inputdataconfig", {"train": {"S3DistributionType": "ShardedByS3Key"}})
    write(paths, "resourceconfig", {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]})
    assert list(read(paths).channels["train"].streams()) == []


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, Hosts()),
        ({"current_host": "a"}, Hosts("a", ("a",))),
        ({"hosts": ["b"]}, Hosts("b", ("b",))),
        ({"hosts": ["b", "a"], "current_host": "b", "network_interface_name": None}, Hosts("b", ("a", "b"))),
    ],
)
def test_partial_resources_are_filled_in(paths: Paths, resources: object, expected: Hosts) -> None:
    write(paths, "hyperparameters", {"k": "3"})
    write(paths, "resourceconfig", resources)
    assert read(paths).hosts == expected


@pytest.mark.parametrize("resources", [{"hosts": "algo-1"}, {"hosts": [1]}, {"hosts": ["a", "b"]}])
def test_unusable_resources_are_a_user_error(paths: Paths, resources: object) -> None:
    write(paths, "hyperparameters", {"k": "3"})
    write(paths, "resourceconfig", resources)
    [problem] = problems(paths)
    assert problem.startswith(f"{paths.config}/resourceconfig.json: ")


@pytest.mark.parametrize(
    ("host", "label"),
    [("algo-1", "algo-1"), ("algo-12-x7k2p", "algo-12"), ("sagemaker-local", "sagemaker-local")],
)
def test_a_host_is_printed_without_the_suffix_of_local_mode(host: str, label: str) -> None:
    assert Hosts(host, (host,)).label == label


def test_a_script_that_would_not_be_run_is_refused(paths: Paths) -> None:
    write(paths, "hyperparameters", {"k": "10", "sagemaker_program": '"train.py"'})
    assert "runs none: leave entry_point out" in problems(paths)[0]
    assert "'train.py'" in problems(paths)[0]


@pytest.mark.parametrize(("text", "warned"), [("1,2\n", True), ("1,25\n", False)])
def test_a_file_that_is_in_train_and_validation_is_suspected(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, warned: bool
) -> None:
    channels = {}
    for name, content in (("train", "1,2\n"), ("validation", text)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text(content)
        channels[name] = Channel(name, SAMPLE.training.channels[0], tmp_path / name)
    module._warn_of_copies(channels)
    assert ("Suspected identical files found" in caplog.text) == warned


def test_a_channel_may_be_needed_by_the_content_type_of_another(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = ChannelSpec("list", "auxiliary", required_with=("train", "application/x-image"))
    train = replace(SAMPLE.training.channels[0], content_types=("application/x-image", "text/csv"))
    listed = replace(SAMPLE, training=replace(SAMPLE.training, channels=(train, listing)))
    monkeypatch.setattr(module, "get", lambda slug: listed)
    write(paths, "hyperparameters", {"k": "1"})
    write(paths, "inputdataconfig", {"train": {"ContentType": "text/csv"}})
    assert list(read(paths).channels) == ["train"]
    write(paths, "inputdataconfig", {"train": {"ContentType": "application/x-image"}})
    assert problems(paths) == [
        "channel 'list' is required and was not given; channels given: train; "
        "channel 'train' of application/x-image needs it"
    ]


def test_pretrained_weights_come_from_a_channel_and_then_from_a_folder(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = ChannelSpec("pretrained", "auxiliary", default_content_type="text/csv")
    channels = (*SAMPLE.training.channels, weights)
    known = replace(SAMPLE, training=replace(SAMPLE.training, channels=channels))
    monkeypatch.setattr(module, "get", lambda slug: known)
    write(paths, "hyperparameters", {"k": "1"})
    assert read(paths).pretrained == {}
    monkeypatch.setenv("OPTML_PRETRAINED_DIR", str(paths.root))
    folder = {"OPTML_PRETRAINED_DIR": paths.root}
    assert read(paths).pretrained == folder
    (paths.data / "pretrained").mkdir()
    (paths.data / "pretrained" / "a").write_text("1\n")
    places = read(paths).pretrained
    assert places == {"channel 'pretrained'": paths.data / "pretrained"} | folder
    assert list(places) == ["channel 'pretrained'", "OPTML_PRETRAINED_DIR"]
    (paths.data / "pretrained" / "a").unlink()
    (paths.data / "pretrained").rmdir()
    monkeypatch.setenv("OPTML_PRETRAINED_DIR", "/nowhere")
    assert problems(paths) == ["environment variable OPTML_PRETRAINED_DIR: there is no folder '/nowhere'"]

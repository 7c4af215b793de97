"""Training and transform jobs as real processes, through boto3."""

from __future__ import annotations

import io
import json
import tarfile
import time
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from optml.local.control.plane import Plane
from tests.local.control.conftest import Clients

IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1"
XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
ROLE = "arn:aws:iam::123456789012:role/optml"


def rows(number: int = 60) -> np.ndarray:
    """Points around (0, 0) and (10, 10), in turn."""
    generator = np.random.default_rng(0)
    return generator.normal(size=(number, 2)) + (np.arange(number) % 2 * 10)[:, None]


def csv(table: np.ndarray) -> bytes:
    return "".join(f"{a:.6f},{b:.6f}\n" for a, b in table).encode()


def wait(call: Any, done: tuple[str, ...], status: str) -> Any:
    """The description once it has one of the statuses; the tests' own time limit ends a wait for ever."""
    while (found := call())[status] not in done:
        time.sleep(0.05)
    return found


class Jobs:
    """Makes jobs of K-Means; anything of a request can be said otherwise."""

    def __init__(self, clients: Clients, bucket: str) -> None:
        self.sagemaker, self.s3, self.logs = clients("sagemaker"), clients("s3"), clients("logs")
        self.clients, self.bucket = clients, bucket
        self.s3.put_object(Bucket=bucket, Key="train/rows.csv", Body=csv(rows()))

    def create(self, name: str, **different: Any) -> str:
        request = {
            "TrainingJobName": f"{self.bucket}-{name}",
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "RoleArn": ROLE,
            "HyperParameters": {"k": "2", "feature_dim": "2", "mini_batch_size": "20"},
            "InputDataConfig": [self.channel("text/csv;label_size=0")],
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            **different,
        }
        self.sagemaker.create_training_job(**request)
        return str(request["TrainingJobName"])

    def channel(self, content_type: str) -> dict[str, Any]:
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{self.bucket}/train"}
        return {
            "ChannelName": "train",
            "DataSource": {"S3DataSource": source},
            "ContentType": content_type,
        }

    def describe(self, name: str) -> Any:
        return self.sagemaker.describe_training_job(TrainingJobName=name)

    def ended(self, name: str) -> Any:
        return wait(lambda: self.describe(name), ("Completed", "Failed", "Stopped"), "TrainingJobStatus")

    def model(self, name: str) -> str:
        """A model of a job that has completed."""
        artifact = self.ended(name)["ModelArtifacts"]["S3ModelArtifacts"]
        container = {"Image": IMAGE, "ModelDataUrl": artifact}
        self.sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
        return name


@pytest.fixture
def jobs(clients: Clients, bucket: str) -> Jobs:
    return Jobs(clients, bucket)


def test_a_job_leaves_a_model_logs_and_metrics(jobs: Jobs, plane: Plane) -> None:
    name = jobs.create(
        "whole", Tags=[{"Key": "team", "Value": "digits"}], DebugHookConfig={"S3OutputPath": "s3://x/y"}
    )
    found = jobs.ended(name)
    assert found["TrainingJobStatus"] == found["SecondaryStatus"] == "Completed"
    steps = found["SecondaryStatusTransitions"]
    order = [step["Status"] for step in steps if step["Status"] != "Pending"]
    assert order == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all("EndTime" in step and step["StatusMessage"] for step in steps)
    uri = found["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == f"s3://{jobs.bucket}/out/{name}/output/model.tar.gz"
    body = jobs.s3.get_object(Bucket=jobs.bucket, Key=uri.split("/", 3)[3])["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert "model_algo-1" in archive.getnames()
    values = {each["MetricName"]: each["Value"] for each in found["FinalMetricDataList"]}
    assert 0 < values["train:msd"] < 10
    assert "train:msd" in [each["Name"] for each in found["AlgorithmSpecification"]["MetricDefinitions"]]
    assert found["OutputDataConfig"]["KmsKeyId"] == ""
    group = "/aws/sagemaker/TrainingJobs"
    (stream,) = jobs.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")[
        "logStreams"
    ]
    arguments = {"logGroupName": group, "logStreamName": stream["logStreamName"], "startFromHead": True}
    events, token = [], {}
    while True:  # as the SDK does: until a page is empty
        page = jobs.logs.get_log_events(**arguments, **token, limit=7)
        if not page["events"]:
            break
        events += page["events"]
        token = {"nextToken": page["nextForwardToken"]}
    assert page["nextForwardToken"] == token["nextToken"]
    texts = [event["message"] for event in events]
    assert texts[0] == "optml: kept, and not acted on here: DebugHookConfig"
    assert sum("#quality_metric" in text for text in texts) >= 1
    hits = jobs.logs.filter_log_events(
        logGroupName=group, logStreamNamePrefix=f"{name}/", filterPattern='"train msd"'
    )["events"]
    assert hits
    cloudwatch = jobs.clients("cloudwatch")
    points = cloudwatch.get_metric_statistics(
        Namespace=group,
        MetricName="train:msd",
        Dimensions=[{"Name": "TrainingJobName", "Value": name}],
        StartTime=0,
        EndTime=2**33,
        Period=60,
        Statistics=["Average"],
    )["Datapoints"]
    assert points[0]["Average"] == pytest.approx(values["train:msd"])
    tags = jobs.sagemaker.list_tags(ResourceArn=found["TrainingJobArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "digits"}]
    listed = jobs.sagemaker.list_training_jobs(NameContains=name, StatusEquals="Completed")
    assert [each["TrainingJobName"] for each in listed["TrainingJobSummaries"]] == [name]
    folder = plane.home.job("training", name)
    assert {"job.json", "exit.json", "handle", "log", "ml"} <= {path.name for path in folder.iterdir()}
    with pytest.raises(ClientError, match="already exists with this name") as error:
        jobs.create("whole")
    assert error.value.response["Error"]["Code"] == "ResourceInUse"


def test_a_mistake_of_the_users_is_the_reason(jobs: Jobs) -> None:
    found = jobs.ended(jobs.create("wrong", HyperParameters={"k": "many", "feature_dim": "2"}))
    assert found["TrainingJobStatus"] == found["SecondaryStatus"] == "Failed"
    assert found["FailureReason"].startswith("ClientError: ")
    assert "k" in found["FailureReason"]
    assert found["SecondaryStatusTransitions"][-1]["StatusMessage"] == found["FailureReason"]


@pytest.mark.parametrize(
    ("different", "reason"),
    [
        (
            {"OutputDataConfig": {"S3OutputPath": "s3://nowhere/x"}},
            "ClientError: The specified bucket does not exist",
        ),
        (
            {"AlgorithmSpecification": {"TrainingImage": "mine:1", "TrainingInputMode": "File"}},
            "ClientError: image mine:1 needs Docker, which is not running; optml's own algorithms are: ",
        ),
    ],
)
def test_what_cannot_start_says_why(
    jobs: Jobs, plane: Plane, monkeypatch: pytest.MonkeyPatch, different: Any, reason: str
) -> None:
    monkeypatch.setattr(plane.programs, "has_docker", lambda: False)
    found = jobs.ended(jobs.create("refused", **different))
    assert found["FailureReason"].startswith(reason)


def test_jobs_wait_for_a_slot_and_end_in_order_and_waiting_ones_can_be_stopped(
    jobs: Jobs, plane: Plane
) -> None:
    assert plane.slots == 1
    names = [jobs.create(f"queued-{number}") for number in range(3)]
    assert jobs.describe(names[2])["SecondaryStatus"] in ("Starting", "Pending")
    jobs.sagemaker.stop_training_job(TrainingJobName=names[1])
    found = jobs.describe(names[1])
    assert found["TrainingJobStatus"] == "Stopped"
    assert "TrainingStartTime" not in found
    first, last = jobs.ended(names[0]), jobs.ended(names[2])
    assert first["TrainingEndTime"] <= last["TrainingStartTime"]
    with pytest.raises(ClientError, match="is in status Completed"):
        jobs.sagemaker.stop_training_job(TrainingJobName=names[0])


def test_a_running_job_is_stopped_and_a_long_one_ends(jobs: Jobs) -> None:
    endless = {
        "AlgorithmSpecification": {"TrainingImage": XGBOOST, "TrainingInputMode": "File"},
        "HyperParameters": {"num_round": "1000000", "objective": "reg:squarederror"},
        "InputDataConfig": [jobs.channel("text/csv")],
    }
    name = jobs.create("endless", **endless)
    wait(lambda: jobs.describe(name), ("Training",), "SecondaryStatus")
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    found = jobs.ended(name)
    assert found["TrainingJobStatus"] == found["SecondaryStatus"] == "Stopped"
    long = jobs.create("long", StoppingCondition={"MaxRuntimeInSeconds": 1}, **endless)
    found = jobs.ended(long)
    assert found["SecondaryStatus"] == "MaxRuntimeExceeded", found["FailureReason"]
    assert found["TrainingJobStatus"] == "Stopped"


def test_two_hosts_train_from_a_pipe_with_plain_artifacts_and_checkpoints(jobs: Jobs) -> None:
    jobs.s3.put_object(Bucket=jobs.bucket, Key="train/more.csv", Body=csv(rows()))
    name = jobs.create(
        "pair",
        AlgorithmSpecification={
            "TrainingImage": IMAGE,
            "TrainingInputMode": "Pipe",
            "MetricDefinitions": [{"Name": "own", "Regex": "train msd <loss>=(.*)"}],
        },
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1},
        OutputDataConfig={"S3OutputPath": f"s3://{jobs.bucket}/out/", "CompressionType": "NONE"},
        CheckpointConfig={"S3Uri": f"s3://{jobs.bucket}/checkpoints"},
    )
    found = jobs.ended(name)
    assert found["TrainingJobStatus"] == "Completed", found["FailureReason"]
    assert found["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{jobs.bucket}/out/{name}/output/model/"
    assert jobs.s3.head_object(Bucket=jobs.bucket, Key=f"out/{name}/output/model/model_algo-1")
    assert jobs.s3.list_objects_v2(Bucket=jobs.bucket, Prefix="checkpoints/")["KeyCount"] > 0
    assert [each["MetricName"] for each in found["FinalMetricDataList"]] == ["own"]
    streams = jobs.logs.describe_log_streams(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{name}/"
    )["logStreams"]
    assert [each["logStreamName"].split("/")[1].rsplit("-", 1)[0] for each in streams] == ["algo-1", "algo-2"]


def test_a_transform_job_answers_every_record_in_order(jobs: Jobs) -> None:
    model = jobs.model(jobs.create("batch"))
    for key in ("a.csv", "inner/b.csv"):
        jobs.s3.put_object(Bucket=jobs.bucket, Key=f"in/{key}", Body=csv(rows(10)))
    request = {
        "ModelName": model,
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{jobs.bucket}/in/"}},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        "TransformOutput": {
            "S3OutputPath": f"s3://{jobs.bucket}/answers",
            "Accept": "application/jsonlines",
            "AssembleWith": "Line",
        },
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        "Environment": {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"},
    }
    jobs.sagemaker.create_transform_job(TransformJobName=model, **request)

    def describe(name: str = model) -> Any:
        return jobs.sagemaker.describe_transform_job(TransformJobName=name)

    found = wait(describe, ("Completed", "Failed", "Stopped"), "TransformJobStatus")
    assert found["TransformJobStatus"] == "Completed", found["FailureReason"]
    for key in ("a.csv", "inner/b.csv"):
        body = jobs.s3.get_object(Bucket=jobs.bucket, Key=f"answers/{key}.out")["Body"].read()
        clusters = [json.loads(line)["closest_cluster"] for line in body.splitlines()]
        assert clusters[0::2] == [clusters[0]] * 5
        assert clusters[1::2] == [1 - clusters[0]] * 5
    jobs.s3.put_object(Bucket=jobs.bucket, Key="in/bad.csv", Body=b"x,y\n")
    jobs.sagemaker.create_transform_job(TransformJobName=f"{model}-bad", **request)
    found = wait(lambda: describe(f"{model}-bad"), ("Completed", "Failed", "Stopped"), "TransformJobStatus")
    assert found["TransformJobStatus"] == "Failed"
    assert "bad.csv" in found["FailureReason"]
    with pytest.raises(ClientError, match="Could not find model"):
        jobs.sagemaker.create_transform_job(TransformJobName="none", **{**request, "ModelName": "none"})
    names = [
        each["TransformJobName"] for each in jobs.sagemaker.list_transform_jobs()["TransformJobSummaries"]
    ]
    assert {model, f"{model}-bad"} <= set(names)


def test_names_that_no_job_has_are_said_so(jobs: Jobs) -> None:
    with pytest.raises(ClientError, match="Requested resource not found"):
        jobs.describe("none")
    with pytest.raises(ClientError) as error:
        jobs.logs.describe_log_streams(logGroupName="/aws/sagemaker/None")
    assert error.value.response["Error"]["Code"] == "ResourceNotFoundException"

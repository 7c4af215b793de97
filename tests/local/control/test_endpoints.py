"""Endpoints with real servers, through boto3."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from optml.local.control.plane import Plane
from tests.local.control.conftest import Clients
from tests.local.control.test_jobs import IMAGE, ROLE, Jobs, csv, rows, wait

WORKERS = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}


class Endpoints:
    """One model of K-Means, and endpoints of it."""

    def __init__(self, clients: Clients, plane: Plane) -> None:
        clients("s3").create_bucket(Bucket="served")
        self.jobs = Jobs(clients, "served")
        self.plane = plane
        self.sagemaker, self.runtime, self.s3 = (
            clients("sagemaker"),
            clients("sagemaker-runtime"),
            clients("s3"),
        )
        name = self.jobs.create("model")
        self.artifact = self.jobs.ended(name)["ModelArtifacts"]["S3ModelArtifacts"]
        self.container = {"Image": IMAGE, "ModelDataUrl": self.artifact, "Environment": WORKERS}
        self.model("one", PrimaryContainer=self.container)

    def model(self, name: str, **described: Any) -> None:
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, **described)

    def config(self, name: str, *variants: dict[str, Any], **more: Any) -> str:
        whole = [
            {
                "VariantName": "AllTraffic",
                "ModelName": "one",
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
            }
            | variant
            for variant in variants or ({},)
        ]
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=whole, **more)
        return name

    def create(self, name: str, *variants: dict[str, Any], **more: Any) -> Any:
        self.config(name, *variants, **more)
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        return self.settled(name)

    def settled(self, name: str) -> Any:
        return wait(lambda: self.describe(name), ("InService", "Failed"), "EndpointStatus")

    def describe(self, name: str) -> Any:
        return self.sagemaker.describe_endpoint(EndpointName=name)

    def invoke(self, name: str, body: bytes | None = None, **more: Any) -> Any:
        arguments = {"ContentType": "text/csv", "Accept": "application/json", **more}
        return self.runtime.invoke_endpoint(
            EndpointName=name, Body=csv(rows(4)) if body is None else body, **arguments
        )

    def clusters(self, answer: Any) -> list[float]:
        return [each["closest_cluster"] for each in json.load(answer["Body"])["predictions"]]


@pytest.fixture(scope="module")
def endpoints(clients: Clients, plane: Plane) -> Iterator[Endpoints]:
    made = Endpoints(clients, plane)
    yield made
    for each in made.sagemaker.list_endpoints(MaxResults=100)["Endpoints"]:
        made.sagemaker.delete_endpoint(EndpointName=each["EndpointName"])


@pytest.fixture(scope="module")
def plain(endpoints: Endpoints) -> str:
    found = endpoints.create("plain")
    assert found["EndpointStatus"] == "InService", found["FailureReason"]
    return "plain"


def test_an_endpoint_answers_as_its_container(endpoints: Endpoints, plain: str) -> None:
    answer = endpoints.invoke(plain)
    assert (answer["InvokedProductionVariant"], answer["ContentType"]) == ("AllTraffic", "application/json")
    a, b, c, d = endpoints.clusters(answer)
    assert a == c != b == d
    (variant,) = endpoints.describe(plain)["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["CurrentWeight"]) == (1, 1.0)
    logs = endpoints.jobs.logs
    streams = logs.describe_log_streams(logGroupName="/aws/sagemaker/Endpoints/plain")["logStreams"]
    assert streams[0]["logStreamName"].startswith("AllTraffic/i-")


def test_what_a_container_refuses_is_a_model_error(endpoints: Endpoints, plain: str) -> None:
    with pytest.raises(ClientError) as error:
        endpoints.invoke(plain, b"a,b\n")
    found = error.value.response
    assert (found["Error"]["Code"], found["OriginalStatusCode"]) == ("ModelError", 400)
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert 'Received client error (400) from primary with message "' in found["Error"]["Message"]
    assert found["OriginalMessage"] in found["Error"]["Message"]
    assert found["LogStreamArn"].endswith("/aws/sagemaker/Endpoints/plain")


def test_a_stream_of_events_holds_the_whole_answer(endpoints: Endpoints, plain: str) -> None:
    body = csv(rows(2000))
    whole = endpoints.invoke(plain, body, Accept="application/jsonlines")["Body"].read()
    stream = endpoints.runtime.invoke_endpoint_with_response_stream(
        EndpointName=plain, Body=body, ContentType="text/csv", Accept="application/jsonlines"
    )
    assert b"".join(event["PayloadPart"]["Bytes"] for event in stream["Body"]) == whole
    assert stream["ContentType"] == "application/jsonlines"


def test_large_bodies_stream_through(endpoints: Endpoints, plain: str) -> None:
    body = csv(rows(1000)) * 600  # 10 MB: more than is held
    answer = endpoints.invoke(plain, body, Accept="text/csv")
    assert len(answer["Body"].read().splitlines()) == 600_000


def test_invocations_are_counted(endpoints: Endpoints, plain: str) -> None:
    def counted(metric: str) -> float:
        points = endpoints.jobs.clients("cloudwatch").get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=[
                {"Name": "EndpointName", "Value": plain},
                {"Name": "VariantName", "Value": "AllTraffic"},
            ],
            StartTime=0,
            EndTime=2**33,
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        return sum(point["Sum"] for point in points)

    before = counted("Invocations")
    endpoints.invoke(plain)
    assert counted("Invocations") == before + 1
    assert counted("ModelLatency") > 0


def test_an_update_and_a_scaling_lose_no_request(endpoints: Endpoints, plain: str) -> None:
    failures: list[object] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answer = requests.post(
                f"{endpoints.plane.url}/endpoints/{plain}/invocations",
                csv(rows(4)),
                headers={"Content-Type": "text/csv"},
                timeout=60,
            )
            if answer.status_code != 200:
                failures.append(answer.text)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        endpoints.config("other", {"VariantName": "New"})
        endpoints.sagemaker.update_endpoint(EndpointName=plain, EndpointConfigName="other")
        assert endpoints.describe(plain)["EndpointStatus"] == "Updating"
        assert endpoints.settled(plain)["ProductionVariants"][0]["VariantName"] == "New"
        for count in (2, 1):
            endpoints.sagemaker.update_endpoint_weights_and_capacities(
                EndpointName=plain,
                DesiredWeightsAndCapacities=[{"VariantName": "New", "DesiredInstanceCount": count}],
            )
            assert endpoints.settled(plain)["ProductionVariants"][0]["CurrentInstanceCount"] == count
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    endpoints.sagemaker.update_endpoint(EndpointName=plain, EndpointConfigName=plain)
    endpoints.settled(plain)


@pytest.mark.slow
def test_weights_and_targets_choose_variants(endpoints: Endpoints) -> None:
    endpoints.create(
        "two",
        {"VariantName": "a", "InitialVariantWeight": 1},
        {"VariantName": "b", "InitialVariantWeight": 0},
    )
    seen = {endpoints.invoke("two")["InvokedProductionVariant"] for _ in range(10)}
    assert seen == {"a"}
    assert endpoints.invoke("two", TargetVariant="b")["InvokedProductionVariant"] == "b"
    with pytest.raises(ClientError, match="Variant c of endpoint two not found"):
        endpoints.invoke("two", TargetVariant="c")
    endpoints.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="two",
        DesiredWeightsAndCapacities=[
            {"VariantName": "a", "DesiredWeight": 0},
            {"VariantName": "b", "DesiredWeight": 1},
        ],
    )
    endpoints.settled("two")
    assert {endpoints.invoke("two")["InvokedProductionVariant"] for _ in range(10)} == {"b"}
    endpoints.sagemaker.delete_endpoint(EndpointName="two")


def test_a_model_that_does_not_load_fails_the_endpoint(endpoints: Endpoints) -> None:
    endpoints.s3.put_object(Bucket="served", Key="broken.tar.gz", Body=b"nothing")
    endpoints.model(
        "broken", PrimaryContainer={**endpoints.container, "ModelDataUrl": "s3://served/broken.tar.gz"}
    )
    found = endpoints.create("broken", {"ModelName": "broken"})
    assert found["EndpointStatus"] == "Failed"
    assert "broken or no tar.gz" in found["FailureReason"]
    with pytest.raises(ClientError, match="is not InService: it is Failed"):
        endpoints.invoke("broken")
    empty = {**endpoints.container, "Environment": {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "x"}}
    endpoints.model("unready", PrimaryContainer=empty)
    found = endpoints.create("unready", {"ModelName": "unready"})
    assert "did not pass the ping health check" in found["FailureReason"]


@pytest.mark.slow
def test_many_models_share_a_server(endpoints: Endpoints) -> None:
    body = endpoints.s3.get_object(Bucket="served", Key=endpoints.artifact.split("/", 3)[3])["Body"].read()
    for name in ("a.tar.gz", "b.tar.gz"):
        endpoints.s3.put_object(Bucket="served", Key=f"many/{name}", Body=body)
    endpoints.model(
        "many", PrimaryContainer={"Image": IMAGE, "Mode": "MultiModel", "ModelDataUrl": "s3://served/many/"}
    )
    assert endpoints.create("many", {"ModelName": "many"})["EndpointStatus"] == "InService"
    for name in ("a.tar.gz", "b.tar.gz", "a.tar.gz"):
        assert len(endpoints.clusters(endpoints.invoke("many", TargetModel=name))) == 4
    with pytest.raises(
        ClientError, match=r"Failed to download model data\(bucket: served, key: many/c.tar.gz\)"
    ):
        endpoints.invoke("many", TargetModel="c.tar.gz")
    endpoints.sagemaker.delete_endpoint(EndpointName="many")


@pytest.mark.slow
def test_direct_pipelines_ask_the_container_that_is_named(endpoints: Endpoints) -> None:
    containers = [{**endpoints.container, "ContainerHostname": name} for name in ("first", "second")]
    endpoints.model("direct", Containers=containers, InferenceExecutionConfig={"Mode": "Direct"})
    endpoints.create("direct", {"ModelName": "direct"})
    assert len(endpoints.clusters(endpoints.invoke("direct", TargetContainerHostname="second"))) == 4
    with pytest.raises(ClientError, match="expected one of first, second"):
        endpoints.invoke("direct", TargetContainerHostname="third")
    with pytest.raises(ClientError, match="from first with message"):
        endpoints.invoke("direct", b"a,b\n", TargetContainerHostname="first")
    endpoints.sagemaker.delete_endpoint(EndpointName="direct")


@pytest.mark.slow
def test_async_answers_and_failures_become_objects(endpoints: Endpoints, plain: str) -> None:
    output = {"OutputConfig": {"S3OutputPath": "s3://served/async", "S3FailurePath": "s3://served/failed"}}
    endpoints.create("later", AsyncInferenceConfig=output)
    for key, body, place in (("good", csv(rows(4)), "OutputLocation"), ("bad", b"a,b\n", "FailureLocation")):
        endpoints.s3.put_object(Bucket="served", Key=f"async-in/{key}", Body=body)
        answer = endpoints.runtime.invoke_endpoint_async(
            EndpointName="later",
            InputLocation=f"s3://served/async-in/{key}",
            ContentType="text/csv",
            Accept="text/csv",
        )
        found = endpoints.s3.get_waiter("object_exists")
        key = answer[place].split("/", 3)[3]
        found.wait(Bucket="served", Key=key, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        text = endpoints.s3.get_object(Bucket="served", Key=key)["Body"].read().decode()
        if place == "OutputLocation":
            assert len(text.splitlines()) == 4, text
        else:
            assert "Received client error (400)" in text
    with pytest.raises(ClientError, match="takes no asynchronous invocations"):
        endpoints.runtime.invoke_endpoint_async(EndpointName=plain, InputLocation="s3://served/x")
    endpoints.sagemaker.delete_endpoint(EndpointName="later")


@pytest.mark.slow
def test_captured_data_is_what_went_through(endpoints: Endpoints) -> None:
    endpoints.create(
        "captured",
        DataCaptureConfig={
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": "s3://served/capture",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
        },
    )
    answer = endpoints.invoke("captured", InferenceId="mine")["Body"].read()
    endpoints.plane.capture.flush()
    (entry,) = endpoints.s3.list_objects_v2(Bucket="served", Prefix="capture/captured/AllTraffic/")[
        "Contents"
    ]
    line = json.loads(endpoints.s3.get_object(Bucket="served", Key=entry["Key"])["Body"].read())
    assert line["captureData"]["endpointInput"]["data"].encode() == csv(rows(4))
    assert line["captureData"]["endpointOutput"]["encoding"] == "JSON"
    assert line["eventMetadata"]["inferenceId"] == "mine"
    assert answer
    endpoints.sagemaker.delete_endpoint(EndpointName="captured")


@pytest.mark.slow
def test_a_serverless_variant_starts_when_it_is_asked(
    endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optml.local.control.endpoints import manager

    config = {"VariantName": "AllTraffic", "ModelName": "one"}
    config["ServerlessConfig"] = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}  # type: ignore[assignment]
    endpoints.sagemaker.create_endpoint_config(EndpointConfigName="idle", ProductionVariants=[config])
    endpoints.sagemaker.create_endpoint(EndpointName="idle", EndpointConfigName="idle")
    assert endpoints.settled("idle")["EndpointStatus"] == "InService"
    deployment = endpoints.plane.endpoints.deployment("idle")
    assert deployment is not None
    monkeypatch.setattr(manager, "IDLE_SECONDS", 0)
    while deployment.variants[0].instances:
        threading.Event().wait(0.05)
    monkeypatch.setattr(manager, "IDLE_SECONDS", 300)
    assert len(endpoints.clusters(endpoints.invoke("idle"))) == 4
    endpoints.sagemaker.delete_endpoint(EndpointName="idle")


@pytest.mark.slow
def test_scaling_follows_the_invocations(endpoints: Endpoints, plain: str) -> None:
    from optml.local.control.endpoints.scaling import wanted_instances

    limits = {"MinCapacity": 1, "MaxCapacity": 2}
    assert [wanted_instances(calls, 10.0, limits) for calls in (0, 10, 11, 1000)] == [1, 1, 2, 2]
    scaling = endpoints.jobs.clients("application-autoscaling")
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{plain}/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    scaling.register_scalable_target(**target, **limits)
    scaling.put_scaling_policy(
        **target,
        PolicyName="p",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 2.0,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
            },
            "ScaleOutCooldown": 0,
        },
    )
    for _ in range(5):
        endpoints.invoke(plain)
    endpoints.plane.scaling.look()
    assert endpoints.describe(plain)["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    (activity,) = scaling.describe_scaling_activities(ServiceNamespace="sagemaker")["ScalingActivities"]
    assert activity["Description"] == "Setting desired instance count to 2."
    scaling.deregister_scalable_target(**target)
    assert scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []


def test_a_deleted_endpoint_is_gone_and_its_name_free(endpoints: Endpoints) -> None:
    endpoints.create("brief")
    with pytest.raises(ClientError, match="Cannot create already existing endpoint "):
        endpoints.sagemaker.create_endpoint(EndpointName="brief", EndpointConfigName="brief")
    endpoints.sagemaker.delete_endpoint_config(EndpointConfigName="brief")
    assert endpoints.invoke("brief")
    endpoints.sagemaker.delete_endpoint(EndpointName="brief")
    with pytest.raises(ClientError, match="Could not find endpoint"):
        endpoints.describe("brief")
    with pytest.raises(ClientError, match=r"Endpoint brief of account 123456789012 not found\."):
        endpoints.invoke("brief")
    with pytest.raises(ClientError, match="Could not find endpoint configuration"):
        endpoints.sagemaker.create_endpoint(EndpointName="brief", EndpointConfigName="brief")
    with pytest.raises(ClientError, match="Cannot create already existing model "):
        endpoints.model("one", PrimaryContainer=endpoints.container)

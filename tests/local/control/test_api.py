"""Requests as AWS's own clients send them: routed, checked, answered in AWS's form."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError
from botocore.parsers import create_parser

from optml.local.control import model
from optml.local.control.app import OPERATIONS
from optml.local.control.plane import Plane
from optml.local.control.routing import TARGETS
from tests.local.control.conftest import Clients

RESOURCES = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1"


def training_job(**different: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": "checked",
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "RoleArn": "arn:aws:iam::123456789012:role/optml",
        "OutputDataConfig": {"S3OutputPath": "s3://bkt/out"},
        "ResourceConfig": RESOURCES,
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **different,
    }


def call(plane: Plane, operation: str, body: object, target: str = "SageMaker") -> requests.Response:
    headers = {"X-Amz-Target": f"{target}.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(plane.url, data, headers=headers, timeout=30)


@pytest.mark.parametrize(
    ("different", "constraint"),
    [
        ({"TrainingJobName": "a_b"}, "'a_b' at 'trainingJobName' {} satisfy regular expression pattern: ["),
        ({"TrainingJobName": "a" * 64}, "at 'trainingJobName' {} have length less than or equal to 63"),
        ({"TrainingJobName": ""}, "at 'trainingJobName' {} have length greater than or equal to 1"),
        ({"RoleArn": None}, "Value null at 'roleArn' {} not be null"),
        ({"RoleArn": "role"}, "Value 'role' at 'roleArn' {} have length greater than or equal to 20"),
        ({"ResourceConfig": {**RESOURCES, "InstanceType": "ml.none"}},
         "Value 'ml.none' at 'resourceConfig.instanceType' {} satisfy enum value set: [ml."),
        ({"ResourceConfig": {**RESOURCES, "InstanceCount": -1}},
         "Value '-1' at 'resourceConfig.instanceCount' {} have value greater than or equal to 0"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}},
         "at 'stoppingCondition.maxRuntimeInSeconds' {} have value greater than or equal to 1"),
        ({"OutputDataConfig": {"S3OutputPath": "bkt"}},
         "at 'outputDataConfig.s3OutputPath' {} satisfy regular expression pattern: (https|s3)://"),
        ({"OutputDataConfig": {}}, "Value null at 'outputDataConfig.s3OutputPath' {} not be null"),
        ({"AlgorithmSpecification": {"TrainingInputMode": "Fast"}},
         "at 'algorithmSpecification.trainingInputMode' {} satisfy enum value set: [Pipe, File, FastFile]"),
        ({"InputDataConfig": []}, "at 'inputDataConfig' {} have length greater than or equal to 1"),
        ({"InputDataConfig": [{"ChannelName": "a b", "DataSource": {}}]},
         "Value 'a b' at 'inputDataConfig.1.member.channelName' {} satisfy regular expression pattern"),
        ({"HyperParameters": {"k" * 2600: "1"}}, "at 'hyperParameters.key' {} have length less than"),
        ({"Tags": [{"Key": "a"}]}, "Value null at 'tags.1.member.value' {} not be null"),
        ({"Environment": {"1a": "x"}}, "Value '1a' at 'environment.key' {} satisfy regular"),
        ({"VpcConfig": {"SecurityGroupIds": [], "Subnets": ["s"]}},
         "at 'vpcConfig.securityGroupIds' {} have length greater than or equal to 1"),
        ({"CheckpointConfig": {"S3Uri": "file:///x"}}, "at 'checkpointConfig.s3Uri' {} satisfy regular"),
        ({"DebugHookConfig": {}}, "Value null at 'debugHookConfig.s3OutputPath' {} not be null"),
        ({"RetryStrategy": {"MaximumRetryAttempts": 99}},
         "at 'retryStrategy.maximumRetryAttempts' {} have value less than or equal to 30"),
    ],
)  # fmt: skip
def test_what_the_model_forbids_is_said_in_awss_words(plane: Plane, different: Any, constraint: str) -> None:
    answer = call(plane, "CreateTrainingJob", training_job(**different))
    error = answer.json()
    assert answer.status_code == 400
    assert error["__type"] == "ValidationException"
    assert re.match(r"(1 validation error|[2-9] validation errors) detected: Value ", error["message"])
    assert constraint.replace("{}", "failed to satisfy constraint: Member must") in error["message"]
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    assert answer.headers["x-amzn-requestid"]


def test_all_problems_come_at_once(plane: Plane) -> None:
    error = call(plane, "CreateTrainingJob", training_job(TrainingJobName="_", RoleArn=None)).json()
    assert error["message"].startswith("2 validation errors detected: ")


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"TrainingJobName": 3}', b'{"HyperParameters": []}', b"\xff"]
)
def test_what_is_no_request_is_a_serialization_error(plane: Plane, body: bytes) -> None:
    answer = call(plane, "CreateTrainingJob", body)
    assert (answer.status_code, answer.json()["__type"]) == (400, "SerializationException")


def test_local_instance_types_are_taken() -> None:
    shape = model.service("sagemaker").shape_for("TrainingInstanceType")
    for name in ("ml.m5.large", "local", "local_gpu"):
        model.validate(name, shape)


@pytest.mark.parametrize("service", sorted(TARGETS.values()))
def test_every_operation_answers_so_that_botocore_reads_it(plane: Plane, service: str) -> None:
    described = model.service(service)
    targets = {name: target for target, name in TARGETS.items()}
    for name in described.operation_names:
        answer = call(plane, name, {}, targets[service])
        parsed = create_parser("json").parse(
            {"status_code": answer.status_code, "headers": answer.headers, "body": answer.content},
            described.operation_model(name).output_shape,
        )
        assert answer.status_code in (200, 400), (name, answer.text)
        if answer.status_code == 400:
            supported = name in OPERATIONS[service]
            assert supported or parsed["Error"]["Code"] == "ValidationException", (name, answer.text)
            assert supported or f"optml does not support {name}; see " in parsed["Error"]["Message"]


def test_operations_that_are_not_done_are_counted(plane: Plane, clients: Clients) -> None:
    from optml.local.control import support

    def calls() -> int:
        return {name: count for name, count, _ in support.seen(plane)}.get("sagemaker:ListApps", 0)

    before = calls()
    with pytest.raises(ClientError, match="optml does not support ListApps"):
        clients("sagemaker").list_apps()
    assert calls() == before + 1
    assert call(plane, "MakeCoffee", {}).json()["__type"] == "UnknownOperationException"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:45660"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "localhost"}, 400),
        ({"Host": "[::1]:1"}, 400),
        ({"Host": "bkt.localhost"}, 400),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_foreign_hosts_and_pages_are_refused(plane: Plane, headers: dict[str, str], status: int) -> None:
    target = {"X-Amz-Target": "SageMaker.CreateTrainingJob"}
    answer = requests.post(plane.url, b"{}", headers={**target, **headers}, timeout=10)
    assert answer.status_code == status
    invoked = requests.post(f"{plane.url}/endpoints/x/invocations", b"1", headers=headers, timeout=10)
    assert invoked.status_code == status
    own = {"Origin": plane.url, "X-Amz-Target": "SageMaker.ListModels"}
    assert requests.post(plane.url, b"{}", headers=own, timeout=10).status_code == 200


def test_slow_connections_do_not_stop_others(plane: Plane, clients: Clients) -> None:
    import socket

    address = (plane.options.host, plane.options.port)
    slow = [socket.create_connection(address) for _ in range(64)]
    try:
        for each in slow:
            each.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nbeginning")
        assert "Models" in clients("sagemaker").list_models()
    finally:
        for each in slow:
            each.close()


def test_who_asks_and_which_role(clients: Clients) -> None:
    assert clients("sts").get_caller_identity()["Account"] == "123456789012"
    role = clients("iam").get_role(RoleName="Me")["Role"]
    assert role["Arn"].endswith(":role/Me")
    assert "sagemaker.amazonaws.com" in json.dumps(role["AssumeRolePolicyDocument"])
    results = clients("iam").simulate_principal_policy(
        PolicySourceArn=role["Arn"], ActionNames=["a:B", "c:D"]
    )
    decisions = [(each["EvalActionName"], each["EvalDecision"]) for each in results["EvaluationResults"]]
    assert decisions == [("a:B", "allowed"), ("c:D", "allowed")]
    with pytest.raises(ClientError, match="optml does not support ListRoles"):
        clients("iam").list_roles()


def test_repositories_are_the_algorithms(clients: Clients) -> None:
    ecr = clients("ecr")
    assert ecr.get_authorization_token()["authorizationData"]
    names = [each["repositoryName"] for each in ecr.describe_repositories()["repositories"]]
    assert "kmeans" in names
    with pytest.raises(ClientError) as error:
        ecr.describe_repositories(repositoryNames=["nothing"])
    assert error.value.response["Error"]["Code"] == "RepositoryNotFoundException"


def test_metrics_come_and_go_in_all_three_wire_forms(plane: Plane, clients: Clients) -> None:
    import cbor2

    cloudwatch = clients("cloudwatch")
    dimensions = [{"Name": "d", "Value": "1"}]
    values = [
        {"MetricName": "m", "Value": value, "Timestamp": 120, "Dimensions": dimensions}
        for value in (1.0, 3.0)
    ]
    cloudwatch.put_metric_data(Namespace="own", MetricData=values)
    wanted = {
        "Namespace": "own",
        "MetricName": "m",
        "Period": 60,
        "StartTime": 0,
        "EndTime": 240,
        "Statistics": ["Average", "Maximum"],
        "Dimensions": dimensions,
    }
    (point,) = cloudwatch.get_metric_statistics(**wanted)["Datapoints"]
    assert (point["Average"], point["Maximum"], point["Timestamp"].timestamp()) == (2.0, 3.0, 120)
    body = cbor2.dumps({**wanted, "StartTime": cbor2.CBORTag(1, 0), "EndTime": cbor2.CBORTag(1, 240.0)})
    url = f"{plane.url}/service/GraniteServiceVersion20100801/operation/GetMetricStatistics"
    answer = requests.post(url, body, headers={"smithy-protocol": "rpc-v2-cbor"}, timeout=10)
    assert answer.headers["smithy-protocol"] == "rpc-v2-cbor"
    (read,) = cbor2.loads(answer.content)["Datapoints"]
    assert (read["Average"], read["Timestamp"].timestamp()) == (2.0, 120)
    form = {
        "Action": "GetMetricStatistics",
        "Namespace": "own",
        "MetricName": "m",
        "Period": "60",
        "StartTime": "1970-01-01T00:00:00Z",
        "EndTime": "1970-01-01T00:04:00Z",
        "Statistics.member.1": "Average",
        "Dimensions.member.1.Name": "d",
        "Dimensions.member.1.Value": "1",
    }
    scope = {
        "Authorization": "AWS4-HMAC-SHA256 Credential=test/20261201/us-east-1/monitoring/aws4_request, x"
    }
    text = requests.post(plane.url, form, headers=scope, timeout=10).text
    assert re.search(r"<GetMetricStatisticsResult>.*<Average>2\.0</Average>", text)
    assert [each["MetricName"] for each in cloudwatch.list_metrics(Namespace="own")["Metrics"]] == ["m"]
    stat = {
        "Metric": {"Namespace": "own", "MetricName": "m", "Dimensions": dimensions},
        "Period": 60,
        "Stat": "Sum",
    }
    data = cloudwatch.get_metric_data(
        MetricDataQueries=[{"Id": "q", "MetricStat": stat}], StartTime=0, EndTime=240
    )
    assert data["MetricDataResults"][0]["Values"] == [4.0]

"""A control plane as a process, and work for it: what its benchmark asks."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from botocore.config import Config

BUCKET = "bench"
IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1"
ROLE = "arn:aws:iam::123456789012:role/optml"
WIDTH = 20


class Plane:
    """`optml up` as a process."""

    def __init__(self, home: Path, *words: str) -> None:
        self._home, self._words = home, words
        self.port = 0
        self.start()

    def start(self) -> None:
        began = time.perf_counter()
        command = [sys.executable, "-m", "optml.local.cli", "up", "--engine", "process"]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), *self._words],
            env={**os.environ, "OPTML_HOME": str(self._home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[3].rstrip(",")
        self.port = int(self.url.rpartition(":")[2])
        self.client("sagemaker").list_models()
        self.seconds = time.perf_counter() - began

    def client(self, service: str) -> Any:
        config = Config(max_pool_connections=16, retries={"total_max_attempts": 1})
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        return boto3.client(service, endpoint_url=self.url, config=config, **keys)

    def memory(self) -> float:
        """The most that the process has had, MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1000

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait()


@contextmanager
def up(*words: str) -> Iterator[Plane]:
    with tempfile.TemporaryDirectory(prefix="optml-control-") as folder:
        plane = Plane(Path(folder), *words)
        try:
            yield plane
        finally:
            plane.stop()


class Work:
    """Jobs, models and endpoints of K-Means on a little data."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.acknowledged: set[str] = set()
        self.client = plane.client("sagemaker")
        s3 = plane.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        rows = np.random.default_rng(0).normal(size=(20_000, WIDTH)).astype("float32")
        body = "\n".join(",".join(f"{value:.4f}" for value in row) for row in rows)
        s3.put_object(Bucket=BUCKET, Key="train/rows.csv", Body=body.encode())

    def job(self, name: str, epochs: int = 1) -> None:
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/train/"}
        channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
        self.client.create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            RoleArn=ROLE,
            HyperParameters={
                "k": "10",
                "feature_dim": str(WIDTH),
                "mini_batch_size": "500",
                "epochs": str(epochs),
            },
            InputDataConfig=[{**channel, "ContentType": "text/csv;label_size=0"}],
            OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/out"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 3600},
        )

    def ended(self, name: str) -> Any:
        while True:
            job = self.client.describe_training_job(TrainingJobName=name)
            if job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"):
                return job
            time.sleep(0.1)

    def artifact(self, name: str) -> str:
        job = self.ended(name)
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        key = job["ModelArtifacts"]["S3ModelArtifacts"].split("/", 3)[3]
        body = self.plane.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return hashlib.sha256(body).hexdigest()

    def endpoint(self, job: str) -> None:
        url = self.ended(job)["ModelArtifacts"]["S3ModelArtifacts"]
        container = {"Image": IMAGE, "ModelDataUrl": url}
        self.client.create_model(ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE)
        variant = {
            "VariantName": "v",
            "ModelName": "m",
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
        }
        self.client.create_endpoint_config(EndpointConfigName="e", ProductionVariants=[variant])
        self.client.create_endpoint(EndpointName="e", EndpointConfigName="e")
        while self.client.describe_endpoint(EndpointName="e")["EndpointStatus"] != "InService":
            time.sleep(0.1)

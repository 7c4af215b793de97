"""Tuning jobs: their steps with training jobs that are made up, and whole ones through boto3."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from optml.local.control.context import Options
from optml.local.control.errors import ApiError
from optml.local.control.home import Home
from optml.local.control.jobs import lifecycle, metrics
from optml.local.control.plane import Plane
from optml.local.control.services import tuning as service
from optml.local.control.tuning.children import Children
from optml.local.control.tuning.oracle import Oracle
from optml.local.control.tuning.run import TuningRun
from optml.local.control.tuning.state import KIND, table_of
from optml.local.tuning import request as requests
from tests.local.control.conftest import Clients
from tests.local.control.test_jobs import ROLE, XGBOOST, csv, rows, wait

REGION = "us-east-1"
KMEANS = "382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1"
METRIC = "validation:rmse"


def asked(name: str = "search", **different: Any) -> dict[str, Any]:
    """A tuning job of XGBoost; anything of its configuration can be said otherwise."""
    config = {
        "Strategy": "Random",
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": METRIC},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 2},
        "ParameterRanges": {
            "IntegerParameterRanges": [{"Name": "max_depth", "MinValue": "2", "MaxValue": "9"}]
        },
        "RandomSeed": 7,
    }
    top = {key: different.pop(key) for key in ("WarmStartConfig", "Autotune") if key in different}
    definition = {
        "StaticHyperParameters": {"num_round": "5", "objective": "reg:squarederror"},
        "AlgorithmSpecification": {"TrainingImage": XGBOOST, "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "InputDataConfig": [channel("train"), channel("validation")],
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "HyperParameterTuningResourceConfig": {
            "InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        **different.pop("definition", {}),
    }  # fmt: skip
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {**config, **different},
        "TrainingJobDefinition": definition,
        **top,
    }


def channel(name: str, uri: str = "s3://bucket/rows") -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "ContentType": "text/csv"}


class Search:
    """A tuning job in a control plane that runs nothing: steps are taken, and training jobs end, by hand."""

    def __init__(self, plane: Plane, request: dict[str, Any]) -> None:
        self.plane = plane
        self.name = request["HyperParameterTuningJobName"]
        service.create(plane, request, REGION)
        self.again()

    def again(self) -> None:
        """As after a kill: nothing is known but what is in the database."""
        job = self.plane.resources.get(KIND, self.name)
        assert job is not None
        self._tuning = requests.read(job.request, table_of, limits=False)
        self._run = TuningRun(self.plane, self.plane.training, job)
        self._children = Children(self.plane.database, self._tuning)
        self._parents = [
            service.TuningState.of(self.plane, parent).as_parent()
            for name in self._tuning.parents
            if (parent := self.plane.resources.get(KIND, name)) is not None
        ]

    def step(self) -> bool:
        with Oracle() as oracle:
            return self._run._step(self._tuning, self._children, self._parents, oracle)

    @property
    def jobs(self) -> list[str]:
        """The training jobs that there are."""
        return [job.name for job in self.plane.resources.all("TrainingJob") if job.name.startswith(self.name)]

    def prints(self, job: str, *values: float) -> None:
        lines = len(metrics.values(job, self.plane.database))
        found = [(job, METRIC, "algo-1", lines + n, 1.0 * lines + n, value) for n, value in enumerate(values)]
        metrics.store(found, self.plane.database)

    def ends(self, job: str, *values: float, status: str = "Completed", reason: str | None = None) -> None:
        self.prints(job, *values)
        lifecycle.advance(
            self.plane.resources,
            job,
            status,
            status=status,
            TrainingEndTime=time.time(),
            FailureReason=reason,
        )

    def finish(self, *values: float) -> None:
        """To the end, one training job after another with these values."""
        left = list(values)
        while not self.step():
            for job in self.jobs:
                found = self.plane.resources.get("TrainingJob", job)
                if found is not None and found.status not in lifecycle.ENDED:
                    self.ends(job, left.pop(0))

    def describe(self) -> dict[str, Any]:
        return service.describe(self.plane, {f"{KIND}Name": self.name}, REGION)

    def status(self, job: str) -> str:
        found = self.plane.resources.get("TrainingJob", job)
        assert found is not None
        return found.status


@pytest.fixture
def still(tmp_path: Path) -> Iterator[Plane]:
    plane = Plane(Home(tmp_path), Options(engine="process", slots=4))
    yield plane
    plane.release()


def test_trials_are_started_as_many_at_once_as_the_request_has_it(still: Plane) -> None:
    search = Search(still, asked())
    assert not search.step()
    first = search.jobs
    assert [name[:10] for name in first] == ["search-001", "search-002"]
    assert not search.step()
    assert search.jobs == first
    search.ends(first[0], 3.0, 2.0)
    assert not search.step()
    assert len(search.jobs) == 3
    search.ends(search.jobs[1], 1.5)
    search.ends(search.jobs[2], 2.5)
    assert search.step()
    described = search.describe()
    assert described["HyperParameterTuningJobStatus"] == "Completed"
    assert described["TrainingJobStatusCounters"]["Completed"] == 3
    best = described["BestTrainingJob"]
    assert best["TrainingJobName"] == first[1]
    assert best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 1.5
    assert 2 <= int(best["TunedHyperParameters"]["max_depth"]) <= 9
    assert described["ConsumedResources"]["RuntimeInSeconds"] >= 0


def test_a_training_job_is_asked_for_what_the_definition_has_and_the_trial_adds(still: Plane) -> None:
    checkpoints = {"CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints/"}, "Environment": {"A": "b"}}
    search = Search(still, asked(definition=checkpoints))
    search.step()
    job = still.resources.get("TrainingJob", search.jobs[0])
    assert job is not None
    found = job.request["HyperParameters"]
    assert {"max_depth", "num_round", "objective", "_tuning_objective_metric"} <= found.keys()
    assert found["_tuning_objective_metric"] == METRIC
    assert job.request["ResourceConfig"]["InstanceType"] == "ml.m5.large"
    assert job.request["CheckpointConfig"]["S3Uri"] == f"s3://bucket/checkpoints/{job.name}"
    assert job.request["Environment"] == {"A": "b"}
    assert job.state["TuningJobArn"].endswith(":hyper-parameter-tuning-job/search")


def test_a_kill_loses_no_trial_and_repeats_none(still: Plane) -> None:
    search = Search(still, asked())
    search.step()
    chosen = search.jobs
    for name in chosen:  # as though the kill had come between the choice and the training jobs
        still.resources.delete("TrainingJob", name)
    search.again()
    assert not search.step()
    assert search.jobs == chosen
    search.again()
    assert not search.step()
    assert search.jobs == chosen


def test_the_same_seed_chooses_the_same_and_another_job_of_the_name_has_jobs_of_its_own(still: Plane) -> None:
    search = Search(still, asked())
    search.finish(1.0, 2.0, 3.0)
    first = [still.resources.get("TrainingJob", name) for name in search.jobs]
    service.delete(still, {f"{KIND}Name": "search"}, REGION)
    search = Search(still, asked())
    search.finish(1.0, 2.0, 3.0)
    second = [still.resources.get("TrainingJob", name) for name in search.jobs[3:]]
    assert [job.request["HyperParameters"] for job in first if job] == [
        job.request["HyperParameters"] for job in second if job
    ]
    assert len({job.name for job in [*first, *second] if job}) == 6


def test_stopping_ends_what_runs_and_starts_no_more(still: Plane) -> None:
    search = Search(still, asked())
    search.step()
    lifecycle.advance(still.resources, search.jobs[0], "Training")
    service.stop(still, {f"{KIND}Name": "search"}, REGION)
    search.step()
    assert [search.status(name) for name in search.jobs] == ["Stopped", "Stopped"]
    assert search.step()
    assert search.describe()["HyperParameterTuningJobStatus"] == "Stopped"
    with pytest.raises(ApiError, match="in status Stopped"):
        service.stop(still, {f"{KIND}Name": "search"}, REGION)


def test_a_trial_worse_than_the_median_is_stopped_and_counts_with_its_last_value(still: Plane) -> None:
    limits = {"MaxNumberOfTrainingJobs": 5, "MaxParallelTrainingJobs": 1}
    search = Search(still, asked(TrainingJobEarlyStoppingType="Auto", ResourceLimits=limits))
    for _ in range(3):
        search.step()
        search.ends(search.jobs[-1], 3.0, 2.0, 1.0)
    search.step()
    search.prints(search.jobs[-1], 9.0)
    search.step()
    assert search.status(search.jobs[-1]) == "InProgress"
    search.prints(search.jobs[-1], 9.0)
    search.step()
    assert search.status(search.jobs[3]) == "Stopped"
    search.finish(1.0)
    described = search.describe()
    assert described["TrainingJobStatusCounters"]["Stopped"] == 1
    assert described["ObjectiveStatusCounters"]["Succeeded"] == 5


def test_a_value_as_good_as_the_target_ends_the_job_and_what_runs(still: Plane) -> None:
    search = Search(still, asked(TuningJobCompletionCriteria={"TargetObjectiveMetricValue": 1.0}))
    search.step()
    search.ends(search.jobs[0], 0.5)
    search.step()
    assert search.status(search.jobs[1]) == "Stopped"
    assert search.step()
    assert len(search.jobs) == 2
    assert search.describe()["HyperParameterTuningJobStatus"] == "Completed"


def test_training_jobs_that_all_fail_end_the_job_with_the_first_reason(still: Plane) -> None:
    limits = {"MaxNumberOfTrainingJobs": 50, "MaxParallelTrainingJobs": 1}
    search = Search(still, asked(ResourceLimits=limits))
    for _ in range(5):
        search.step()
        search.ends(search.jobs[-1], status="Failed", reason="ClientError: no such column")
    assert search.step()
    described = search.describe()
    assert described["HyperParameterTuningJobStatus"] == "Failed"
    assert "no such column" in described["FailureReason"]
    assert described["TrainingJobStatusCounters"]["NonRetryableError"] == 5


def test_a_warm_start_counts_its_parents(still: Plane) -> None:
    Search(still, asked("parent")).finish(5.0, 0.25, 7.0)
    warm = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "parent"}],
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }
    limits = {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 1}
    search = Search(still, asked("child", WarmStartConfig=warm, ResourceLimits=limits))
    search.finish(3.0, 2.0)
    described = search.describe()
    assert described["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 2.0
    overall = described["OverallBestTrainingJob"]
    assert overall["TuningJobName"] == "parent"
    assert overall["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 0.25


def test_the_description_shows_what_the_service_has_added(still: Plane) -> None:
    search = Search(still, asked())
    definition = search.describe()["TrainingJobDefinition"]
    assert definition["StaticHyperParameters"]["_tuning_objective_metric"] == METRIC
    assert definition["ResourceConfig"]["InstanceType"] == "ml.m5.large"
    assert METRIC in [item["Name"] for item in definition["AlgorithmSpecification"]["MetricDefinitions"]]


def test_children_are_listed_in_every_order(still: Plane) -> None:
    search = Search(still, asked())
    search.step()
    search.ends(search.jobs[0], 3.0)
    search.step()
    search.ends(search.jobs[1], 1.0)

    def listed(**different: Any) -> list[str]:
        request = {f"{KIND}Name": "search", "MaxResults": 100, **different}
        found = service.training_jobs(still, request, REGION)["TrainingJobSummaries"]
        return [each["TrainingJobName"] for each in found]

    assert listed() == search.jobs
    assert listed(SortOrder="Descending") == search.jobs[::-1]
    assert listed(SortBy="FinalObjectiveMetricValue") == [search.jobs[1], search.jobs[0]]
    assert listed(StatusEquals="InProgress") == [search.jobs[2]]
    first = service.training_jobs(still, {f"{KIND}Name": "search", "MaxResults": 2}, REGION)
    rest = service.training_jobs(still, {f"{KIND}Name": "search", "NextToken": first["NextToken"]}, REGION)
    assert len(first["TrainingJobSummaries"]) == 2
    assert [each["TrainingJobName"] for each in rest["TrainingJobSummaries"]] == search.jobs[2:]


@pytest.mark.parametrize(
    ("different", "words"),
    [
        ({"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "nothing"}}, "nothing"),
        ({"Strategy": "Grid"}, "Grid search takes categorical"),
        ({"ResourceLimits": {"MaxParallelTrainingJobs": 1}}, "would not end"),
        (
            {"ResourceLimits": {"MaxNumberOfTrainingJobs": 9999, "MaxParallelTrainingJobs": 200}},
            "the limit is 100",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(still: Plane, different: dict[str, Any], words: str) -> None:
    with pytest.raises(ApiError, match=words):
        service.create(still, asked(**different), REGION)


def test_an_unknown_parent_and_a_name_that_is_taken_are_refused(still: Plane) -> None:
    service.create(still, asked(), REGION)
    with pytest.raises(ApiError, match="names must be unique"):
        service.create(still, asked(), REGION)
    warm = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "nobody"}],
        "WarmStartType": "TransferLearning",
    }
    with pytest.raises(ApiError, match="nobody"):
        service.create(still, asked("other", WarmStartConfig=warm), REGION)


def test_a_tuning_job_of_k_means_runs_from_its_request_to_its_best_model(
    clients: Clients, bucket: str
) -> None:
    sagemaker, s3 = clients("sagemaker"), clients("s3")
    s3.put_object(Bucket=bucket, Key="rows/a.csv", Body=csv(rows()))
    uri = f"s3://{bucket}/rows"
    channels = [{**channel(name, uri), "ContentType": "text/csv;label_size=0"} for name in ("train", "test")]
    request = asked(
        f"{bucket}-tune"[:32],
        HyperParameterTuningJobObjective={"Type": "Minimize", "MetricName": "test:msd"},
        ParameterRanges={"IntegerParameterRanges": [{"Name": "k", "MinValue": "2", "MaxValue": "5"}]},
        definition={
            "StaticHyperParameters": {"feature_dim": "2", "mini_batch_size": "20"},
            "AlgorithmSpecification": {"TrainingImage": KMEANS, "TrainingInputMode": "File"},
            "InputDataConfig": channels,
            "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/out"},
        },
    )
    sagemaker.create_hyper_parameter_tuning_job(**request)
    name = {"HyperParameterTuningJobName": request["HyperParameterTuningJobName"]}
    done = wait(
        lambda: sagemaker.describe_hyper_parameter_tuning_job(**name),
        ("Completed", "Failed", "Stopped"),
        "HyperParameterTuningJobStatus",
    )
    assert done["HyperParameterTuningJobStatus"] == "Completed", done.get("FailureReason")
    assert done["TrainingJobStatusCounters"]["Completed"] == 3
    best = sagemaker.describe_training_job(TrainingJobName=done["BestTrainingJob"]["TrainingJobName"])
    assert best["TuningJobArn"] == done["HyperParameterTuningJobArn"]
    assert best["ModelArtifacts"]["S3ModelArtifacts"].startswith(f"s3://{bucket}/out/")
    listed = sagemaker.list_hyper_parameter_tuning_jobs(NameContains=name["HyperParameterTuningJobName"])
    (summary,) = listed["HyperParameterTuningJobSummaries"]
    assert summary["Strategy"] == "Random"
    assert summary["TrainingJobStatusCounters"]["Completed"] == 3
    sagemaker.delete_hyper_parameter_tuning_job(**name)
    with pytest.raises(ClientError, match="not found"):
        sagemaker.describe_hyper_parameter_tuning_job(**name)

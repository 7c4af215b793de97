"""CloudWatch's metrics: of training jobs from their logs, of endpoints as counted, and what is put there."""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from optml.local.control.datapoints import TRAINING, Sample, put, samples
from optml.local.control.errors import ApiError

if TYPE_CHECKING:
    from optml.local.control.plane import Plane


def _periods(found: Iterable[Sample], period: int, start: float, end: float) -> dict[float, list[Sample]]:
    groups: dict[float, list[Sample]] = defaultdict(list)
    for sample in found:
        if start <= sample.time < end:
            groups[sample.time // period * period].append(sample)
    return groups


def _statistic(name: str, group: list[Sample]) -> float:
    count = sum(sample.number for sample in group)
    if name == "SampleCount":
        return count
    if name == "Sum":
        return sum(sample.total for sample in group)
    if name == "Minimum":
        return min(sample.low for sample in group)
    if name == "Maximum":
        return max(sample.high for sample in group)
    if name == "Average":
        return sum(sample.total for sample in group) / count if count else math.nan
    raise ApiError("InvalidParameterValue", f"The statistic {name} is not known here.")


def get_metric_statistics(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    dimensions = {each["Name"]: each["Value"] for each in request.get("Dimensions", ())}
    plane.counts.flush()
    found = samples(plane.database, request["Namespace"], request["MetricName"], dimensions)
    points = []
    for when, group in _periods(found, request["Period"], request["StartTime"], request["EndTime"]).items():
        point: dict[str, Any] = {"Timestamp": when, "Unit": group[0].unit}
        for statistic in request.get("Statistics", ()):
            point[statistic] = _statistic(statistic, group)
        points.append(point)
    return {"Label": request["MetricName"], "Datapoints": points}


def get_metric_data(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    plane.counts.flush()
    results = []
    for query in request["MetricDataQueries"]:
        described = query.get("MetricStat")
        if described is None:
            raise ApiError("InvalidParameterValue", "optml does no metric math: give a MetricStat.")
        metric = described["Metric"]
        dimensions = {each["Name"]: each["Value"] for each in metric.get("Dimensions", ())}
        found = samples(plane.database, metric["Namespace"], metric["MetricName"], dimensions)
        groups = _periods(found, described["Period"], request["StartTime"], request["EndTime"])
        times = sorted(groups, reverse=request.get("ScanBy") != "TimestampAscending")
        values = [_statistic(described["Stat"], groups[when]) for when in times]
        results.append(
            {
                "Id": query["Id"],
                "Label": query.get("Label", metric["MetricName"]),
                "Timestamps": times,
                "Values": values,
                "StatusCode": "Complete",
            }
        )
    return {"MetricDataResults": results, "Messages": []}


def list_metrics(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    plane.counts.flush()
    found = [
        (namespace, name, json.loads(dimensions))
        for namespace, name, dimensions in plane.database.rows(
            "SELECT DISTINCT namespace, name, dimensions FROM datapoints ORDER BY 1, 2, 3"
        )
    ]
    found += [
        (TRAINING, name, {"TrainingJobName": job})
        for job, name in plane.database.rows("SELECT DISTINCT job, name FROM metrics ORDER BY 1, 2")
    ]
    wanted = {each["Name"]: each.get("Value") for each in request.get("Dimensions", ())}
    metrics = [
        {
            "Namespace": namespace,
            "MetricName": name,
            "Dimensions": [{"Name": each, "Value": value} for each, value in dimensions.items()],
        }
        for namespace, name, dimensions in found
        if request.get("Namespace", namespace) == namespace
        and request.get("MetricName", name) == name
        and all(
            each in dimensions and (value is None or dimensions[each] == value)
            for each, value in wanted.items()
        )
    ]
    return {"Metrics": metrics}


def put_metric_data(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    for datum in request["MetricData"]:
        dimensions = {each["Name"]: each["Value"] for each in datum.get("Dimensions", ())}
        when, unit = datum.get("Timestamp", time.time()), datum.get("Unit", "None")
        if statistics := datum.get("StatisticValues"):
            count, total = statistics["SampleCount"], statistics["Sum"]
            found = [Sample(when, count, total, statistics["Minimum"], statistics["Maximum"], unit)]
        else:
            values = datum.get("Values") or [datum.get("Value", 0.0)]
            counts = datum.get("Counts") or [1.0] * len(values)
            found = [
                Sample(when, count, value * count, value, value, unit)
                for value, count in zip(values, counts, strict=True)
            ]
        put(plane.database, request["Namespace"], datum["MetricName"], dimensions, found)
    return {}


OPERATIONS = {
    "GetMetricStatistics": get_metric_statistics,
    "GetMetricData": get_metric_data,
    "ListMetrics": list_metrics,
    "PutMetricData": put_metric_data,
}

"""CloudWatch Logs: the log files of jobs and endpoints, as groups and streams."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optml.local.control.arns import ACCOUNT
from optml.local.control.errors import ApiError, validation
from optml.local.control.jobs import logs

if TYPE_CHECKING:
    from optml.local.control.plane import Plane

_JOBS = {"/aws/sagemaker/TrainingJobs": "TrainingJob", "/aws/sagemaker/TransformJobs": "TransformJob"}
_FOLDERS = {"TrainingJob": "training", "TransformJob": "transform"}
_ENDPOINTS = "/aws/sagemaker/Endpoints/"
_MOST = 10_000  # events of an answer, as the service has it


@dataclass(frozen=True, slots=True)
class Stream:
    """A log file under the name that CloudWatch has for it."""

    name: str
    path: Path
    created: float


def streams(plane: Plane, group: str, prefix: str = "") -> Iterator[Stream]:
    """The streams of a group whose names begin with `prefix`. Raises ApiError for no such group."""
    if group.startswith(_ENDPOINTS):
        folder = plane.home.root / "endpoints" / group.removeprefix(_ENDPOINTS) / "log"
        paths = sorted(folder.glob("*/*.log")) if "/" not in group.removeprefix(_ENDPOINTS) else []
        if not paths:
            raise _no_group()
        for path in paths:
            name = f"{path.parent.name}/{path.stem}"
            if name.startswith(prefix):
                yield Stream(name, path, path.stat().st_ctime)
        return
    kind = _JOBS.get(group)
    names = _job_names(plane, kind, prefix) if kind else []
    if not names:
        raise _no_group()
    assert kind is not None
    for job, created in names:
        folder = plane.home.job(_FOLDERS[kind], job)
        for path in sorted((folder / "log").glob("*.log")):
            name = (
                f"{job}/{path.stem}-{int(created)}"
                if kind == "TrainingJob"
                else f"{job}/{path.stem.replace('~', '/')}"
            )
            if name.startswith(prefix):
                yield Stream(name, path, created)


def _job_names(plane: Plane, kind: str, prefix: str) -> list[tuple[str, float]]:
    job, slash, _ = prefix.partition("/")
    condition, values = (
        ("name = ?", (kind, job)) if slash else ("substr(name, 1, ?) = ?", (kind, len(job), job))
    )
    found: list[tuple[str, float]] = plane.database.rows(
        f"SELECT name, created FROM resources WHERE kind = ? AND {condition} ORDER BY name",  # noqa: S608
        values,
    )
    return found


def _no_group() -> ApiError:
    return ApiError("ResourceNotFoundException", "The specified log group does not exist.")


def describe_log_groups(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    names = [group for group in _JOBS if plane.resources.all(_JOBS[group])]
    names += [f"{_ENDPOINTS}{path.parent.name}" for path in sorted(plane.home.root.glob("endpoints/*/log"))]
    prefix = request.get("logGroupNamePrefix", "")
    groups = [
        {
            "logGroupName": name,
            "creationTime": int(plane.started * 1000),
            "arn": f"arn:aws:logs:{region}:{ACCOUNT}:log-group:{name}:*",
            "storedBytes": 0,
        }
        for name in sorted(names)
        if name.startswith(prefix)
    ]
    return _page("logGroups", groups, request)


def describe_log_streams(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    group = _group(request)
    found = list(streams(plane, group, request.get("logStreamNamePrefix", "")))
    described: list[dict[str, Any]] = [
        {
            "logStreamName": stream.name,
            "creationTime": int(stream.created * 1000),
            "firstEventTimestamp": int(stream.created * 1000),
            "lastEventTimestamp": int(stream.path.stat().st_mtime * 1000),
            "lastIngestionTime": int(stream.path.stat().st_mtime * 1000),
            "arn": f"arn:aws:logs:{region}:{ACCOUNT}:log-group:{group}:log-stream:{stream.name}",
        }
        for stream in found
    ]
    by_time = request.get("orderBy") == "LastEventTime"
    described.sort(key=lambda each: each["lastEventTimestamp" if by_time else "logStreamName"])
    if request.get("descending"):
        described.reverse()
    return _page("logStreams", described, request)


def get_log_events(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    """Events from the head, in pages; at the end the token stays the same."""
    name = request["logStreamName"]
    stream = next((s for s in streams(plane, _group(request), name) if s.name == name), None)
    if stream is None:
        raise ApiError("ResourceNotFoundException", "The specified log stream does not exist.")
    most = request.get("limit", _MOST)
    events = [event for event in logs.read(stream.path) if _within(event, request)]
    token = request.get("nextToken")
    if token is not None:
        start = _line(token)
        if token.startswith("b"):
            events = [event for event in events if event.number <= start][-most:]
        else:
            events = [event for event in events if event.number > start][:most]
    elif request.get("startFromHead") or "startTime" in request:
        events = events[:most]
    else:
        events = events[-most:]
    last = events[-1].number if events else _line(token) if token else 0
    first = events[0].number - 1 if events else _line(token) if token else 0
    return {
        "events": [_event(event) for event in events],
        "nextForwardToken": f"f/{last}",
        "nextBackwardToken": f"b/{first}",
    }


def filter_log_events(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    wanted = request.get("logStreamNames")
    pattern = request.get("filterPattern", "").strip().strip('"')
    found = []
    for stream in streams(plane, _group(request), request.get("logStreamNamePrefix", "")):
        if wanted and stream.name not in wanted:
            continue
        for event in logs.read(stream.path):
            if _within(event, request) and pattern in event.text:
                own = {"logStreamName": stream.name, "eventId": f"{stream.name}/{event.number}"}
                found.append({**_event(event), **own})
    found.sort(key=lambda each: each["timestamp"])
    return _page("events", found, {"limit": _MOST, **request})


def _event(event: logs.Event) -> dict[str, Any]:
    stamp = int(event.time * 1000)
    return {"timestamp": stamp, "message": event.text or " ", "ingestionTime": stamp}


def _within(event: logs.Event, request: dict[str, Any]) -> bool:
    stamp = int(event.time * 1000)
    return request.get("startTime", 0) <= stamp and ("endTime" not in request or stamp < request["endTime"])


def _group(request: dict[str, Any]) -> str:
    text = request.get("logGroupName") or request.get("logGroupIdentifier") or ""
    group: str = text.partition(":log-group:")[2].removesuffix(":*") or text
    return group


def _line(token: str) -> int:
    number = token.partition("/")[2]
    if not number.isdigit():
        raise ApiError("InvalidParameterException", "The specified nextToken is invalid.")
    return int(number)


def _page(name: str, found: list[dict[str, Any]], request: dict[str, Any]) -> dict[str, Any]:
    """One page of a list, and the token of the next."""
    start = decode_token(request.get("nextToken"))
    end = start + request.get("limit", 50)
    answer: dict[str, Any] = {name: found[start:end]}
    if end < len(found):
        answer["nextToken"] = encode_token(end)
    return answer


def encode_token(position: int) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def decode_token(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(json.loads(base64.urlsafe_b64decode(token)))
    except (ValueError, TypeError):
        raise validation("Invalid pagination token.") from None


OPERATIONS = {
    "DescribeLogGroups": describe_log_groups,
    "DescribeLogStreams": describe_log_streams,
    "GetLogEvents": get_log_events,
    "FilterLogEvents": filter_log_events,
}

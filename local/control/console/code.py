"""Code for people to take away: the same job again, the same request from a shell."""

from __future__ import annotations

import pprint
from typing import Any

from optml.formats.content_type import CSV


def training_job(request: dict[str, Any]) -> str:
    """boto3 code that asks for a job once more, under a new name."""
    again = {**request, "TrainingJobName": request["TrainingJobName"][:50] + "-again"}
    shown = pprint.pformat(again, width=100, sort_dicts=False)
    return f'import boto3\n\nboto3.client("sagemaker").create_training_job(**{shown})\n'


def invocation(url: str, endpoint: str) -> list[tuple[str, str]]:
    """(title, code) of the ways to ask an endpoint."""
    curl = (
        f"curl -H 'Content-Type: text/csv' -H 'Accept: application/json' --data-binary @rows.csv \\\n"
        f"  {url}/endpoints/{endpoint}/invocations\n"
    )
    boto3 = (
        "import boto3\n\n"
        'answer = boto3.client("sagemaker-runtime").invoke_endpoint(\n'
        f'    EndpointName="{endpoint}", ContentType="{CSV}", Body=open("rows.csv", "rb")\n'
        ')\nprint(answer["Body"].read().decode())\n'
    )
    return [("curl", curl), ("boto3", boto3)]

"""One transform job, from its request to its outputs in S3."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from typing import TYPE_CHECKING, Any

from optml.errors import UserError
from optml.local.control.endpoints import containers
from optml.local.control.errors import ApiError
from optml.local.control.jobs import artifacts, channels
from optml.local.control.jobs.supervised import Supervised, VanishedError
from optml.local.control.resources import Resource
from optml.local.control.s3.objects import split

if TYPE_CHECKING:
    from optml.local.control.context import Context

log = logging.getLogger(__name__)

KIND = "TransformJob"
_POLL = 0.1  # seconds
_MAX_REASON = 1024


class TransformRun:
    """What the control plane does about one job; see `TrainingRun`."""

    def __init__(self, context: Context, job: Resource) -> None:
        self._context = context
        self._name = job.name
        self._request = job.request
        self._model: dict[str, Any] = job.state["Model"]
        self._folder = context.home.job("transform", job.name)
        self._supervised = Supervised(self._folder, "optml.local.control.jobs.transformer")

    @property
    def started(self) -> bool:
        return self._supervised.started

    def run(self, closing: threading.Event) -> None:
        try:
            if not self.started and not self._start():
                return
            while (outcome := self._supervised.outcome()) is None:
                if closing.wait(_POLL):
                    return
            self._finish(outcome)
        except (UserError, ApiError) as error:
            self._end("Failed", f"ClientError: {error}")
        except VanishedError as error:
            self._end("Failed", f"InternalServerError: {error}")
        except Exception as error:
            log.exception("transform job %s", self._name)
            self._end("Failed", f"InternalServerError: {type(error).__name__}: {error}")

    def stop(self) -> None:
        self._supervised.stop()

    def _start(self) -> bool:
        """False: the job was stopped before."""
        resources = self._context.resources
        if not resources.update(KIND, self._name, only_from=("InProgress",), TransformStartTime=time.time()):
            self._end("Stopped", None)
            return False
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in ("input", "output", "models"):  # of a start that was killed
            shutil.rmtree(self._folder / leftover, ignore_errors=True)
        self._context.s3.bucket(split(self._request["TransformOutput"]["S3OutputPath"])[0])
        source = self._request["TransformInput"]["DataSource"]["S3DataSource"]
        channels.lay_out(source, self._folder / "input", self._context.s3)
        chain = containers.prepare(self._model, self._folder / "models", self._context, {})
        if any(container.models for container in chain.containers):
            raise UserError(
                "a multi-model container cannot do a transform job: create a model of one artifact"
            )
        servers = [
            {
                "model": str(container.serving.model) if container.serving.model else None,
                "docker": container.serving.docker,
                "environment": dict(container.serving.environment),
            }
            for container in chain.containers
        ]
        spec = {
            "servers": servers,
            "settings": _settings(self._request),
            "environment": {"SAGEMAKER_BATCH": "true", **self._request.get("Environment", {})},
        }
        self._supervised.start(spec)
        return True

    def _finish(self, outcome: dict[str, Any]) -> None:
        uri = self._request["TransformOutput"]["S3OutputPath"]
        files = artifacts.files(self._folder / "output")
        whole = {name: path for name, path in files.items() if name.endswith(".out")}
        if not outcome["stopped"]:
            artifacts.put_files(whole.items(), uri, self._context.s3)
        if outcome["stopped"]:
            self._end("Stopped", None)
        elif outcome["code"]:
            self._end("Failed", outcome["failure"] or "InternalServerError: the transform has failed")
        else:
            self._end("Completed", None)
        for folder in ("input", "output", "models"):
            shutil.rmtree(self._folder / folder, ignore_errors=True)

    def _end(self, status: str, reason: str | None) -> None:
        self._context.resources.update(
            KIND,
            self._name,
            status,
            only_from=("InProgress", "Stopping"),
            TransformEndTime=time.time(),
            FailureReason=reason[:_MAX_REASON] if reason else None,
        )


def _settings(request: dict[str, Any]) -> dict[str, Any]:
    """The request as `optml.local.transform.job.TransformSettings` has it."""
    source, output = request["TransformInput"], request["TransformOutput"]
    processing, client = request.get("DataProcessing") or {}, request.get("ModelClientConfig") or {}
    return {
        "content_type": source.get("ContentType"),
        "accept": output.get("Accept"),
        "split_type": source.get("SplitType") or "None",
        "assemble_with": output.get("AssembleWith") or "None",
        "batch_strategy": request.get("BatchStrategy"),
        "max_payload_mb": request.get("MaxPayloadInMB"),
        "max_concurrent_transforms": request.get("MaxConcurrentTransforms"),
        "input_filter": processing.get("InputFilter") or "$",
        "output_filter": processing.get("OutputFilter") or "$",
        "join_source": processing.get("JoinSource") or "None",
        "invocations_timeout": float(client.get("InvocationsTimeoutInSeconds", 600)),
        "invocations_retries": client.get("InvocationsMaxRetries", 3),
    }

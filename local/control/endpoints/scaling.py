"""Target tracking: as many instances of a variant as its invocations need, between its limits."""

from __future__ import annotations

import logging
import math
import re
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from optml import cpus
from optml.local.control.endpoints.counts import Counts
from optml.local.control.endpoints.manager import Manager
from optml.local.control.errors import ApiError

if TYPE_CHECKING:
    from optml.local.control.context import Context

log = logging.getLogger(__name__)

DIMENSION = "sagemaker:variant:DesiredInstanceCount"
_VARIANT = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")
_LOOK_SECONDS = 10.0
_WINDOW = 60.0  # seconds: the predefined metric counts invocations of an instance in a minute
_METRIC = "SageMakerVariantInvocationsPerInstance"
_COOLDOWN = 300.0  # seconds, where the policy names none


class Scaling:
    """Looks at the policies every few seconds."""

    def __init__(self, context: Context, endpoints: Manager, counts: Counts) -> None:
        self._context = context
        self._endpoints = endpoints
        self._counts = counts
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="scaling", daemon=True)
        self._changed: dict[str, float] = {}  # resource -> when it was scaled last
        self._activities: list[dict[str, Any]] = []

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def activities(self, resource: str | None) -> list[dict[str, Any]]:
        """What was done, the latest first."""
        return [each for each in reversed(self._activities) if resource in (None, each["ResourceId"])]

    def look(self) -> None:
        """Follow every policy once."""
        for policy in self._context.resources.all("ScalingPolicy"):
            target = self._context.resources.get("ScalableTarget", policy.request["ResourceId"])
            if target is not None:
                self._follow(policy.request, target.request)

    def _loop(self) -> None:
        while not self._closing.wait(_LOOK_SECONDS):
            try:
                self.look()
            except Exception:
                log.exception("autoscaling")

    def _follow(self, policy: dict[str, Any], target: dict[str, Any]) -> None:
        tracking = policy.get("TargetTrackingScalingPolicyConfiguration")
        metric = ((tracking or {}).get("PredefinedMetricSpecification") or {}).get("PredefinedMetricType")
        endpoint, name = variant_of(policy["ResourceId"])
        deployment = self._endpoints.deployment(endpoint)
        if not tracking or metric != _METRIC or deployment is None:
            return
        variant = deployment.choose(name)
        if variant is None or variant.serverless:
            return
        count = len(variant.instances)
        calls = self._counts.invocations(endpoint, name, _WINDOW)
        wanted = wanted_instances(calls, tracking["TargetValue"], target)
        out = wanted > count
        pause = tracking.get("ScaleOutCooldown" if out else "ScaleInCooldown", _COOLDOWN)
        since = time.monotonic() - self._changed.get(policy["ResourceId"], -math.inf)
        if wanted == count or since < pause or (not out and tracking.get("DisableScaleIn")):
            return
        begun = time.time()
        if self._endpoints.resize(variant, wanted):
            self._changed[policy["ResourceId"]] = time.monotonic()
            self._activities.append(
                {
                    "ActivityId": str(uuid.uuid4()),
                    "ServiceNamespace": "sagemaker",
                    "ResourceId": policy["ResourceId"],
                    "ScalableDimension": DIMENSION,
                    "Description": f"Setting desired instance count to {wanted}.",
                    "Cause": f"{calls:g} invocations in the last minute, target {tracking['TargetValue']:g}",
                    "StartTime": begun,
                    "EndTime": time.time(),
                    "StatusCode": "Successful",
                }
            )


def variant_of(resource: str) -> tuple[str, str]:
    """(endpoint, variant) of a resource's id. Raises ApiError."""
    match = _VARIANT.fullmatch(resource)
    if match is None:
        raise ApiError("ValidationException", f"ResourceId {resource}: expected endpoint/NAME/variant/NAME.")
    return match[1], match[2]


def wanted_instances(calls: float, target: float, limits: dict[str, Any]) -> int:
    """So many that each has at most `target` calls in a minute, within the limits and the processors."""
    low, high = int(limits.get("MinCapacity", 1)), int(limits.get("MaxCapacity", 1))
    return max(low, min(high, max(cpus.count(), low), math.ceil(calls / target)))

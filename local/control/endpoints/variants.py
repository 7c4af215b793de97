"""Production variants: instances of a chain of servers, and which of them takes the next request."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optml.local.control.endpoints.client import Pool
from optml.local.control.endpoints.containers import Chain, Container
from optml.local.control.endpoints.server import Server

DRAIN_SECONDS = 120.0


@dataclass
class Stage:
    """One container of an instance. loaded: names of models that a server of many has, by the order of their
    use; their loading under way."""

    container: Container
    server: Server
    pool: Pool
    loaded: dict[str, Any] = field(default_factory=dict)


class Instance:
    """What ml.m5.large is on AWS: one server for each container of the chain."""

    def __init__(self, chain: Chain, log: Path) -> None:
        self.name = f"i-{uuid.uuid4().hex[:17]}"
        self.busy = 0  # requests under way; touched by the event loop alone
        self.used = time.monotonic()
        self.stages: list[Stage] = []
        for container in chain.containers:
            several = f"-{container.hostname}" if len(chain.containers) > 1 else ""
            server = Server(container.serving, log / f"{self.name}{several}.log")
            self.stages.append(Stage(container, server, Pool(server.port)))

    def ready(self, cancelled: threading.Event) -> bool:
        return all(stage.server.ready(cancelled) for stage in self.stages)

    @property
    def alive(self) -> bool:
        return all(stage.server.alive for stage in self.stages)

    def stop(self) -> None:
        """Wait for the requests under way, then end the servers. Nobody may be sent here any more."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while self.busy and time.monotonic() < deadline:
            time.sleep(0.02)
        for stage in self.stages:
            stage.server.stop()


class Variant:
    """One variant of a deployment. `config`: of the endpoint configuration; `folder`: of its models."""

    def __init__(self, config: dict[str, Any], chain: Chain, folder: Path, log: Path) -> None:
        self.folder = folder
        self.name: str = config["VariantName"]
        self.config = config
        self.chain = chain
        self.log = log / self.name
        self.weight = float(config.get("InitialVariantWeight", 1.0))
        self.serverless: dict[str, Any] | None = config.get("ServerlessConfig")
        self.wanted = 1 if self.serverless else int(config.get("InitialInstanceCount", 1))
        self.instances: list[Instance] = []
        self.lock = threading.Lock()  # of who starts or stops instances

    def start(self, count: int, cancelled: threading.Event) -> list[Instance]:
        """New instances, ready; none at all where one does not get ready."""
        started = [Instance(self.chain, self.log) for _ in range(count)]
        if all(instance.ready(cancelled) for instance in started):
            return started
        for instance in started:
            instance.stop()
        return []

    def choose(self) -> Instance | None:
        """The instance with the fewest requests under way."""
        alive = [instance for instance in self.instances if instance.alive]
        return min(alive, key=lambda instance: instance.busy, default=None)


@dataclass
class Deployment:
    """What an endpoint is at a time."""

    config_name: str
    config: dict[str, Any]
    variants: list[Variant]

    def choose(self, target: str | None) -> Variant | None:
        """The variant that is asked for, or one drawn by the weights."""
        if target is not None:
            return next((variant for variant in self.variants if variant.name == target), None)
        weights = [variant.weight for variant in self.variants]
        if not sum(weights):
            return self.variants[0]
        return random.choices(self.variants, weights)[0]  # noqa: S311

    def summaries(self) -> list[dict[str, Any]]:
        """As DescribeEndpoint has its variants."""
        return [_summary(variant) for variant in self.variants]


def _summary(variant: Variant) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "VariantName": variant.name,
        "CurrentWeight": variant.weight,
        "DesiredWeight": variant.weight,
        "DeployedImages": [
            {"SpecifiedImage": container.serving.docker or "optml"} for container in variant.chain.containers
        ],
    }
    if variant.serverless:
        return summary | {"CurrentServerlessConfig": variant.serverless}
    count = len(variant.instances)
    return summary | {"CurrentInstanceCount": count, "DesiredInstanceCount": variant.wanted}


def stop_all(instances: Sequence[Instance]) -> None:
    """Stop instances side by side."""
    threads = [threading.Thread(target=instance.stop) for instance in instances]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

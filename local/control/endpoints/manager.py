"""The endpoints of this machine: created, changed, ended, and started again with the control plane."""

from __future__ import annotations

import logging
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from optml import cpus
from optml.errors import UserError
from optml.local.control.endpoints import containers
from optml.local.control.endpoints.variants import Deployment, Instance, Variant, stop_all
from optml.local.control.routing import REGION

if TYPE_CHECKING:
    from optml.local.control.context import Context

log = logging.getLogger(__name__)

IDLE_SECONDS = 300.0  # after which a serverless variant has no server any more
_LOOK_SECONDS = 2.0  # between looks at the instances: dead ones are replaced, idle serverless ones end


class Manager:
    """Deployments by the names of their endpoints. All changes to what takes requests are made on the event
    loop, so that a request never meets an instance that is being stopped."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._deployments: dict[str, Deployment] = {}
        self._cancels: dict[str, threading.Event] = {}  # of what is being started
        self._threads: set[threading.Thread] = set()
        self._closing = threading.Event()

    def start(self) -> None:
        """Start the endpoints that there were."""
        for left in (self._context.home.root / "endpoints").glob("*/models"):
            shutil.rmtree(left, ignore_errors=True)
        for endpoint in self._context.resources.of_status("Endpoint", "Creating", "Updating", "InService"):
            self.deploy(endpoint.name, endpoint.state)
        for endpoint in self._context.resources.of_status("Endpoint", "Deleting"):
            self._context.resources.delete("Endpoint", endpoint.name)
        self._spawn(self._look_after)

    def close(self) -> None:
        self._closing.set()
        for event in self._cancels.values():
            event.set()
        for thread in list(self._threads):
            thread.join()
        stop_all([i for d in self._deployments.values() for v in d.variants for i in v.instances])

    def deployment(self, name: str) -> Deployment | None:
        return self._deployments.get(name)

    def deploy(self, name: str, wanted: Mapping[str, Any]) -> None:
        """Begin to bring an endpoint to a configuration, as `hosting.snapshot` has it; what it is now serves
        on meanwhile."""
        cancelled = threading.Event()
        self._cancels[name] = cancelled
        self._spawn(lambda: self._deploy(name, wanted, cancelled))

    def delete(self, name: str) -> None:
        """End an endpoint; its name is free at once."""
        if (event := self._cancels.pop(name, None)) is not None:
            event.set()
        deployment = self._deployments.pop(name, None)
        if deployment is not None:
            instances = self._context.in_loop(lambda: _taken(deployment))
            self._spawn(lambda: self._end(deployment, instances))

    def scale(self, name: str, changes: dict[str, dict[str, Any]]) -> None:
        """Begin to give variants other weights and numbers of instances."""
        self._spawn(lambda: self._scale(name, changes))

    def wake(self, variant: Variant) -> Instance | None:
        """An instance of a serverless variant, started if there is none. Blocks."""
        with variant.lock:
            if (there := variant.choose()) is not None:
                return there
            self._add(variant, variant.start(1, self._closing))
            return variant.choose()

    # On threads

    def _deploy(self, name: str, wanted: Mapping[str, Any], cancelled: threading.Event) -> None:
        resources = self._context.resources
        new: Deployment | None = None
        try:
            new = self._build(name, wanted)
            for variant in new.variants:
                variant.instances = variant.start(variant.wanted, cancelled)
                if not variant.instances:
                    container = "primary container" if len(variant.chain.containers) == 1 else "container"
                    raise UserError(
                        f"The {container} for production variant {variant.name} did not pass the ping health"
                        " check. Please check CloudWatch logs for this endpoint."
                    )
        except UserError as error:
            self._discard(new)
            if not cancelled.is_set():
                old = self._deployments.get(name)
                resources.update("Endpoint", name, "InService" if old else "Failed", FailureReason=str(error))
            return
        except Exception as error:
            log.exception("endpoint %s", name)
            self._discard(new)
            reason = f"InternalServerError: {type(error).__name__}: {error}"
            resources.update("Endpoint", name, "Failed", FailureReason=reason)
            return
        self._swap(name, wanted, new, cancelled)

    def _swap(
        self, name: str, wanted: Mapping[str, Any], new: Deployment, cancelled: threading.Event
    ) -> None:
        """Send requests to the new instances from now on; the old ones end once they have answered."""

        def swap() -> tuple[Deployment | None, list[Instance]]:
            old = self._deployments.get(name)
            self._deployments[name] = new
            return old, _taken(old) if old else []

        if cancelled.is_set():
            self._discard(new)
            return
        old, instances = self._context.in_loop(swap)
        self._context.resources.update(
            "Endpoint",
            name,
            "InService",
            only_from=("Creating", "Updating", "InService"),
            EndpointConfigName=wanted["EndpointConfigName"],
            Config=wanted["Config"],
            Models=wanted["Models"],
            ProductionVariants=new.summaries(),
            FailureReason=None,
        )
        self._end(old, instances)

    def _build(self, name: str, wanted: Mapping[str, Any]) -> Deployment:
        described = wanted["Config"]["ProductionVariants"]
        total = sum(int(variant.get("InitialInstanceCount", 1)) for variant in described)
        environment = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
        if total > 1:  # they share the processors
            environment["SAGEMAKER_MODEL_SERVER_WORKERS"] = str(max(1, cpus.count() // total))
        folder = self._context.home.endpoint(name)
        variants = []
        for variant in described:
            place = folder / "models" / f"{variant['VariantName']}-{uuid.uuid4().hex[:8]}"
            model = wanted["Models"][variant["ModelName"]]
            chain = containers.prepare(model, place, self._context, environment)
            variants.append(Variant(variant, chain, place, folder / "log"))
        return Deployment(wanted["EndpointConfigName"], wanted["Config"], variants)

    def _scale(self, name: str, changes: dict[str, dict[str, Any]]) -> None:
        deployment = self._deployments.get(name)
        if deployment is None:
            return
        failure = None
        for variant in deployment.variants:
            change = changes.get(variant.name, {})
            if "DesiredWeight" in change:
                variant.weight = float(change["DesiredWeight"])
            if "DesiredInstanceCount" in change and not self.resize(variant, change["DesiredInstanceCount"]):
                failure = f"production variant {variant.name} did not pass the ping health check"
        self._context.resources.update(
            "Endpoint",
            name,
            "InService",
            only_from=("Updating", "InService"),
            ProductionVariants=deployment.summaries(),
            FailureReason=failure,
        )

    def resize(self, variant: Variant, count: int) -> bool:
        """Bring a variant to so many instances; False: new ones did not get ready. Blocks."""
        with variant.lock:
            more = count - len(variant.instances)
            if more > 0:
                started = variant.start(more, self._closing)
                if not started:
                    return False
                self._add(variant, started)
            elif more < 0:
                stop_all(self._context.in_loop(lambda: _popped(variant, -more)))
            variant.wanted = count
        return True

    def _add(self, variant: Variant, instances: list[Instance]) -> None:
        self._context.in_loop(lambda: variant.instances.extend(instances))

    def _look_after(self) -> None:
        """Replace instances whose server has died; end those of serverless variants that nobody needs."""
        while not self._closing.wait(_LOOK_SECONDS):
            for variant in [v for d in list(self._deployments.values()) for v in d.variants]:
                with variant.lock:
                    dead = self._context.in_loop(partial(_idle_or_dead, variant))
                    stop_all(dead)
                    if dead and not variant.serverless:
                        log.error(
                            "variant %s: %d instances have ended; starting others", variant.name, len(dead)
                        )
                        self._add(variant, variant.start(len(dead), self._closing))

    def _discard(self, deployment: Deployment | None) -> None:
        """Of a deployment that never took requests."""
        if deployment is not None:
            self._end(deployment, _taken(deployment))

    def _end(self, deployment: Deployment | None, instances: list[Instance]) -> None:
        stop_all(instances)
        for variant in deployment.variants if deployment else ():
            shutil.rmtree(variant.folder, ignore_errors=True)

    def _spawn(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except Exception:
                log.exception("endpoints")
            finally:
                self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=run, name="endpoint", daemon=True)
        self._threads.add(thread)
        thread.start()


def _taken(deployment: Deployment) -> list[Instance]:
    instances = [instance for variant in deployment.variants for instance in variant.instances]
    for variant in deployment.variants:
        variant.instances = []
    return instances


def _popped(variant: Variant, count: int) -> list[Instance]:
    popped, variant.instances = variant.instances[-count:], variant.instances[:-count]
    return popped


def _idle_or_dead(variant: Variant) -> list[Instance]:
    def over(instance: Instance) -> bool:
        idle = variant.serverless and not instance.busy
        return not instance.alive or bool(idle and time.monotonic() - instance.used > IDLE_SECONDS)

    gone = [instance for instance in variant.instances if over(instance)]
    variant.instances = [instance for instance in variant.instances if instance not in gone]
    return gone

"""Models, endpoint configurations and endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optml.local.control import arns
from optml.local.control.errors import validation
from optml.local.control.resources import AlreadyThereError, Resource
from optml.local.control.services import named

if TYPE_CHECKING:
    from optml.local.control.plane import Plane

_WORDS = {"Model": "model", "EndpointConfig": "endpoint configuration", "Endpoint": "endpoint"}
_TAKEN = {"Model": "model", "EndpointConfig": "endpoint-configuration", "Endpoint": "endpoint"}


def _get(plane: Plane, kind: str, name: str, region: str) -> Resource:
    found = plane.resources.get(kind, name)
    if found is None:
        raise validation(f'Could not find {_WORDS[kind]} "{arns.arn(kind, name, region)}".')
    return found


def _create(plane: Plane, kind: str, request: dict[str, Any], region: str, **state: Any) -> Resource:
    status = "Creating" if kind == "Endpoint" else ""
    try:
        return plane.resources.create(kind, request[f"{kind}Name"], region, request, status, **state)
    except AlreadyThereError as error:
        raise validation(f'Cannot create already existing {_TAKEN[kind]} "{error.resource.arn}".') from None


def create_model(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    if not request.get("PrimaryContainer") and not request.get("Containers"):
        raise validation("Either PrimaryContainer or Containers must be given.")
    return {"ModelArn": _create(plane, "Model", request, region).arn}


def describe_model(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    return {
        "EnableNetworkIsolation": False,
        **named.description(_get(plane, "Model", request["ModelName"], region)),
    }


def delete_model(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    plane.resources.delete("Model", _get(plane, "Model", request["ModelName"], region).name)
    return {}


def create_config(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    for variant in request["ProductionVariants"]:
        if not variant.get("ModelName"):
            raise validation(
                f"Variant {variant['VariantName']} names no model: optml has no inference components."
            )
        _get(plane, "Model", variant["ModelName"], region)
        if not variant.get("ServerlessConfig") and not variant.get("InitialInstanceCount"):
            raise validation(
                f"Variant {variant['VariantName']} needs InitialInstanceCount or ServerlessConfig."
            )
    return {"EndpointConfigArn": _create(plane, "EndpointConfig", request, region).arn}


def describe_config(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    return named.description(_get(plane, "EndpointConfig", request["EndpointConfigName"], region))


def delete_config(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    config = _get(plane, "EndpointConfig", request["EndpointConfigName"], region)
    plane.resources.delete("EndpointConfig", config.name)
    return {}


def snapshot(plane: Plane, config: Resource) -> dict[str, Any]:
    """A configuration and its models, as they are: an endpoint needs them when both are deleted."""
    names = {variant["ModelName"] for variant in config.request["ProductionVariants"]}
    models = {name: _get(plane, "Model", name, config.arn.split(":")[3]).request for name in names}
    return {"EndpointConfigName": config.name, "Config": config.request, "Models": models}


def create_endpoint(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    config = _get(plane, "EndpointConfig", request["EndpointConfigName"], region)
    wanted = snapshot(plane, config)
    endpoint = _create(plane, "Endpoint", request, region, **wanted)
    plane.endpoints.deploy(endpoint.name, wanted)
    return {"EndpointArn": endpoint.arn}


def describe_endpoint(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    endpoint = _get(plane, "Endpoint", request["EndpointName"], region)
    found = named.description(endpoint)
    deployment = plane.endpoints.deployment(endpoint.name)
    if deployment is not None:
        found["ProductionVariants"] = deployment.summaries()
        config = deployment.config
        if capture := config.get("DataCaptureConfig"):
            found["DataCaptureConfig"] = {
                "EnableCapture": bool(capture.get("EnableCapture")),
                "CaptureStatus": "Started" if capture.get("EnableCapture") else "Stopped",
                "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
                "DestinationS3Uri": capture["DestinationS3Uri"],
                "KmsKeyId": capture.get("KmsKeyId", ""),
            }
        found["AsyncInferenceConfig"] = config.get("AsyncInferenceConfig")
    return found


def update_endpoint(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    endpoint = _get(plane, "Endpoint", request["EndpointName"], region)
    config = _get(plane, "EndpointConfig", request["EndpointConfigName"], region)
    wanted = snapshot(plane, config)
    _updating(plane, endpoint, ("InService", "Failed"))
    plane.endpoints.deploy(endpoint.name, wanted)
    return {"EndpointArn": endpoint.arn}


def update_weights(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    endpoint = _get(plane, "Endpoint", request["EndpointName"], region)
    deployment = plane.endpoints.deployment(endpoint.name)
    changes = {change["VariantName"]: change for change in request["DesiredWeightsAndCapacities"]}
    known = {variant.name for variant in deployment.variants} if deployment else set()
    for name in changes:
        if name not in known:
            raise validation(f"Variant {name} of endpoint {endpoint.name} not found.")
    _updating(plane, endpoint, ("InService",))
    plane.endpoints.scale(endpoint.name, changes)
    return {"EndpointArn": endpoint.arn}


def _updating(plane: Plane, endpoint: Resource, allowed: tuple[str, ...]) -> None:
    if plane.resources.update("Endpoint", endpoint.name, "Updating", only_from=allowed) is None:
        raise validation(f'Cannot update in-progress endpoint "{endpoint.arn}".')


def delete_endpoint(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    endpoint = _get(plane, "Endpoint", request["EndpointName"], region)
    plane.resources.delete("Endpoint", endpoint.name)
    plane.endpoints.delete(endpoint.name)
    return {}


OPERATIONS = {
    "CreateModel": create_model,
    "DescribeModel": describe_model,
    "ListModels": named.listing("Model"),
    "DeleteModel": delete_model,
    "CreateEndpointConfig": create_config,
    "DescribeEndpointConfig": describe_config,
    "ListEndpointConfigs": named.listing("EndpointConfig"),
    "DeleteEndpointConfig": delete_config,
    "CreateEndpoint": create_endpoint,
    "DescribeEndpoint": describe_endpoint,
    "ListEndpoints": named.listing("Endpoint"),
    "UpdateEndpoint": update_endpoint,
    "UpdateEndpointWeightsAndCapacities": update_weights,
    "DeleteEndpoint": delete_endpoint,
}

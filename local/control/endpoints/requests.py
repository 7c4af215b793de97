"""What an invocation asks for, and the errors that it may get."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from optml.local.control.arns import ACCOUNT
from optml.local.control.errors import ApiError

MAX_MESSAGE = 2048  # characters of a container's message in an error

# What of the client's headers a container gets, by the name that it gets it under.
PASSED = {
    b"content-type": b"Content-Type",
    b"accept": b"Accept",
    b"x-amzn-sagemaker-custom-attributes": b"X-Amzn-SageMaker-Custom-Attributes",
    b"x-amzn-sagemaker-target-model": b"X-Amzn-SageMaker-Target-Model",
    b"x-amzn-sagemaker-target-variant": b"X-Amzn-SageMaker-Target-Variant",
    b"x-amzn-sagemaker-target-container-hostname": b"X-Amzn-SageMaker-Target-Container-Hostname",
    b"x-amzn-sagemaker-inference-id": b"X-Amzn-SageMaker-Inference-Id",
    b"x-amzn-sagemaker-session-id": b"X-Amzn-SageMaker-Session-Id",
}


@dataclass(slots=True)
class Invocation:
    """headers: the client's, names in lower case.   body: all of it, or its pieces with their `length`."""

    endpoint: str
    headers: dict[bytes, bytes]
    body: bytes | AsyncIterator[bytes]
    length: int

    def header(self, name: str) -> str | None:
        value = self.headers.get(name.encode())
        return value.decode("latin-1") if value is not None else None

    def passed(self) -> list[tuple[bytes, bytes]]:
        passed = [(name, self.headers[own]) for own, name in PASSED.items() if own in self.headers]
        if not isinstance(self.body, bytes):
            passed.append((b"Content-Length", str(self.length).encode()))
        return passed


def unknown(endpoint: str) -> ApiError:
    return ApiError("ValidationError", f"Endpoint {endpoint} of account {ACCOUNT} not found.")


def not_in_service(endpoint: str, status: str) -> ApiError:
    return ApiError(
        "ValidationError",
        f"Endpoint {endpoint} of account {ACCOUNT} is not InService: it is {status}. Try again once it is.",
    )


def model_error(status: int, message: str, container: str, log: str, group: str) -> ApiError:
    """What the service makes of an answer other than 2xx; status 0: there was none."""
    kind = "client" if 400 <= status < 500 else "server"
    text = (
        f'Received {kind} error ({status}) from {container} with message "{message[:MAX_MESSAGE]}". '
        f"See {log} for more information."
    )
    return ApiError(
        "ModelError",
        text,
        424,
        OriginalStatusCode=status,
        OriginalMessage=message[:MAX_MESSAGE],
        LogStreamArn=f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{group}",
    )

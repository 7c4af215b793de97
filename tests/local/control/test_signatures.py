"""`--verify`: only what is signed with the key is answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from botocore.exceptions import ClientError

from optml.errors import UserError
from optml.local.control.context import Options
from optml.local.control.home import Home
from optml.local.control.plane import Plane
from optml.local.control.server import serve
from tests.local.control.conftest import client, running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with running(tmp_path_factory.mktemp("guarded"), verify=("me", "secret")) as plane:
        yield plane


def test_signed_requests_of_every_kind_are_answered(guarded: Plane) -> None:
    s3 = client(guarded, "s3", key="me", secret="secret")
    s3.create_bucket(Bucket="bkt")
    for key in ("plain", "é +%2F//..x", "a b?c"):
        s3.put_object(Bucket="bkt", Key=key, Body=b"1" * 70_000)
        assert len(s3.get_object(Bucket="bkt", Key=key)["Body"].read()) == 70_000
    url = s3.generate_presigned_url("get_object", {"Bucket": "bkt", "Key": "a b?c"})
    assert requests.get(url, timeout=10).status_code == 200
    assert requests.get(url.replace("Signature=", "Signature=0"), timeout=10).status_code == 403
    assert client(guarded, "sts", key="me", secret="secret").get_caller_identity()["Account"]
    assert client(guarded, "sagemaker", key="me", secret="secret").list_models()["Models"] == []


@pytest.mark.parametrize("service", ["s3", "sagemaker", "sts", "sagemaker-runtime"])
def test_other_keys_are_refused(guarded: Plane, service: str) -> None:
    calls = {
        "s3": lambda c: c.put_object(Bucket="bkt", Key="k", Body=b"1"),
        "sagemaker": lambda c: c.list_models(),
        "sts": lambda c: c.get_caller_identity(),
        "sagemaker-runtime": lambda c: c.invoke_endpoint(EndpointName="x", Body=b"1"),
    }
    for key, secret in (("me", "wrong"), ("other", "secret")):
        with pytest.raises(ClientError) as error:
            calls[service](client(guarded, service, key=key, secret=secret))
        assert error.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


def test_a_body_other_than_the_signed_one_is_refused(guarded: Plane) -> None:
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    client(guarded, "s3", key="me", secret="secret").create_bucket(Bucket="bkt")
    signed = AWSRequest("PUT", f"{guarded.url}/bkt/forged", {}, b"signed")
    S3SigV4Auth(Credentials("me", "secret"), "s3", "us-east-1").add_auth(signed)
    for body, status in ((b"signed", 200), (b"forged", 400)):
        assert requests.put(signed.url, body, headers=dict(signed.headers), timeout=10).status_code == status
    assert requests.put(signed.url, b"bare", timeout=10).status_code == 403


def test_another_host_needs_a_key(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs --verify"):
        serve(Home(tmp_path), Options(host="0.0.0.0"), lambda url: None)

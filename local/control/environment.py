"""What a user's programs need in their environment to talk to the control plane, and the files behind it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from optml.errors import UserError
from optml.local.control.arns import ACCOUNT
from optml.local.control.home import Home
from optml.local.control.routing import REGION

# SDKs build their STS client with an address of AWS's: the one thing that AWS_ENDPOINT_URL does not reach.
SITE = '''\
"""Sends clients with an address of AWS's to AWS_ENDPOINT_URL; then runs the sitecustomize that it hides."""

import importlib.abc
import importlib.machinery
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


class Patch(importlib.abc.MetaPathFinder):
    """Waits for botocore.client to be imported, so that programs without it lose no time."""

    def find_spec(self, name, path=None, target=None):
        if name != "botocore.client":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None:
            return None
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            create = module.ClientCreator.create_client

            def create_client(
                self, service_name, region_name, is_secure=True, endpoint_url=None, *args, **kwargs
            ):
                own = os.environ.get("AWS_ENDPOINT_URL")
                if own and endpoint_url and endpoint_url.rstrip("/").endswith(".amazonaws.com"):
                    endpoint_url = own
                return create(self, service_name, region_name, is_secure, endpoint_url, *args, **kwargs)

            module.ClientCreator.create_client = create_client

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Patch())

others = [folder for folder in sys.path if os.path.abspath(folder or ".") != HERE]
hidden = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
if hidden is not None and hidden.loader is not None:
    import importlib.util

    hidden.loader.exec_module(importlib.util.module_from_spec(hidden))
'''


def exports(home: Home, url: str, outer: Mapping[str, str]) -> dict[str, str]:
    """The variables; `outer`: the environment that they are added to."""
    path = [str(home.site), *(part for part in outer.get("PYTHONPATH", "").split(os.pathsep) if part)]
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": outer.get("AWS_DEFAULT_REGION") or REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(home.sdk_config),
        "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)),
    }


REMOVED = ("AWS_PROFILE", "AWS_SESSION_TOKEN")  # they would name another account


def prepare(home: Home, url: str) -> None:
    """Write the files that the variables name."""
    home.make()
    home.site.mkdir(exist_ok=True)
    (home.site / "sitecustomize.py").write_text(SITE)
    home.sdk_config.write_text(_sdk_config())
    home.address.write_text(url)


def address(home: Home) -> str:
    """Of the control plane of a home. Raises UserError where none was started."""
    try:
        return home.address.read_text().strip()
    except FileNotFoundError:
        raise UserError(f"no control plane was started in {home.root}: optml up starts one") from None


def _sdk_config() -> str:
    """The user's own configuration of the SDK, if any, with what keeps it on this machine."""
    import yaml

    own = Path("~/.config/sagemaker/config.yaml").expanduser()
    try:
        config = yaml.safe_load(own.read_text()) or {}
    except FileNotFoundError:
        config = {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{own} is no YAML: {error}") from None
    if not isinstance(config, dict):
        raise UserError(f"{own} is no mapping, as the SDK's configuration is")
    config.setdefault("SchemaVersion", "1.0")
    modules = config
    for name in ("SageMaker", "PythonSDK", "Modules"):
        modules = modules.setdefault(name, {})
    modules["TelemetryOptOut"] = True
    modules.setdefault("Session", {})["DefaultS3Bucket"] = f"sagemaker-{REGION}-{ACCOUNT}"
    text: str = yaml.safe_dump(config, sort_keys=False)
    return text

"""`optml retag`: our image under the names of AWS's, for the SageMaker SDK's local mode.

The SDK looks whether the image is there before it logs in to AWS's registry; so with these names
`Estimator(image_uris.retrieve("kmeans", region), ..., instance_type="local")` runs on our image.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Sequence

from algorithms.errors import PlatformError, UserError
from algorithms.registry import MODULES, available, canonical, unknown
from container.commands.registries import REGIONS, uris


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("image", metavar="IMAGE", help="such as optml/kmeans:cpu")
    parser.add_argument(
        "--algorithm",
        metavar="SLUG",
        help="the algorithm (default: the one in the image's name, else all that are built)",
    )
    parser.add_argument("--region", choices=(*REGIONS, "all"), default="us-east-1", help="default: us-east-1")
    parser.add_argument("--dry-run", action="store_true", help="only print the commands")


def run(args: argparse.Namespace) -> int:
    slugs = [_slug(args.algorithm)] if args.algorithm else _named(args.image)
    regions = REGIONS if args.region == "all" else (args.region,)
    for uri in [uri for slug in slugs for region in regions for uri in uris(slug, region)]:
        command = ["docker", "tag", args.image, uri]
        print(" ".join(command))
        if not args.dry_run:
            _docker(command)
    return 0


def _slug(name: str) -> str:
    slug = canonical(name)
    if slug is None:
        raise unknown(name, sorted(MODULES))
    return slug


def _named(image: str) -> list[str]:
    """The algorithm that an image's repository is called after, else every one that is built."""
    repository = image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    return [repository] if repository in MODULES else available()


def _docker(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise PlatformError("there is no program 'docker' on this machine") from None
    if done.returncode:
        raise UserError(f"'{' '.join(command)}' failed: {done.stderr.strip()}")

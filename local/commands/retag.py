"""`optml retag`: our image under the names of AWS's, for the SageMaker SDK's local mode.

The SDK looks whether the image is there before it logs in to AWS's registry; so with these names
`Estimator(image_uris.retrieve("kmeans", region), ..., instance_type="local")` runs on our image. A container
does not know the name of its image, so that each algorithm gets an image of its own: the given one and a line
that says which algorithm to train.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Sequence

from optml.algorithms.registry import MODULES, available, canonical, unknown
from optml.errors import PlatformError, UserError
from optml.local.commands.registries import REGIONS, uris


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
    for slug in slugs:
        names = [uri for region in regions for uri in uris(slug, region)]
        if not names:
            if args.algorithm:
                raise UserError(f"AWS has no {slug} in {args.region}")
            continue
        _build(args.image, slug, names[0], args.dry_run)
        for name in names[1:]:
            _docker(["docker", "tag", names[0], name], args.dry_run)
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


def _build(image: str, slug: str, name: str, dry_run: bool) -> None:
    """The image of one algorithm, which shares every layer with the given one."""
    dockerfile = f"FROM {image}\nENV OPTML_ALGORITHM={slug}\n"
    _docker(["docker", "build", "--tag", name, "-"], dry_run, dockerfile)


def _docker(command: Sequence[str], dry_run: bool, text: str = "") -> None:
    """Print a command as a shell takes it, and run it. `text` is what it reads."""
    print((f"printf {text!r} | " if text else "") + " ".join(command))
    if dry_run:
        return
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True)
    except FileNotFoundError:
        raise PlatformError("there is no program 'docker' on this machine") from None
    if done.returncode:
        raise UserError(f"'{' '.join(command)}' failed: {done.stderr.strip()}")

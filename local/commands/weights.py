"""`optml weights`: pretrained weights for the algorithms of images, got and converted where there is a
network.

Containers download nothing and open no pickle: they read the `.safetensors` that are made here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

from optml.errors import PlatformError, UserError

EPILOG = """\
examples:
  optml weights list
  optml weights fetch resnet18 --to pretrained/
  optml weights convert resnet18-f37072fd.pth resnet18.safetensors

A job finds the files in its channel 'pretrained', or in the folder that OPTML_PRETRAINED_DIR names, by what
network they are of, whatever they are called.
"""
TRUST = "a .pth file is a pickle: only tensors are read of it, but open none that you do not trust"
CHUNK = 1 << 20


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.epilog = EPILOG
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="the published weights that fetch knows, with their licences")
    fetch = actions.add_parser("fetch", help="download weights, check and convert them")
    fetch.add_argument("names", nargs="+", metavar="NAME", help="as `optml weights list` has them")
    fetch.add_argument("--to", type=Path, required=True, metavar="DIR")
    convert = actions.add_parser("convert", help=f"a .pth or .params file as .safetensors; {TRUST}")
    convert.add_argument("file", type=Path, metavar="FILE")
    convert.add_argument("out", type=Path, metavar="OUT.safetensors")


def run(args: argparse.Namespace) -> int:
    if args.action == "list":
        _list()
    elif args.action == "convert":
        print(f"{args.out}: {_convert(args.file, args.out)}")
    else:
        from optml.algorithms.vision.weights import published

        for entry in [published.get(name) for name in args.names]:  # a name of none stops all
            print(_fetch(entry, args.to), flush=True)
    return 0


def _list() -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from optml.algorithms.vision.weights.published import table

    shown = Table(box=box.SIMPLE_HEAD)
    for heading in ("name", "network", "pixels", "licence", "what", "sha256"):
        shown.add_column(heading, overflow="fold")
    for entry in table():
        network = str(entry.architecture) if entry.architecture else "VGG-16"
        digits = f"{entry.sha256[:8]}..." if entry.sha256 else "unpublished"
        shown.add_row(entry.name, network, entry.scaling, entry.licence, entry.about, digits)
    Console().print(shown)


def _fetch(entry: Any, folder: Path) -> str:
    """Download, check, convert; writes NAME.safetensors and NAME.json, where it all comes from."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{entry.name}.safetensors"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as temporary:
        path = Path(temporary) / entry.url.rpartition("/")[2]
        digest = _download(entry.url, path)
        if not digest.startswith(entry.sha256):
            raise UserError(
                f"{entry.url} has sha256 {digest}, but {entry.name} has {entry.sha256}: it was damaged on "
                "the way "
                "or replaced, and is not kept"
            )
        converted = Path(temporary) / target.name
        about = _convert(path, converted)
        provenance = {
            "name": entry.name,
            "url": entry.url,
            "sha256": digest,
            "checked": len(entry.sha256) * 4,  # bits
            "licence": entry.licence,
            "scaling": entry.scaling,
        }
        target.with_suffix(".json").write_text(json.dumps(provenance, indent=1) + "\n")
        converted.replace(target)
    unchecked = "" if entry.sha256 else "; its publisher tells no checksum, so none was compared"
    return f"{target}: {about}; licence: {entry.licence}{unchecked}"


def _download(url: str, path: Path) -> str:
    """The SHA-256 of what was written to `path`."""
    digest = hashlib.sha256()
    request = urllib.request.Request(url, headers={"User-Agent": "optml"})  # noqa: S310  (of our table)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer, path.open("wb") as file:  # noqa: S310
            while chunk := answer.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
    except (urllib.error.URLError, HTTPException, TimeoutError) as error:
        raise PlatformError(f"{url} cannot be downloaded: {getattr(error, 'reason', error)}") from None
    return digest.hexdigest()


def _convert(path: Path, out: Path) -> str:
    """Write the arrays of a file, by the names that they have in it; returns what network they are of."""
    from safetensors.numpy import save_file

    from optml.algorithms.vision.weights import files

    if out.suffix != ".safetensors":
        raise UserError(f"'{out}' should end in .safetensors: that is what is written")
    if not path.is_file():
        raise UserError(f"there is no file '{path}'")
    if path.suffix == ".safetensors":
        out.write_bytes(path.read_bytes())
    else:
        arrays = files.params(path) if path.suffix == ".params" else _unpickled(path)
        save_file({name: array.copy() for name, array in arrays.items()}, out)
    return str(files.read(out))


def _unpickled(path: Path) -> dict[str, Any]:
    """The tensors of a `.pth` file, by torch's reader that builds nothing but tensors."""
    import pickle

    try:
        import torch
    except ImportError:
        raise PlatformError("a .pth file needs torch: pip install 'optml[torch]'") from None
    print(TRUST)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"{path} is no file of tensors alone: {reason}") from None
    for key in ("state_dict", "model", "model_state"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise UserError(
            f"{path} holds no tensors by name; expected what `torch.save(model.state_dict())` writes"
        )
    return {
        name: (value.float() if value.dtype == torch.bfloat16 else value).numpy()
        for name, value in loaded.items()
    }

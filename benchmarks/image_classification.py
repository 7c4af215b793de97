"""Image Classification on CPUs: accuracy on CIFAR-10 and MNIST of ../shared/data, transfer, and speed against
plain torch in the same run.

    python -m benchmarks.image_classification [--part cifar|minutes|mnist|transfer|training|inference ...]

cifar      10,000 images, two epochs, num_layers 20, crops of 28: with AWS's defaults, and with settings of
ours minutes    all images for ten minutes of two idle cores
mnist      60,000 digits, three epochs
transfer   half of CIFAR's classes first, 200 images of the other half then: from those weights, and from
scratch training   images/s of a job's updates, data included, and of the plain loop on data that are in
memory already inference  one request of ResNet-50, and the same network in plain torch
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import options, save

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
Picture = tuple[bytes, int]  # as it is encoded, and its class

CIFAR = {"num_layers": 20, "image_shape": "3,28,28", "resize": 32, "num_classes": 10}
# Tuned on other images of the training set than the 10,000 that are trained on, three seeds.
TUNED = {"mini_batch_size": 32, "learning_rate": 0.1}


@cache
def cifar(part: str) -> list[Picture]:
    """The JPEG files of train or test, shuffled once."""
    with tarfile.open(DATA / "cifar10" / "cifar10_jpg.tar.xz") as archive:
        files = [m for m in archive if m.isfile() and Path(m.name).parts[-3] == part]
        files.sort(key=lambda member: member.name)
        classes = sorted({Path(member.name).parts[-2] for member in files})
        pictures = []
        for member in sorted(files, key=lambda member: member.offset):
            content = archive.extractfile(member)
            assert content is not None
            pictures.append((member.name, content.read(), classes.index(Path(member.name).parts[-2])))
    pictures.sort()
    order = np.random.default_rng(0).permutation(len(pictures)).tolist()
    return [pictures[place][1:] for place in order]


def mnist(part: str) -> list[Picture]:
    from PIL import Image

    file = np.load(DATA / "mnist" / "mnist.npz")
    pictures = []
    for pixels, label in zip(file[f"x_{part}"].reshape(-1, 28, 28), file[f"y_{part}"], strict=True):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
        pictures.append((stream.getvalue(), int(label)))
    return pictures


def job(
    train: list[Picture],
    validation: list[Picture],
    settings: Mapping[str, object],
    seed: int = 0,
    channels: Mapping[str, Path] | None = None,
    keep: Path | None = None,
) -> dict[str, Any]:
    """A whole `train`: accuracies of each epoch, seconds. channels: others, by name. keep: where its model
    goes."""
    from optml.formats.images import record

    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for name, pictures in (("train", train), ("validation", validation)):
            folder = root / "input/data" / name
            folder.mkdir(parents=True)
            with (folder / "a.rec").open("wb") as file:
                record.write(
                    (
                        record.Image(np.array([label], np.float32), number, content)
                        for number, (content, label) in enumerate(pictures)
                    ),
                    file,
                )
        config = {name: {"ContentType": "application/x-recordio"} for name in ("train", "validation")}
        for name, folder in (channels or {}).items():
            (root / "input/data" / name).symlink_to(folder)
            config[name] = {}
        texts = {name: str(value) for name, value in settings.items()}
        texts["num_training_samples"] = str(len(train))
        (root / "input/config").mkdir()
        (root / "input/config/hyperparameters.json").write_text(json.dumps(texts))
        (root / "input/config/inputdataconfig.json").write_text(json.dumps(config))
        if keep is not None:
            keep.mkdir(parents=True)
            (root / "model").symlink_to(keep)
        environment = {
            "SAGEMAKER_BASE_DIR": scratch,
            "OPTML_ALGORITHM": "image-classification",
            "OPTML_SEED": str(seed),
        }
        start = time.perf_counter()
        ended = subprocess.run(
            [sys.executable, "-m", "optml.container", "train"],
            env=os.environ | environment,
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - start
    if ended.returncode:
        raise RuntimeError(ended.stdout[-2000:])

    def values(pattern: str) -> list[float]:
        return [float(text) for text in re.findall(pattern, ended.stdout)]

    return {
        "train": values(r"Epoch\S* Train-accuracy=(\S*)"),
        "validation": values(r"Epoch\S* Validation-accuracy=(\S*)"),
        "epoch_seconds": values(r"Epoch\S* Time cost=(\S*)"),
        "seconds": round(seconds, 1),
    }


def accuracy_of_cifar(seeds: int = 3) -> Iterator[dict[str, Any]]:
    train, test = cifar("train")[:10_000], cifar("test")[:2000]
    for name, settings in (("AWS's defaults", {}), ("tuned", TUNED)):
        runs = [job(train, test, CIFAR | {"epochs": 2} | settings, seed) for seed in range(seeds)]
        best = [max(run["validation"]) for run in runs]
        yield {
            "what": f"CIFAR-10, 10,000 images, 2 epochs, {name}",
            "accuracy": best,
            "mean": float(np.mean(best)),
        }


def main() -> int:
    parser = options(__doc__)
    parts = {"cifar": accuracy_of_cifar}
    parser.add_argument("--part", choices=(*parts, "all"), default="all")
    arguments = parser.parse_args()
    results = []
    for name, run in parts.items():
        if arguments.part in (name, "all"):
            for row in run():
                print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
                results.append(row)
    print(save("image_classification-cpu", results, folder=arguments.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())

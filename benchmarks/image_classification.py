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

from benchmarks.environment import RESULTS, options, save
from benchmarks.timing import compare

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
Picture = tuple[bytes, int]  # as it is encoded, and its class

CIFAR = {"num_layers": 20, "image_shape": "3,28,28", "resize": 32, "num_classes": 10}
# Larger batches at AWS's rate; what else was tried: docs/algorithms/image-classification.md.
TUNED = {"mini_batch_size": 128}


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


def ten_minutes() -> Iterator[dict[str, Any]]:
    """Epochs that fit into ten minutes of two cores; the rate falls for the last two."""
    settings = CIFAR | TUNED | {"epochs": 9, "lr_scheduler_step": "6,8", "augmentation_type": "crop"}
    run = job(cifar("train"), cifar("test"), settings)
    yield {
        "what": "CIFAR-10, 50,000 images, 9 epochs",
        "accuracy": run["validation"],
        "seconds": run["seconds"],
    }


def digits() -> Iterator[dict[str, Any]]:
    settings = {"num_layers": 20, "image_shape": "1,28,28", "num_classes": 10, "epochs": 3}
    settings |= {"mini_batch_size": 128, "lr_scheduler_step": "2"}
    run = job(mnist("train"), mnist("test"), settings)
    yield {"what": "MNIST, 60,000 images, 3 epochs", "accuracy": run["validation"], "seconds": run["seconds"]}


def transfer() -> Iterator[dict[str, Any]]:
    """ResNet-18 on images of 16 pixels: from the weights of half of the classes, and from scratch."""
    train, test = cifar("train"), cifar("test")
    first = [picture for picture in train if picture[1] < 5][:10_000]
    others = [(content, label - 5) for content, label in train if label >= 5][:200]
    unseen = [(content, label - 5) for content, label in test if label >= 5][:2000]
    settings: dict[str, Any] = {"num_layers": 18, "image_shape": "3,16,16", "resize": 16, "num_classes": 5}
    settings |= {"mini_batch_size": 64, "learning_rate": 0.05, "augmentation_type": "crop"}
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / "weights"
        before = job(first, [p for p in test if p[1] < 5][:1000], settings | {"epochs": 4}, keep=weights)
        (weights / "model.json").rename(Path(scratch) / "model.json")
        later = settings | {"epochs": 20, "mini_batch_size": 25, "learning_rate": 0.01}
        runs = {}
        for name, pretrained in (("from these weights", 1), ("from scratch", 0)):
            given = later | {"use_pretrained_model": pretrained}
            channels = {"pretrained": weights} if pretrained else {}
            seeds = [job(others, unseen, given, seed, channels) for seed in range(3)]
            runs[name] = [max(run["validation"]) for run in seeds]
    yield {"what": "transfer, 200 images of 5 other classes", "before": before["validation"], **runs}


class _Plain:
    """The plain loop: the network of torch's own modules, channels_last, on images that are in memory."""

    def __init__(self, depth: int, size: int, batch: int) -> None:
        import torch

        from optml.algorithms.vision.architecture import Architecture, stem_of
        from optml.algorithms.vision.resnet import ResNet, initialise

        torch.manual_seed(0)
        self.network = ResNet(Architecture(depth, "pre", stem_of(size)), 10)
        initialise(self.network)
        self.optimizer = torch.optim.SGD(self.network.parameters(), 0.01, 0.9, weight_decay=1e-4)
        self.images = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8)
        self.labels = torch.randint(0, 10, (batch,))

    def __call__(self) -> None:
        import torch

        x = self.images.permute(0, 3, 1, 2).float()
        loss = torch.nn.functional.cross_entropy(self.network(x), self.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def updates() -> Iterator[dict[str, Any]]:
    """Each of the two in a process of its own, in turn: what one keeps of memory is no help to the other."""
    for depth, size, batch, count in ((20, 28, 128, 12), (18, 224, 8, 6)):
        rates: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(3):
            for who, found in rates.items():
                words = [sys.executable, "-m", "benchmarks.image_classification", "--part", "one"]
                words += ["--who", who, "--shape", f"{depth},{size},{batch},{count}"]
                done = subprocess.run(words, capture_output=True, text=True, check=True)
                found.append(float(done.stdout.split()[-1]))
        best = {who: max(found) for who, found in rates.items()}
        yield {
            "what": f"training, ResNet-{depth} at {size}, batch {batch}",
            **{f"{who} images/s": round(rate, 1) for who, rate in best.items()},
            "ratio": round(best["ours"] / best["plain"], 3),
        }


def one(who: str, shape: str) -> float:
    """Images/s of the updates of one of them; of ours with files read, decoded and cropped."""
    depth, size, batch, count = map(int, shape.split(","))
    if who == "plain":
        loop = _Plain(depth, size, batch)
        for _ in range(2):
            loop()
        start = time.perf_counter()
        for _ in range(count):
            loop()
        return batch * count / (time.perf_counter() - start)
    from PIL import Image

    from optml.algorithms.base import Setting
    from optml.algorithms.image_classification import ALGORITHM
    from optml.algorithms.image_classification.data import Images
    from optml.algorithms.image_classification.learner import Learner
    from optml.algorithms.vision.index import ImageIndex
    from optml.container.group import Alone
    from optml.formats.images.vectors import Vectors

    random = np.random.default_rng(0)
    total = batch * (count + 2)
    contents = []
    for _ in range(min(total, 256)):
        side = size + size // 4
        small = random.integers(0, 255, (side // 8, side // 8, 3)).astype(np.uint8)
        stream = io.BytesIO()
        Image.fromarray(small).resize((side, side)).save(stream, "JPEG")
        contents.append(stream.getvalue())
    settings = {"num_classes": 10, "num_training_samples": total, "image_shape": f"3,{size},{size}"}
    settings |= {"num_layers": depth, "mini_batch_size": batch, "augmentation_type": "crop"}
    setting = Setting(ALGORITHM.hyperparameters(**settings | {"learning_rate": 0.01}), Alone())
    names = [f"image {number}" for number in range(total)]
    index = ImageIndex(
        names,
        [contents[number % len(contents)] for number in range(total)],
        Vectors.of([[float(number % 10)] for number in range(total)]),
    )
    images = Images(index, _Channel(), setting)
    from dataclasses import replace

    learner = Learner(replace(setting, train=images))
    start, seen = 0.0, 0
    for number, read in enumerate(images.epoch(0)):
        if number == 2:
            start = time.perf_counter()
        learner.update(read)
        seen += len(read) if number >= 2 else 0
    return seen / (time.perf_counter() - start)


class _Channel:
    """As much of a channel as the data of a learner ask for."""

    name, mode, distribution, media, wrapper = "train", "File", "FullyReplicated", None, "None"
    parameters: Mapping[str, str] = {}


def requests() -> Iterator[dict[str, Any]]:
    """One picture in ResNet-50 that learnt a little, so that its answers are not all alike."""
    import torch

    from optml.algorithms.image_classification.facts import Facts
    from optml.algorithms.image_classification.model import Model
    from optml.algorithms.vision.architecture import Architecture
    from optml.algorithms.vision.resnet import ResNet, initialise

    torch.manual_seed(0)
    architecture = Architecture(50)
    network = ResNet(architecture, 10)
    initialise(network)
    pictures = cifar("train")[:240]
    from PIL import Image

    def pixels(content: bytes, size: int) -> np.ndarray:
        with Image.open(io.BytesIO(content)) as image:
            return np.asarray(image.resize((size, size)), np.float32)

    optimizer = torch.optim.SGD(network.parameters(), 0.01, 0.9)
    for start in range(0, 240, 24):  # at 96 pixels: seconds, not minutes
        batch = torch.from_numpy(np.stack([pixels(c, 96) for c, _ in pictures[start : start + 24]])).permute(
            0, 3, 1, 2
        )
        labels = torch.tensor([label for _, label in pictures[start : start + 24]])
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(batch), labels).backward()
        optimizer.step()
    with torch.no_grad():  # running statistics of pictures as they are asked with
        for start in range(0, 240, 8):
            several = [pixels(content, 224) for content, _ in pictures[start : start + 8]]
            network(torch.from_numpy(np.stack(several)).permute(0, 3, 1, 2))
    network.eval()
    plain = ResNet(architecture, 10).eval()
    plain.load_state_dict(network.state_dict())
    plain.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    model = Model(Facts(architecture, 224, 224, 10), {n: t.numpy() for n, t in network.state_dict().items()})
    images = [pixels(content, 224)[None] for content, _ in cifar("test")[:100]]

    def ask(image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            x = torch.from_numpy(image).permute(0, 3, 1, 2).contiguous()
            answer: np.ndarray = plain(x).softmax(1).numpy()
            return answer

    ours = np.concatenate([model.probabilities(image) for image in images])
    theirs = np.concatenate([ask(image) for image in images])
    seconds = compare({"ours": lambda: model.probabilities(images[0]), "plain": lambda: ask(images[0])}, 15)
    yield {
        "what": "inference, ResNet-50, one request",
        **{f"{who} ms": round(1e3 * value, 1) for who, value in seconds.items()},
        "ratio": round(seconds["plain"] / seconds["ours"], 2),
        "same answer": float((ours.argmax(1) == theirs.argmax(1)).mean()),
        "apart": float(np.abs(ours - theirs).max()),
    }


PARTS = {
    "cifar": accuracy_of_cifar,
    "minutes": ten_minutes,
    "mnist": digits,
    "transfer": transfer,
    "training": updates,
    "inference": requests,
}


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--part", choices=(*PARTS, "one"), action="append", help="default: all but `one`")
    parser.add_argument("--who", choices=("ours", "plain"), help="of the part `one`, for the part `training`")
    parser.add_argument("--shape", help="layers, side of images, batch, updates; likewise")
    arguments = parser.parse_args()
    if arguments.part == ["one"]:
        print(one(arguments.who, arguments.shape))
        return 0
    chosen = arguments.part or list(PARTS)
    path = (arguments.out or RESULTS) / "image_classification-cpu.json"
    before = json.loads(path.read_text())["rows"] if path.exists() else []
    results = {row["what"]: row for row in before}
    for name in chosen:
        for row in PARTS[name]():
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            results[row["what"]] = row
    print(save("image_classification-cpu", list(results.values()), folder=arguments.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())

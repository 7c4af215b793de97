"""Object Detection on CPUs against plain torch in the same run.

    python -m benchmarks.object_detection [--part targets|detections|training|request ...]

targets      anchors of a batch given their truths and negatives; plain: a table of anchors by truths an image
detections   of a batch of probabilities and offsets; plain: torch's sort, and a loop over boxes
training     a job's updates on ResNet-50 at 300, data read and augmented; plain: forward and backward of the
             bare trunk on images that are in memory already, each in a process of its own
request      one picture, decoded and answered; plain: the bare trunk's inference
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.environment import RESULTS, options, save
from benchmarks.timing import compare

VARIANCES = (0.1, 0.1, 0.2, 0.2)
SIDE = 300
ANCHORS = {"ResNet-50-300": 2268, "VGG-16-300": 8732}


def boxes(rng: np.random.Generator, *shape: int) -> np.ndarray:
    centres, halves = rng.uniform(0, 1, (*shape, 2)), rng.uniform(0.02, 0.25, (*shape, 2))
    return np.concatenate([centres - halves, centres + halves], axis=-1).astype(np.float32)


def overlaps(one: Any, two: Any) -> Any:
    """IoU (n, m), in torch."""
    low = one[:, None, :2].maximum(two[None, :, :2])
    high = one[:, None, 2:].minimum(two[None, :, 2:])
    both = (high - low).clamp(min=0).prod(dim=2)
    areas = [(own[:, 2:] - own[:, :2]).prod(dim=1) for own in (one, two)]
    return both / (areas[0][:, None] + areas[1][None] - both)


def milliseconds(seconds: dict[str, float]) -> dict[str, float]:
    row = {f"{who} ms": round(1e3 * value, 2) for who, value in seconds.items()}
    return row | {"ratio": round(seconds["plain"] / seconds["ours"], 2)}


def targets(images: int = 16, truths: int = 12) -> Iterator[dict[str, Any]]:
    import torch

    from optml.algorithms.kernels import boxes as kernel

    rng = np.random.default_rng(0)
    for name, count in ANCHORS.items():
        anchors = torch.from_numpy(boxes(rng, count))
        rows = np.zeros((images, truths, 5), np.float32)
        rows[:, :, 0] = rng.integers(0, 20, (images, truths))
        rows[:, :, 1:] = boxes(rng, images, truths)
        given, background = torch.from_numpy(rows), torch.rand(images, count)

        def ours(anchors: Any = anchors, given: Any = given, background: Any = background) -> Any:
            labels, offsets = kernel.assign(anchors, given, VARIANCES)
            return kernel.mine(labels, background), offsets

        def plain(anchors: Any = anchors, given: Any = given, background: Any = background) -> Any:
            answers = [plain_targets(anchors, *pair) for pair in zip(given, background, strict=True)]
            return torch.stack(answers)

        same = (ours()[0] == plain()).double().mean().item()
        yield {
            "what": f"targets of {images} images with {truths} truths, {name}",
            **milliseconds(compare({"ours": ours, "plain": plain})),
            "same labels": round(same, 6),
        }


def plain_targets(anchors: Any, truths: Any, background: Any) -> Any:
    """Labels of one image, as they are written in torch; offsets are left out."""
    import torch

    iou = overlaps(anchors, truths[:, 1:])
    best, match = iou.max(dim=1)
    positive = best > 0.5
    free = iou.clone()
    for _ in range(len(truths)):
        anchor, truth = divmod(int(free.argmax()), len(truths))
        positive[anchor], match[anchor] = True, truth
        free[anchor], free[:, truth] = -1, -1
    labels = torch.where(positive, truths[match, 0].long() + 1, torch.where(best < 0.5, 0, -1))
    candidates = (labels == 0).nonzero()[:, 0]
    order = background[candidates].argsort()
    labels[candidates[order[3 * int(positive.sum()) :]]] = -1
    return labels


def detections(classes: int = 20) -> Iterator[dict[str, Any]]:
    import torch

    from optml.algorithms.kernels import boxes as kernel
    from optml.algorithms.kernels.boxes import cpu

    rng = np.random.default_rng(0)
    corners = boxes(rng, 400)
    flat, numbers = np.ascontiguousarray(corners.T.astype(np.float64)), rng.integers(0, classes, 400)
    rows = torch.from_numpy(corners), torch.from_numpy(numbers)

    def suppress() -> np.ndarray:
        alive = np.ones(400, np.uint8)
        cpu._suppress(flat, numbers, 0.45, alive)
        return alive

    assert (suppress() == plain_suppression(*rows).numpy()).all()
    yield {
        "what": f"suppression of 400 boxes of {classes} classes",
        **milliseconds(compare({"ours": suppress, "plain": lambda: plain_suppression(*rows)}, 15)),
    }
    anchors = torch.from_numpy(boxes(rng, ANCHORS["VGG-16-300"]))
    for images in (1, 16):
        chances = (2 * torch.randn(images, len(anchors), classes + 1)).softmax(2)
        offsets = torch.randn(images, len(anchors), 4)

        def ours(chances: Any = chances, offsets: Any = offsets) -> Any:
            return kernel.detect(chances, offsets, anchors, VARIANCES)

        def plain(chances: Any = chances, offsets: Any = offsets) -> Any:
            return [plain_detections(*pair, anchors) for pair in zip(chances, offsets, strict=True)]

        expected = [len(one) for one in plain()]
        assert (ours()[:, :, 0] >= 0).sum(dim=1).tolist() == expected
        yield {
            "what": f"detections of {images} images, VGG-16-300, {classes} classes",
            **milliseconds(compare({"ours": ours, "plain": plain})),
        }


def plain_detections(chances: Any, offsets: Any, anchors: Any) -> Any:
    """(k, 6) of one image, as they are written in torch."""
    import torch

    scores, classes = chances[:, 1:].max(dim=1)
    order = scores.argsort(descending=True)[:400]
    order = order[scores[order] >= 0.01]
    moved, own = offsets[order] * torch.tensor(VARIANCES), anchors[order]
    sides = own[:, 2:] - own[:, :2]
    centres, halves = (own[:, :2] + own[:, 2:]) / 2 + moved[:, :2] * sides, moved[:, 2:].exp() * sides / 2
    corners = torch.cat([centres - halves, centres + halves], dim=1).clamp(0, 1)
    alive = plain_suppression(corners, classes[order])
    rows = torch.cat([classes[order, None], scores[order, None], corners], dim=1)
    return rows[alive]


def plain_suppression(corners: Any, classes: Any) -> Any:
    import torch

    close = (overlaps(corners, corners) >= 0.45) & (classes[:, None] == classes[None])
    alive = torch.ones(len(corners), dtype=torch.bool)
    for place in range(len(corners)):
        if alive[place]:
            alive[place + 1 :] &= ~close[place, place + 1 :]
    return alive


def training(repeats: int = 3, images: int = 4, updates: int = 4) -> Iterator[dict[str, Any]]:
    rates: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(repeats):
        for who, found in rates.items():
            words = [sys.executable, "-m", "benchmarks.object_detection", "--part", "one"]
            words += ["--who", who, "--shape", f"{images},{updates}"]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            found.append(float(done.stdout.split()[-1]))
    best = {who: max(found) for who, found in rates.items()}
    yield {
        "what": f"training, ResNet-50 at {SIDE}, batch {images}; plain: the trunk alone",
        **{f"{who} images/s": round(rate, 3) for who, rate in best.items()},
        "time over the trunk's": round(best["plain"] / best["ours"], 3),
    }


def one(who: str, shape: str) -> float:
    """Images/s of the updates of one of them."""
    images, updates = map(int, shape.split(","))
    run = _ours(images, updates + 1) if who == "ours" else _trunk(images, updates + 1)
    next(run)
    start = time.perf_counter()
    for _ in run:
        pass
    return images * updates / (time.perf_counter() - start)


def trunk() -> Any:
    """ResNet-50 without what a detector puts upon it."""
    import torch

    from optml.algorithms.vision.architecture import Architecture
    from optml.algorithms.vision.resnet import ResNet, initialise

    torch.manual_seed(0)
    network = ResNet(Architecture(50, "pre", "7x7"))
    network.norm = None
    initialise(network)
    return network


def _trunk(images: int, updates: int) -> Iterator[None]:
    import torch

    network = trunk()
    pixels = torch.randint(0, 256, (images, SIDE, SIDE, 3)).float().permute(0, 3, 1, 2)
    for _ in range(updates):
        network.zero_grad()
        network.features(pixels)[-1].mean().backward()
        yield


def _ours(images: int, updates: int) -> Iterator[None]:
    from dataclasses import replace

    from optml.algorithms.base import Setting
    from optml.algorithms.object_detection import ALGORITHM
    from optml.algorithms.object_detection.data import Images
    from optml.algorithms.object_detection.learner import Learner
    from optml.algorithms.vision.index import ImageIndex
    from optml.container.group import Alone
    from optml.formats.images.vectors import Vectors

    total = images * updates
    rng = np.random.default_rng(0)
    labels = []
    for _ in range(total):
        corners = boxes(rng, 12).clip(0, 1)
        labels.append([2, 5, *np.column_stack([rng.integers(0, 20, 12), corners]).reshape(-1)])
    settings = {"num_classes": 20, "num_training_samples": total, "mini_batch_size": images}
    setting = Setting(ALGORITHM.hyperparameters(**settings | {"base_network": "resnet-50"}), Alone())
    names, contents = [f"image {n}" for n in range(total)], [picture(n % 32) for n in range(total)]
    read = Images(ImageIndex(names, contents, Vectors.of(labels)), _Channel(), setting)  # type: ignore[arg-type]
    learner = Learner(replace(setting, train=read))
    for batch in read.epoch(0):
        list(learner.update(batch))
        yield


class _Channel:
    """As much of a channel as the data of a learner ask for."""

    name, mode, distribution, media, wrapper = "train", "File", "FullyReplicated", None, "None"
    parameters: Mapping[str, str] = {}


def picture(number: int) -> bytes:
    """A JPEG of 640 x 480 pixels."""
    from PIL import Image

    small = np.random.default_rng(number).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(small).resize((640, 480)).save(stream, "JPEG")
    return stream.getvalue()


def request() -> Iterator[dict[str, Any]]:
    import torch

    from optml.algorithms.object_detection.design import design
    from optml.algorithms.object_detection.facts import Facts
    from optml.algorithms.object_detection.model import Model
    from optml.algorithms.object_detection.network import Detector, initialise
    from optml.algorithms.object_detection.requests import decode
    from optml.formats.content_type import ContentType

    plain = trunk().eval()
    own = design("resnet-50", SIDE, 20)
    network = Detector(own)
    initialise(network)
    model = Model(Facts(own, SIDE), {name: tensor.numpy() for name, tensor in network.state_dict().items()})
    body, form = picture(0), ContentType.parse("image/jpeg")
    pixels = torch.randint(0, 256, (1, SIDE, SIDE, 3)).float().permute(0, 3, 1, 2)

    def ours() -> object:
        return model.predict(decode(body, form, model), {})

    def theirs() -> object:
        with torch.inference_mode():
            return plain.features(pixels)[-1]

    seconds = compare({"ours": ours, "plain": theirs}, 9)
    yield {
        "what": f"one request, ResNet-50 at {SIDE}; plain: the trunk alone",
        **{f"{who} ms": round(1e3 * value, 1) for who, value in seconds.items()},
        "time over the trunk's": round(seconds["ours"] / seconds["plain"], 3),
    }


PARTS = {"targets": targets, "detections": detections, "training": training, "request": request}


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--part", choices=(*PARTS, "one"), action="append", help="default: all but `one`")
    parser.add_argument("--who", choices=("ours", "plain"), help="of `one`, for training")
    parser.add_argument("--shape", help="of `one`: images of a batch, updates")
    given = parser.parse_args()
    if given.part == ["one"]:
        print(one(given.who, given.shape))
        return 0
    name = "object_detection-cpu"
    path = (given.out or RESULTS) / f"{name}.json"
    before = json.loads(path.read_text())["rows"] if path.exists() else []
    results = {row["what"]: row for row in before}
    for part in given.part or list(PARTS):
        for row in PARTS[part]():
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            results[row["what"]] = row
    print(save(name, list(results.values()), folder=given.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())

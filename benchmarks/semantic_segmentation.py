"""Semantic Segmentation on CPUs against plain torch in the same run.

    python -m benchmarks.semantic_segmentation [--part loss|memory|answers|training|inference ...]

loss       upsampling, softmax and cross entropy of a batch, forward and backward
memory     what the same takes beside logits and labels at its peak, each in a process of its own
answers    one request's logits as a PNG of classes, and as probabilities
training   images/s of a job's updates of FCN on ResNet-50, data read and augmented, and of the plain loop on
           images that are in memory already, each in a process of its own
inference  one picture's classes, by FCN on ResNet-50
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import RESULTS, options, save
from benchmarks.timing import compare

LOSSES = ((4, 21, 480), (16, 21, 240), (8, 11, 64), (4, 2, 480))  # images, classes, side of a crop
CROP, CLASSES, BATCH = 480, 21, 4


def batch(images: int, k: int, side: int) -> tuple[Any, Any]:
    """Logits that say something, smooth as a network's, and labels in patches."""
    import torch

    torch.manual_seed(0)
    places = (side + 7) // 8
    coarse = torch.randn(images, k, places // 4 + 2, places // 4 + 2)
    smooth = torch.nn.functional.interpolate(coarse, size=(places, places), mode="bilinear")
    labels = torch.nn.functional.interpolate(smooth, size=(side, side)).argmax(1)
    labels[:, :: side // 4] = 255
    return (4 * smooth).requires_grad_(), labels.to(torch.uint8)


def steps(images: int, k: int, side: int) -> dict[str, Callable[[], object]]:
    """The loss and its gradient. Plain torch takes labels as int64, made before."""
    import torch
    from torch.nn import functional

    from optml.algorithms.kernels import masks

    logits, labels = batch(images, k, side)
    long = labels.long()

    def ours() -> None:
        logits.grad = None
        masks.loss(logits, labels)[0].backward()

    def plain() -> None:
        logits.grad = None
        scores = functional.interpolate(logits, size=(side, side), mode="bilinear", align_corners=True)
        functional.cross_entropy(scores, long, ignore_index=255).backward()

    ours()
    gradient: torch.Tensor = logits.grad
    plain()
    torch.testing.assert_close(gradient, logits.grad, rtol=1e-3, atol=1e-9)
    return {"ours": ours, "plain": plain}


def losses() -> Iterator[dict[str, Any]]:
    for shape in LOSSES:
        seconds = compare(steps(*shape))
        yield {"what": "loss of {} images, {} classes, crop {}".format(*shape), **milliseconds(seconds)}


def milliseconds(seconds: dict[str, float]) -> dict[str, float]:
    row = {f"{who} ms": round(1e3 * value, 2) for who, value in seconds.items()}
    return row | {"ratio": round(seconds["plain"] / seconds["ours"], 2)}


def memory() -> Iterator[dict[str, Any]]:
    megabytes = {}
    for who in ("ours", "plain"):
        words = [sys.executable, "-m", "benchmarks.semantic_segmentation", "--part", "peak", "--who", who]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        megabytes[who] = float(done.stdout.split()[-1])
    yield {
        "what": f"memory of the loss of {BATCH} images, {CLASSES} classes, crop {CROP}",
        **{f"{who} MB": round(value, 1) for who, value in megabytes.items()},
        "share": round(megabytes["ours"] / megabytes["plain"], 3),
    }


def peak(who: str) -> float:
    """MB that one loss and its gradient add to this process at their peak."""
    steps(1, CLASSES, 32)[who]()  # what is compiled and loaded comes before
    run = steps_alone(who)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) / 1e3


def steps_alone(who: str) -> Callable[[], object]:
    """A step that neither has run before, so that no memory of another is used again."""
    import torch
    from torch.nn import functional

    from optml.algorithms.kernels import masks

    logits, labels = batch(BATCH, CLASSES, CROP)
    if who == "ours":
        return lambda: masks.loss(logits, labels)[0].backward()
    long = labels.to(torch.int64)

    def plain() -> None:
        scores = functional.interpolate(logits, size=(CROP, CROP), mode="bilinear", align_corners=True)
        functional.cross_entropy(scores, long, ignore_index=255).backward()

    return plain


def _status(key: str) -> float:
    """kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(key))


def answers() -> Iterator[dict[str, Any]]:
    """On one thread."""
    import torch
    from PIL import Image
    from torch.nn import functional

    from optml.algorithms.kernels import masks

    torch.set_num_threads(1)
    logits = batch(1, CLASSES, 640)[0].detach()[:, :, :60].contiguous()

    def png(mask: Any) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(mask.numpy()[0]).save(stream, "PNG", compress_level=1)
        return stream.getvalue()

    def upsampled() -> Any:
        return functional.interpolate(logits, size=(480, 640), mode="bilinear", align_corners=True)

    picture: dict[str, Callable[[], object]] = {
        "ours": lambda: png(masks.classes(logits, 480, 640)),
        "plain": lambda: png(upsampled().argmax(1).to(torch.uint8)),
    }
    chances: dict[str, Callable[[], object]] = {
        "ours": lambda: masks.probabilities(logits, 480, 640).numpy().tobytes(),
        "plain": lambda: upsampled().softmax(1).numpy().tobytes(),
    }
    for name, contestants in (("PNG", picture), ("bytes of probabilities", chances)):
        yield {"what": f"{name} of 480 x 640, 21 classes", **milliseconds(compare(contestants, 9))}


def training(repeats: int = 3) -> Iterator[dict[str, Any]]:
    """Shapes: images of a batch, side of a crop, updates."""
    for shape in ("8,64,4", "4,240,2"):
        rates: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(repeats):
            for who, found in rates.items():
                words = [sys.executable, "-m", "benchmarks.semantic_segmentation", "--part", "one"]
                words += ["--who", who, "--shape", shape]
                done = subprocess.run(words, capture_output=True, text=True, check=True)
                found.append(float(done.stdout.split()[-1]))
        best = {who: max(found) for who, found in rates.items()}
        images, side, _ = shape.split(",")
        yield {
            "what": f"training, FCN on ResNet-50, crop {side}, batch {images}",
            **{f"{who} images/s": round(rate, 3) for who, rate in best.items()},
            "ratio": round(best["ours"] / best["plain"], 3),
        }


def one(who: str, shape: str) -> float:
    """Images/s of the updates of one of them."""
    images, side, updates = map(int, shape.split(","))
    run = _ours(images, side, updates + 1) if who == "ours" else _plain(images, side, updates + 1)
    next(run)
    start = time.perf_counter()
    for _ in run:
        pass
    return images * updates / (time.perf_counter() - start)


def _plain(images: int, side: int, updates: int) -> Iterator[None]:
    import torch
    from torch.nn import functional

    from benchmarks.plain_networks import Segmenter

    torch.manual_seed(0)
    network = Segmenter(50, CLASSES)
    optimizer = torch.optim.SGD(network.parameters(), 0.001, 0.9, weight_decay=1e-4)
    pixels = torch.randint(0, 256, (images, 3, side, side), dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (images, side, side))
    for _ in range(updates):
        losses = [
            functional.cross_entropy(
                functional.interpolate(scores, size=(side, side), mode="bilinear", align_corners=True), labels
            )
            for scores in network(pixels.float() / 255)
        ]
        optimizer.zero_grad()
        (losses[0] + 0.5 * losses[1]).backward()
        optimizer.step()
        yield


def _ours(images: int, side: int, updates: int) -> Iterator[None]:
    from dataclasses import replace

    from optml.algorithms.base import Setting
    from optml.algorithms.semantic_segmentation import ALGORITHM
    from optml.algorithms.semantic_segmentation.data import Images
    from optml.algorithms.semantic_segmentation.learner import Learner
    from optml.algorithms.vision.index import ImageIndex
    from optml.algorithms.vision.masks import LabelMap
    from optml.container.group import Alone

    total = images * updates
    pictures, masks = zip(*(picture(number) for number in range(min(total, 32))), strict=True)
    settings = {"num_classes": CLASSES, "num_training_samples": total, "mini_batch_size": images}
    settings |= {"crop_size": side, "base_size": 2 * side, "learning_rate": 0.001, "optimizer": "sgd"}
    setting = Setting(ALGORITHM.hyperparameters(**settings | {"use_pretrained_model": False}), Alone())
    index = ImageIndex(
        [f"image {number}" for number in range(total)],
        [pictures[number % len(pictures)] for number in range(total)],
        masks=[masks[number % len(masks)] for number in range(total)],
    )
    read = Images(index, LabelMap.of(None, ""), _Channel(), setting)  # type: ignore[arg-type]
    learner = Learner(replace(setting, train=read))
    for batch in read.epoch(0):
        list(learner.update(batch))
        yield


class _Channel:
    """As much of a channel as the data of a learner ask for."""

    name, mode, distribution, media, wrapper = "train", "File", "FullyReplicated", None, "None"
    parameters: Mapping[str, str] = {}

    def stopped(self) -> bool:
        return False


def picture(number: int) -> tuple[bytes, bytes]:
    """A JPEG of 480 x 360 pixels and its mask: patches of colour."""
    from PIL import Image

    labels = np.random.default_rng(number).integers(0, CLASSES, (6, 8)).astype(np.uint8)
    mask = Image.fromarray(labels).resize((480, 360), Image.Resampling.NEAREST)
    colours = np.random.default_rng(0).integers(0, 256, (CLASSES, 3)).astype(np.uint8)
    streams = io.BytesIO(), io.BytesIO()
    Image.fromarray(colours[np.asarray(mask)]).save(streams[0], "JPEG")
    mask.save(streams[1], "PNG")
    return streams[0].getvalue(), streams[1].getvalue()


def inference() -> Iterator[dict[str, Any]]:
    import torch
    from torch.nn import functional

    from benchmarks.plain_networks import Segmenter as Plain
    from optml.algorithms.semantic_segmentation.facts import Facts
    from optml.algorithms.semantic_segmentation.model import Model
    from optml.algorithms.semantic_segmentation.networks import Segmenter, first_weights
    from optml.algorithms.vision.architecture import Architecture
    from optml.algorithms.vision.tensors import Tensors

    torch.manual_seed(0)
    tensors = Tensors("imagenet", 3, "cpu")
    facts = Facts(Architecture(50, "post", "deep"), "fcn", CLASSES)
    network, plain = Segmenter(facts, auxiliary=True), Plain(50, CLASSES).eval()
    first_weights(network)
    # The weights of both in the order of the modules, which are the same.
    sizes = [sorted(tuple(p.shape) for p in one.parameters()) for one in (network, plain)]
    assert sizes[0] == sizes[1]
    with torch.no_grad():  # running statistics of pictures, so that scores are of a trained network's size
        for number in range(25):
            noise = np.random.default_rng(number).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
            network(tensors.images(noise))
    model = Model(facts, {name: tensor.numpy() for name, tensor in network.state_dict().items()})
    for height, width in ((240, 240), (360, 480)):
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)

        def theirs(pixels: np.ndarray = pixels) -> object:
            with torch.inference_mode():
                x = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2).float() / 255
                scores = functional.interpolate(plain(x)[0], x.shape[2:], mode="bilinear", align_corners=True)
                return scores.argmax(1).to(torch.uint8)

        def ours(pixels: np.ndarray = pixels) -> object:
            return model.scored(pixels, (pixels.shape[0], pixels.shape[1])).classes()

        half = next(model._network.conv1.parameters()).dtype == torch.bfloat16
        yield {
            "what": f"classes of one picture of {height} x {width}, FCN on ResNet-50",
            **milliseconds(compare({"ours": ours, "plain": theirs}, 3)),
            "bfloat16": half,
        }


PARTS = {
    "loss": losses,
    "memory": memory,
    "answers": answers,
    "training": training,
    "inference": inference,
}


def main() -> int:
    parser = options(__doc__)
    own = {"peak": lambda: peak(given.who), "one": lambda: one(given.who, given.shape)}
    parser.add_argument("--part", choices=(*PARTS, *own), action="append", help="default: all that are parts")
    parser.add_argument("--who", choices=("ours", "plain"), help="of `peak` and `one`: for memory, training")
    parser.add_argument("--shape", help="of `one`: images of a batch, side of a crop, updates")
    given = parser.parse_args()
    if given.part and given.part[0] in own:
        print(own[given.part[0]]())
        return 0
    name = "semantic_segmentation-cpu"
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

"""Semantic Segmentation on CPUs: what comes after the network, against plain torch in the same run.

    python -m benchmarks.semantic_segmentation [--part loss|memory|answers ...]

loss       upsampling, softmax and cross entropy of a batch, forward and backward
memory     what the same takes beside logits and labels at its peak, each in a process of its own
answers    one request's logits as a PNG of classes, and as probabilities
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


PARTS = {"loss": losses, "memory": memory, "answers": answers}


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--part", choices=(*PARTS, "peak"), action="append", help="default: all but `peak`")
    parser.add_argument("--who", choices=("ours", "plain"), help="of the part `peak`, for the part `memory`")
    given = parser.parse_args()
    if given.part == ["peak"]:
        print(peak(given.who))
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

"""Object Detection on CPUs: what a detector needs beside its network, against plain torch in the same run.

    python -m benchmarks.object_detection [--part targets|detections ...]

targets      anchors of a batch given their truths and negatives; plain: a table of anchors by truths an image
detections   of a batch of probabilities and offsets; plain: torch's sort, and a loop over boxes
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.environment import RESULTS, options, save
from benchmarks.timing import compare

VARIANCES = (0.1, 0.1, 0.2, 0.2)
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


PARTS = {"targets": targets, "detections": detections}


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--part", choices=tuple(PARTS), action="append", help="default: all")
    given = parser.parse_args()
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

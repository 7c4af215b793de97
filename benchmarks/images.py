"""Images on a CPU: decoding, and batches ready to train on, against the parts that people chain, in one run.

    python -m benchmarks.images

BCCD of ../shared/data: 364 pictures of 640 x 480 pixels, about 21 kB of JPEG each. Everything is on one
thread but where it says so; images per CPU second are by the processor time of the process, the best of
several.

decode    the pixels of every picture: ours (headers checked, memory used again) and simplejpeg by itself
batches   decoded, shorter side to 256, a random crop of 224, mirrored, scaled by ImageNet's means: ours, and
          simplejpeg, Pillow's resize and NumPy one after the other; then with colours (HLS), and with the
          affine map as well (`crop_color_transform`); `to 224` resizes to 224, so that a JPEG is decoded at
          half its size
threads   images per second of wall time, two threads against one
"""

from __future__ import annotations

import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import options, save

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "bccd" / "bccd.tar"
SIDE, RESIZE, BATCH = 224, 256, 32


def pictures() -> list[bytes]:
    with tarfile.open(DATA) as archive:
        members = [member for member in archive.getmembers() if member.name.endswith(".jpg")]
        return [archive.extractfile(member).read() for member in members]  # type: ignore[union-attr]


def decode_ours(contents: list[bytes]) -> None:
    from optml.formats.images.decode import Encoded, Scratch

    scratch = Scratch()
    for content in contents:
        Encoded.of(content, "a").pixels(3, 1, scratch)


def decode_simplejpeg(contents: list[bytes], buffer: np.ndarray | None = None) -> None:
    import simplejpeg

    for content in contents:
        simplejpeg.decode_jpeg(content, buffer=buffer)


def loader(contents: list[bytes], level: str, resize: int = RESIZE, threads: int = 1) -> Any:
    from optml.algorithms.kernels.pixels.terms import Finish
    from optml.algorithms.vision.augment import Crop
    from optml.algorithms.vision.index import ImageIndex
    from optml.algorithms.vision.loader import Loader
    from optml.algorithms.vision.order import Order

    index = ImageIndex([str(number) for number in range(len(contents))], contents)
    draw = Crop((SIDE, SIDE), resize, level)  # type: ignore[arg-type]
    finish = Finish.of("imagenet")
    order = Order(len(index), BATCH, 0)
    return Loader(index, order, draw, shape=(SIDE, SIDE, 3), finish=finish, seed=0, threads=threads)


def drain(batches: Any) -> None:
    for number, _ in enumerate(batches.epoch(0)):
        del number


def chained(contents: list[bytes]) -> None:
    """What a loader of one's own does: simplejpeg, Pillow's bilinear resize, NumPy."""
    import simplejpeg
    from PIL import Image

    rng = np.random.default_rng(0)
    mean = np.array([0.485, 0.456, 0.406], np.float32) * 255
    deviation = np.array([0.229, 0.224, 0.225], np.float32) * 255
    out = np.empty((BATCH, SIDE, SIDE, 3), np.float32)
    for number, content in enumerate(contents):
        picture = Image.fromarray(simplejpeg.decode_jpeg(content))
        shorter = min(picture.size)
        size = tuple(side * RESIZE // shorter for side in picture.size)
        values = np.asarray(picture.resize(size, Image.Resampling.BILINEAR))
        top, left = (int(rng.integers(0, values.shape[axis] - SIDE + 1)) for axis in (0, 1))
        values = values[top : top + SIDE, left : left + SIDE]
        if rng.random() < 0.5:
            values = values[:, ::-1]
        out[number % BATCH] = (values - mean) / deviation


def seconds(contestants: dict[str, Callable[[], None]], repeats: int) -> dict[str, tuple[float, float]]:
    """Of each, in turn: processor time and wall time, the best of each."""
    best = dict.fromkeys(contestants, (float("inf"), float("inf")))
    for run in contestants.values():
        run()
    for _ in range(repeats):
        for name, run in contestants.items():
            busy, start = time.process_time(), time.perf_counter()
            run()
            busy, wall = time.process_time() - busy, time.perf_counter() - start
            best[name] = min(best[name][0], busy), min(best[name][1], wall)
    return best


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    if not DATA.exists():
        sys.exit(f"{DATA} is not there")
    contents = pictures()
    again = np.empty(640 * 480 * 3, np.uint8)
    contestants: dict[str, Callable[[], None]] = {
        "decode: ours": lambda: decode_ours(contents),
        "decode: simplejpeg": lambda: decode_simplejpeg(contents),
        "decode: simplejpeg, memory used again": lambda: decode_simplejpeg(contents, again),
        "crop: ours": lambda: drain(loader(contents, "crop")),
        "crop: simplejpeg, Pillow, NumPy": lambda: chained(contents),
        "crop, to 224: ours": lambda: drain(loader(contents, "crop", SIDE)),
        "crop_color: ours": lambda: drain(loader(contents, "crop_color")),
        "crop_color_transform: ours": lambda: drain(loader(contents, "crop_color_transform")),
        "crop_color_transform, to 224: ours": lambda: drain(loader(contents, "crop_color_transform", SIDE)),
        "crop, two threads: ours": lambda: drain(loader(contents, "crop", threads=2)),
    }
    rows = []
    for name, (busy, wall) in seconds(contestants, given.repeats).items():
        rows.append(
            {"what": name, "per_cpu_second": len(contents) / busy, "per_second": len(contents) / wall}
        )
        print(
            f"{name:45} {rows[-1]['per_cpu_second']:7.0f} /CPU s {rows[-1]['per_second']:7.0f} /s", flush=True
        )
    rates = {row["what"]: row for row in rows}
    alone = rates["decode: ours"]["per_cpu_second"] / rates["decode: simplejpeg"]["per_cpu_second"]
    pair = rates["crop, two threads: ours"]["per_second"] / rates["crop: ours"]["per_second"]
    print(f"decoding: {alone:.2f} of simplejpeg; two threads: {pair:.2f} of one")
    save("images", rows, folder=given.out, pictures=len(contents), decoding=alone, two_threads=pair)


if __name__ == "__main__":
    main()

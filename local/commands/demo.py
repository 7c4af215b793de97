"""`make demo`: K-Means on real handwritten digits, trained, served over HTTP, asked, and drawn.

Everything runs as it would elsewhere: the data are RecordIO-protobuf files, training is the program of the
container, the answers come over HTTP from a server process of their own. Leaves its files in out/demo.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from optml.errors import PlatformError, UserError
from optml.formats.content_type import CSV, JSON

FOLDER = Path("out/demo")
K = 10
TEST_ROWS = 297  # the last ones of 1,797
ASKED = 5


def main() -> int:
    """Run the demo; returns the exit code."""
    start = time.perf_counter()
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        print("the demo needs the extra 'plot': pip install 'optml[plot]'", file=sys.stderr)
        return 2
    pixels, digits = load_digits(return_X_y=True)  # 8 x 8 images, flattened; UCI's handwritten digits
    try:
        code = _demo(pixels.astype(np.float32), digits)
    except (UserError, PlatformError) as error:
        print(error, file=sys.stderr)
        return 1
    if code == 0:
        print(f"done in {time.perf_counter() - start:.1f} s")
    return code


def _demo(pixels: np.ndarray, digits: np.ndarray) -> int:
    shutil.rmtree(FOLDER, ignore_errors=True)
    train, test = pixels[:-TEST_ROWS], pixels[-TEST_ROWS:]
    _write(train, FOLDER / "train" / "digits.pbr")
    _write(test, FOLDER / "test" / "digits.pbr")
    _say(f"1. training on {len(train)} digits of 64 pixels, testing on {len(test)} (RecordIO-protobuf)")
    from optml.local import cli

    options = [f"k={K}", "feature_dim=64", "epochs=5", "mini_batch_size=500", 'eval_metrics=["msd","ssd"]']
    words = ["train", "kmeans", "--train", f"{FOLDER}/train", "--test", f"{FOLDER}/test"]
    words += [word for option in options for word in ("-p", option)]
    code = cli.main([*words, "--model-dir", f"{FOLDER}/model"])
    if code:
        return code
    _say("2. serving the model over HTTP, and asking it")
    answers = _ask(test[:ASKED])
    for digit, answer in zip(digits[-TEST_ROWS:], answers, strict=False):
        cluster, distance = answer["closest_cluster"], answer["distance_to_cluster"]
        print(f"   a handwritten {digit} is closest to centroid {cluster:.0f}, at distance {distance:.2f}")
    _say("3. drawing the centroids")
    from safetensors.numpy import load_file

    centers = load_file(FOLDER / "model" / "model.safetensors")["centers"]
    picture = FOLDER / "centroids.png"
    _draw(centers, picture)
    print(f"   picture: {picture}")
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


def _write(rows: np.ndarray, path: Path) -> None:
    from optml.formats.record_encoding import encode
    from optml.formats.records import Records

    path.parent.mkdir(parents=True)
    path.write_bytes(encode(Records(rows)))


def _ask(rows: np.ndarray) -> list[dict[str, float]]:
    """The answers of a server, started for the purpose, to a CSV request."""
    from optml.local.client import Client
    from optml.local.endpoint import Endpoint

    body = "\n".join(",".join(f"{value:g}" for value in row) for row in rows).encode()
    headers = {"Content-Type": CSV, "Accept": JSON}
    with Endpoint(FOLDER / "model") as endpoint, Client(endpoint.url, timeout=60.0) as client:
        print(f"   POST {endpoint.url}/invocations")
        answer = client.post("/invocations", body, headers)
    if not answer.ok:
        raise UserError(f"the server answers {answer.status}: {answer.body.decode(errors='replace')}")
    predictions: list[dict[str, float]] = json.loads(answer.body)["predictions"]
    return predictions


def _draw(centers: np.ndarray, path: Path) -> None:
    """The centroids (k, 64) as 8 x 8 images, five in a row."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = 5
    rows = -(-len(centers) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(1.7 * columns, 2.2 * rows), squeeze=False)
    cells: list[Any] = axes.ravel().tolist()
    for number, axis in enumerate(cells):
        axis.axis("off")
        if number < len(centers):
            axis.imshow(
                centers[number].reshape(8, 8), cmap="gray_r", vmin=0, vmax=16, interpolation="nearest"
            )
            axis.set_title(f"centroid {number}", fontsize=10)
    figure.suptitle(f"The {len(centers)} centroids that K-Means finds among handwritten digits", fontsize=12)
    figure.tight_layout(h_pad=1.5)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())

"""Factorization machines on a CPU: speed of the step against PyTorch, quality against libFM.

python -m benchmarks.factorization_machines [--libfm PATH]

step        rows/s of `Learner.update` and of a factorization machine of PyTorch (embeddings, SparseAdam) on
            the same batches; the bytes that a step must move, over the bandwidth of a copy, tell what is left
MovieLens   settings and number of passes of each contestant are chosen on a fifth of the ratings; then it
            trains on these as well, and is scored on the test ratings. libFM (S. Rendle, ACM TIST 3(3), 2012;
            github.com/srendle/libfm, built by `make`) by three methods, where --libfm names the program
planted     the data and bounds of the specification
MNIST       0 against the other digits: AWS's own notebook has an accuracy of 0.9806 at these settings
adult       income above 50K from one-hot features, beside scikit-learn's logistic regression
"""

from __future__ import annotations

import csv
import gzip
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array, hstack

from benchmarks.environment import options, save
from benchmarks.timing import compare
from optml.algorithms.base import Setting
from optml.algorithms.factorization_machines import ALGORITHM
from optml.algorithms.factorization_machines.learner import Learner
from optml.container.group import Alone
from optml.formats.records import Records

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FACTORS = 64  # of the step, as in AWS's published log
PASSES = 30  # at most, on MovieLens
RANK = 16


def one_hot(*columns: np.ndarray) -> csr_array:
    """A feature for each value of each column of small integers."""
    n = len(columns[0])
    starts = np.cumsum([0, *(int(column.max()) + 1 for column in columns)])
    indices = np.stack([column + start for column, start in zip(columns, starts, strict=False)], axis=1)
    ones, indptr = np.ones(indices.size, np.float32), np.arange(n + 1, dtype=np.int32) * len(columns)
    return csr_array((ones, indices.ravel().astype(np.int32), indptr), shape=(n, int(starts[-1])))


def learner(width: int, **given: Any) -> Learner:
    return Learner(Setting(ALGORITHM.hyperparameters(feature_dim=width, **given), Alone()))


def batches(features: Any, labels: np.ndarray, size: int) -> list[Records]:
    cuts = range(0, features.shape[0], size)
    return [Records(features[at : at + size], labels[at : at + size, None]) for at in cuts]


def passes(state: Learner, features: Any, labels: np.ndarray, count: int) -> Iterator[float]:
    """Train; the seconds so far, after each pass."""
    parts = batches(features, labels, state.hyperparameters.mini_batch_size)
    seconds = 0.0
    for _ in range(count):
        start = time.perf_counter()
        for part in parts:
            state.update(part)
        state.end_round()
        seconds += time.perf_counter() - start
        yield seconds


def scores(state: Learner, features: Any, labels: np.ndarray) -> dict[str, float]:
    found = state.evaluate("test", batches(features, labels, 10_000))
    return {metric.name.partition(":")[2]: metric.value for metric in found}


def torch_steps(width: int, parts: Sequence[Records]) -> Callable[[], object]:
    """The same model with the same rule, as it is most often written."""
    import torch
    from torch import nn

    factors = nn.Embedding(width, FACTORS, sparse=True)
    linear = nn.EmbeddingBag(width, 1, mode="sum", sparse=True)
    bias = nn.Parameter(torch.zeros(1))
    nn.init.normal_(factors.weight, std=0.001)
    sparse = torch.optim.SparseAdam(
        [{"params": [factors.weight], "lr": 1e-4}, {"params": [linear.weight], "lr": 1e-3}]
    )
    dense = torch.optim.Adam([bias], lr=0.1)
    ids = [torch.from_numpy(part.features.indices.reshape(len(part), -1)).long() for part in parts]
    labels = [torch.from_numpy(part.labels[:, 0]).float() for part in parts]  # type: ignore[index]

    def run() -> None:
        for rows, label in zip(ids, labels, strict=True):
            v = factors(rows)  # (n, nnz, k)
            pair = 0.5 * (v.sum(1).square() - v.square().sum(1)).sum(1)
            loss = 0.5 * (bias + linear(rows)[:, 0] + pair - label).square().mean()
            sparse.zero_grad()
            dense.zero_grad()
            loss.backward()
            sparse.step()
            dense.step()

    return run


def step(width: int, entries: int, size: int) -> dict[str, Any]:
    """One row of the table of speeds: `entries` one-hot columns, `size` rows in a batch."""
    rng = np.random.default_rng(0)
    features = one_hot(*(rng.integers(0, width // entries, 100 * size) for _ in range(entries)))
    labels = rng.normal(size=100 * size)
    parts = batches(features, labels, size)
    state = learner(width, num_factors=FACTORS, predictor_type="regressor", mini_batch_size=size)
    contestants: dict[str, Callable[[], object]] = {"ours": lambda: [state.update(part) for part in parts]}
    try:
        contestants["PyTorch"] = torch_steps(width, parts)
    except ImportError:
        print("torch is not installed: left out")
    seconds = compare(contestants)
    touched = np.mean([len(np.unique(part.features.indices)) for part in parts])
    # Rows read for scores, s written and read by feature; six times a row, for it and two moments.
    moved = 4 * (size * FACTORS * (2 * entries + 1) + 6 * touched * (FACTORS + 1))
    return {
        "features": width,
        "entries": entries,
        "batch": size,
        "rows_per_second": {name: 100 * size / value for name, value in seconds.items()},
        "touched": touched,
        "bytes_per_second": 100 * moved / seconds["ours"],
    }


def bandwidth() -> float:
    """Bytes/s, read and written, of a copy by one core, of an array that no cache holds."""
    source = np.ones(1 << 27, np.float32)
    target = np.empty_like(source)
    return 2 * source.nbytes / compare({"copy": lambda: np.copyto(target, source)})["copy"]


def planted() -> dict[str, float]:
    """RMSE on the last tenth of 200,000 ratings with interactions of rank 4 and noise of 0.8."""
    random = np.random.RandomState(0)
    users, items, n = 1000, 1500, 200_000
    bias_user, bias_item = 0.4 * random.randn(users), 0.5 * random.randn(items)
    user_factors, item_factors = 0.7 * random.randn(users, 4), 0.7 * random.randn(items, 4)
    user, item = random.randint(users, size=n), random.randint(items, size=n)
    labels = 3.5 + bias_user[user] + bias_item[item] + (user_factors[user] * item_factors[item]).sum(axis=1)
    labels += 0.8 * random.randn(n)
    features, cut = one_hot(user, item), n * 9 // 10
    found = {}
    for name, epochs, given in (
        ("tuned", 5, {"linear_lr": 0.01, "factors_lr": 0.01}),
        ("defaults", 20, {}),
    ):
        state = learner(features.shape[1], num_factors=8, predictor_type="regressor", **given)
        *_, seconds = passes(state, features[:cut], labels[:cut], epochs)
        found[name] = scores(state, features[cut:], labels[cut:])["rmse"]
        found[f"{name}_seconds"] = seconds
    return found


def movielens(libfm: Path | None) -> list[dict[str, Any]]:
    with gzip.open(DATA / "movielens_latest_small/ratings.csv.gz", "rt") as file:
        table = np.array([[float(text) for text in row[:3]] for row in list(csv.reader(file))[1:]])
    user, movie = (np.unique(table[:, column], return_inverse=True)[1] for column in (0, 1))
    labels, fold = table[:, 2], np.arange(len(table)) % 5
    order = np.random.default_rng(0).permutation(len(table))  # the file is sorted by user
    learn, choose = order[fold[order] < 3], order[fold[order] == 3]
    train, test = order[fold[order] != 4], order[fold[order] == 4]
    features = one_hot(user, movie)
    ours = _ours_on_movielens(features, labels, (learn, choose, train, test))
    if libfm is None:
        print("libFM is not at hand (--libfm): left out")
        return [ours]
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name, rows in (("learn", learn), ("choose", choose), ("train", train), ("test", test)):
            path = Path(folder, name)
            lines = (f"{labels[r]} {user[r]}:1 {user.max() + 1 + movie[r]}:1\n" for r in rows.tolist())
            path.write_text("".join(lines))
            files.append(path)
        found = [_libfm(libfm, method, grid, files) for method, grid in LIBFM.items()]
    for row in found:  # when ours was as good
        reached = (seconds for seconds, rmse in ours["curve"] if rmse <= row["rmse"])
        row["ours_seconds"] = next(reached, None)
    return [ours, *found]


def _ours_on_movielens(features: csr_array, labels: np.ndarray, rows: Sequence[np.ndarray]) -> dict[str, Any]:
    learn, choose, train, test = rows
    best: tuple[float, int, dict[str, Any]] = (np.inf, 0, {})
    for rate, decay, size in itertools.product((0.001, 0.003), (1e-4, 3e-4, 5e-4, 1e-3), (200, 1000)):
        given = {
            "factors_lr": rate, "linear_lr": rate, "factors_wd": decay, "mini_batch_size": size,
            "factors_init_sigma": 0.01,
        }  # fmt: skip
        state = learner(features.shape[1], num_factors=RANK, predictor_type="regressor", **given)
        for number, _ in enumerate(passes(state, features[learn], labels[learn], PASSES), 1):
            rmse = scores(state, features[choose], labels[choose])["rmse"]
            best = min(best, (rmse, number, given), key=lambda one: one[0])
    chosen, count, given = best
    state = learner(features.shape[1], num_factors=RANK, predictor_type="regressor", **given)
    curve = [
        (seconds, scores(state, features[test], labels[test])["rmse"])
        for seconds in passes(state, features[train], labels[train], count)
    ]
    seconds, rmse = curve[-1]
    return {
        "who": "ours",
        "rmse": rmse,
        "passes": count,
        "seconds": seconds,
        "chosen": given,
        "at": chosen,
        "curve": curve,
    }


LIBFM: dict[str, list[tuple[str, ...]]] = {
    "sgd": [
        ("-learn_rate", rate, "-regular", f"0,{decay},{factor_decay}")
        for rate in ("0.005", "0.01", "0.02")
        for decay, factor_decay in (("0.02", "0.02"), ("0.05", "0.05"), ("0.05", "0.1"), ("0.05", "0.2"))
    ],
    "als": [("-regular", text) for text in ("5,5,5", "10,10,10", "5,5,20", "5,5,40")],
    "mcmc": [()],
}


def _libfm(
    program: Path, method: str, grid: Sequence[tuple[str, ...]], files: Sequence[Path]
) -> dict[str, Any]:
    learn, choose, train, test = files

    def run(data: Path, held_out: Path, count: int, settings: Sequence[str]) -> tuple[list[float], float]:
        """RMSE on `held_out` after each pass, and the seconds that the program took."""
        command = [
            str(program), "-task", "r", "-train", str(data), "-test", str(held_out), "-dim", f"1,1,{RANK}",
            "-iter", str(count), "-method", method, "-init_stdev", "0.1", "-seed", "1", *settings,
        ]  # fmt: skip
        start = time.perf_counter()
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        seconds = time.perf_counter() - start
        lines = [line for line in told.splitlines() if "Test=" in line]
        return [float(line.split("Test=")[1].split()[0]) for line in lines], seconds

    best: tuple[float, int, tuple[str, ...]] = (np.inf, 0, ())
    for settings in grid:
        found, _ = run(learn, choose, 100 if method == "mcmc" else PASSES, settings)
        number = int(np.argmin(found)) + 1
        best = min(best, (found[number - 1], number, settings), key=lambda one: one[0])
    chosen, count, settings = best
    found, seconds = run(train, test, count, settings)
    _, reading = run(train, test, 0, settings)
    return {
        "who": f"libFM {method}",
        "rmse": found[-1],
        "passes": count,
        "seconds": seconds - reading,
        "chosen": " ".join(settings),
        "at": chosen,
    }


def mnist() -> dict[str, float]:
    data = np.load(DATA / "mnist/mnist.npz")
    train, test = (
        data[name].reshape(len(data[name]), -1).astype(np.float32) / 255 for name in ("x_train", "x_test")
    )
    state = learner(784, num_factors=10, predictor_type="binary_classifier", mini_batch_size=200)
    *_, seconds = passes(state, train, (data["y_train"] == 0).astype(float), 1)
    return scores(state, test, (data["y_test"] == 0).astype(float)) | {
        "seconds": seconds,
        "rows_per_second": len(train) / seconds,
    }


NUMBERS = (0, 2, 4, 10, 11, 12)  # columns of adult that are no categories


def adult() -> dict[str, dict[str, float]]:
    tables = []
    for name in ("adult-train", "adult-test"):
        with gzip.open(DATA / f"tabular/{name}.csv.gz", "rt") as file:
            tables.append([[cell.strip() for cell in row] for row in csv.reader(file) if len(row) == 15])
    cut, rows = len(tables[0]), tables[0] + tables[1]
    labels = np.array([row[14].startswith(">50K") for row in rows], np.float64)
    codes = [np.unique([r[c] for r in rows], return_inverse=True)[1] for c in range(14) if c not in NUMBERS]
    numbers = np.array([[float(row[column]) for column in NUMBERS] for row in rows])
    numbers = (numbers - numbers[:cut].mean(axis=0)) / numbers[:cut].std(axis=0)
    features = csr_array(hstack([one_hot(*codes), numbers.astype(np.float32)], format="csr"))
    order = np.random.default_rng(0).permutation(cut)
    state = learner(
        features.shape[1], num_factors=8, predictor_type="binary_classifier", linear_lr=0.01, factors_lr=0.001
    )
    *_, seconds = passes(state, features[order], labels[order], 10)
    found = {"ours": scores(state, features[cut:], labels[cut:]) | {"seconds": seconds}}
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import log_loss
    except ImportError:
        return found
    start = time.perf_counter()
    peer = LogisticRegression(max_iter=1000).fit(features[:cut], labels[:cut])
    seconds = time.perf_counter() - start
    likely = peer.predict_proba(features[cut:])[:, 1]
    found["LogisticRegression"] = {
        "binary_classification_accuracy": float(((likely >= 0.5) == labels[cut:]).mean()),
        "binary_classification_cross_entropy": float(log_loss(labels[cut:], likely)),
        "seconds": seconds,
    }
    return found


def main() -> int:
    """Run, print the tables, and write factorization_machines-cpu.json."""
    parser = options(__doc__)
    parser.add_argument("--libfm", type=Path, help="the program libFM")
    given = parser.parse_args()
    limit = bandwidth()
    print(f"bandwidth of a copy: {limit / 1e9:.1f} GB/s, one core\n")
    print(f"{'features':>10} {'entries':>7} {'batch':>6} {'ours rows/s':>12} {'PyTorch':>9} {'GB/s':>6}")
    rows = []
    for width, entries, size in ((9284, 2, 1000), (9284, 2, 10_000), (1_000_000, 20, 1000)):
        row = step(width, entries, size)
        rows.append(row | {"share_of_bandwidth": row["bytes_per_second"] / limit})
        speed = row["rows_per_second"]
        print(
            f"{width:10} {entries:7} {size:6} {speed['ours']:12.0f} {speed.get('PyTorch', np.nan):9.0f} "
            f"{row['bytes_per_second'] / 1e9:6.1f}",
            flush=True,
        )
    facts: dict[str, Any] = {"bandwidth": limit, "planted": planted()}
    print("\nplanted:", facts["planted"])
    if DATA.exists():
        facts |= {"movielens": movielens(given.libfm), "mnist": mnist(), "adult": adult()}
        print(f"\n{'MovieLens':12} {'RMSE':>7} {'passes':>6} {'seconds':>8} {'ours to':>8}")
        for row in facts["movielens"]:
            measured = f"{row['rmse']:7.4f} {row['passes']:6} {row['seconds']:8.2f}"
            print(f"{row['who']:12} {measured} {row.get('ours_seconds') or np.nan:8.2f}   {row['chosen']}")
        print("\nMNIST, 0 against the others:", facts["mnist"])
        print("adult:", facts["adult"])
    else:
        print("../shared/data is not at hand: MovieLens, MNIST and adult are left out")
    print(save("factorization_machines-cpu", rows, folder=given.out, **facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())

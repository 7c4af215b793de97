"""IP Insights on a CPU: speed of the step against PyTorch, quality on made-up logins and on real traffic.

python -m benchmarks.ipinsights [--parts speed tutorial zeek] [--seeds 3]

speed       samples/s of `Learner.update` and of the same model in PyTorch (embeddings with SparseAdam) on the
            same batches; the bytes that a step must move over the bandwidth of a copy, and the sums of its
            matrix products over their peak, tell what is left; MB/s of the reader of CSV
tutorial    AWS's notebook, on made-up networks (`ip_networks.py`), at its settings; beside encoders without
            prefixes and how often an entity was seen in a network (counts with back-off). As there, an alarm
            is a score below 0; recall is the share of logins from random networks that raise one, precision
            the share of such logins among the alarms
zeek        names and their addresses, clients and their servers, of a contest's traffic: labelled pairs of
            the last fifth. Settings are chosen on later parts of what is given for training (`FOLDS`)
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.environment import options, save
from benchmarks.ip_counts import Counts
from benchmarks.ip_networks import Events, Networks, events
from benchmarks.timing import compare
from optml.algorithms.base import Setting
from optml.algorithms.ip_insights import ALGORITHM
from optml.algorithms.ip_insights.data import Batch, Observed
from optml.algorithms.ip_insights.learner import Learner
from optml.algorithms.ip_insights.pairs import Pairs, scan
from optml.algorithms.ip_insights.quality import area_under_curve
from optml.algorithms.ip_insights.sampling import expand
from optml.algorithms.ip_insights.sketch import Sketch
from optml.algorithms.kernels.pairs import SHORT
from optml.algorithms.kernels.pairs.terms import BITS, LENGTHS, PREFIXES, bits
from optml.algorithms.kernels.pairs.view_cpu import prefix_rows_of
from optml.container.group import Alone

ZEEK = Path(__file__).resolve().parents[2] / "shared" / "data" / "zeek_wrccdc2018"
TUTORIAL: dict[str, Any] = {
    "num_entity_vectors": 20_000,
    "vector_dim": 128,
    "random_negative_sampling_rate": 5,
    "shuffled_negative_sampling_rate": 1,
    "mini_batch_size": 1000,
    "learning_rate": 0.01,
    "epochs": 5,
}
AWS_SAMPLES = 138_000  # a second, in the log of a machine with one V100
HELD_OUT = 100_000  # pairs
FOLDS = (0.5, 0.65, 0.8)  # of the training data to learn from; the next fifth of it is to be told apart
NEGATIVES = ((1, 0), (1, 1), (0, 2), (0, 5))  # random and shuffled, that zeek tries


def learner(pairs: Pairs, seed: int = 0, **given: Any) -> Learner:
    """Of a job whose channel holds these pairs."""
    hyperparameters = ALGORITHM.hyperparameters(**given)
    count = hyperparameters.num_entity_vectors
    observed = Observed([(pairs.rows(count), pairs.addresses)], Sketch.empty(count))
    observed.entities.add(pairs.hashes)
    train = SimpleNamespace(observed=observed)
    return Learner(Setting(hyperparameters, Alone(), seed=seed, train=train))


def batches(pairs: Pairs, state: Learner, epoch: int, seed: int = 0) -> Iterator[Batch]:
    """The samples of an epoch, all of one block."""
    given = state.hyperparameters
    samples = expand(
        pairs.rows(given.num_entity_vectors),
        pairs.addresses,
        given.random_negative_sampling_rate,
        given.shuffled_negative_sampling_rate,
        (seed, epoch),
    )
    for start in range(0, len(samples), given.mini_batch_size):
        yield Batch(samples[start : start + given.mini_batch_size], start / len(samples))


def torch_steps(given: Any, parts: Sequence[Batch]) -> Callable[[], object]:
    """The same model with the same rule, as it is most often written."""
    import torch
    from torch import nn

    width = given.vector_dim
    entities = nn.Embedding(given.num_entity_vectors, width, sparse=True)
    prefixes = nn.EmbeddingBag(PREFIXES, width, mode="sum", sparse=True)
    encoder = nn.ModuleList(
        [nn.Linear(BITS, width, bias=False)]
        + [nn.Linear(width, width) for _ in range(given.num_ip_encoder_layers)]
    )
    for table in (entities, prefixes):
        nn.init.normal_(table.weight, std=0.05)
    tables = [entities.weight, prefixes.weight] if given.ip_prefix_tables else [entities.weight]
    sparse = torch.optim.SparseAdam(tables, lr=given.learning_rate)
    dense = torch.optim.Adam(encoder.parameters(), lr=given.learning_rate, weight_decay=given.weight_decay)
    loss_of = nn.BCEWithLogitsLoss()
    short = sum(length <= SHORT for length in LENGTHS)
    inputs = [
        (
            torch.from_numpy(part.samples.rows.astype(np.int64)),
            torch.from_numpy(bits(part.samples.addresses)),
            torch.from_numpy(prefix_rows_of(part.samples.addresses).astype(np.int64)),
            torch.from_numpy(part.samples.labels),
            torch.from_numpy(np.flatnonzero(~part.samples.teaching)),
        )
        for part in parts
    ]

    def run() -> None:
        for rows, signs, prefix_rows, labels, others in inputs:
            e = encoder[0](signs)
            if given.ip_prefix_tables:
                e = e + prefixes(prefix_rows)
                learnt = prefixes(prefix_rows[others, :short])
                e = e.index_add(0, others, learnt.detach() - learnt)  # the same value without its gradient
            for place, layer in enumerate(encoder[1:], 1):
                e = layer(e) if place == len(encoder) - 1 else torch.relu(layer(e))
            loss = loss_of((entities(rows) * e).sum(1), labels)
            sparse.zero_grad()
            dense.zero_grad()
            loss.backward()
            sparse.step()
            dense.step()

    return run


def step(pairs: Pairs, count: int, **changed: Any) -> dict[str, Any]:
    """One row of the table of speeds, over `count` batches."""
    state = learner(pairs, **(TUTORIAL | changed))
    given = state.hyperparameters
    parts = [batch for batch, _ in zip(batches(pairs, state, 0), range(count), strict=False)]
    samples = sum(map(len, parts))
    seconds = compare(
        {"ours": lambda: [state.update(part) for part in parts], "PyTorch": torch_steps(given, parts)}, 3
    )
    views = [state.parameters.view(part.samples) for part in parts[:10]]
    addresses, entities, prefixes = (
        float(np.mean([len(array) for array in arrays])) / given.mini_batch_size
        for arrays in (
            [view.addresses for view in views],
            [view.entities.rows for view in views],
            [view.prefixes.rows for view in views],
        )
    )
    width, layers = given.vector_dim, given.num_ip_encoder_layers
    # Of a sample: its entity and its address's prefixes are read; of touched rows values and two moments, and
    # written.
    moved = 4 * width * (1 + addresses * len(LENGTHS) * given.ip_prefix_tables + 6 * (entities + prefixes))
    products = 2 * addresses * width * (2 * BITS + 3 * layers * width)
    return {
        **{name: getattr(given, name) for name in ("mini_batch_size", "vector_dim", "ip_prefix_tables")},
        "samples_per_second": {name: samples / value for name, value in seconds.items()},
        "bytes_per_sample": moved,
        "flops_per_sample": products,
    }


def limits() -> dict[str, float]:
    """Of this machine: bytes/s, read and written, of a copy that two threads share, and float32 FLOP/s."""
    from optml.algorithms.kernels.machine.threads import in_parts

    source = np.ones(1 << 26, np.float32)
    target = np.empty_like(source)

    def copy(start: int, stop: int) -> None:
        np.copyto(target[start:stop], source[start:stop])

    matrix = np.ones((2048, 2048), np.float32)
    seconds = compare({"copy": lambda: in_parts(copy, len(source), 1), "product": lambda: matrix @ matrix})
    return {"bandwidth": 2 * source.nbytes / seconds["copy"], "flops": 2 * 2048**3 / seconds["product"]}


def speed(folder: Path, seeds: int) -> None:
    """One seed: a step takes as long with any."""
    found = limits()
    print(f"copy {found['bandwidth'] / 1e9:.1f} GB/s, products {found['flops'] / 1e9:.0f} GFLOP/s\n")
    print(f"{'batch':>6} {'R+S':>4} {'prefixes':>8} {'ours':>9} {'PyTorch':>9} {'ratio':>6} {'of limit':>8}")
    logins = events(Networks.made_up())
    text = logins[:2_000_000].csv()
    start = time.perf_counter()
    pairs, _ = scan(text, "logins")
    found["csv_bytes_per_second"] = len(text) / (time.perf_counter() - start)
    pairs = Pairs(pairs.hashes[:280_000], pairs.addresses[:280_000])
    rows = []
    for count, changed in (
        (30, {}),
        (30, {"_ip_prefix_tables": False}),
        (4, {"mini_batch_size": 10_000, "random_negative_sampling_rate": 1}),
    ):
        row = step(pairs, count, **changed)
        best = row["bytes_per_sample"] / found["bandwidth"] + row["flops_per_sample"] / found["flops"]
        ours, theirs = row["samples_per_second"].values()
        rows.append(
            row | {"of_limit": ours * best, "times_pytorch": ours / theirs, "of_aws": ours / AWS_SAMPLES}
        )
        negatives = (TUTORIAL | changed)["random_negative_sampling_rate"] + 1
        print(
            f"{row['mini_batch_size']:6} {negatives:4} {row['ip_prefix_tables']!s:>8} {ours:9.0f} "
            f"{theirs:9.0f} {ours / theirs:6.1f} {100 * ours * best:6.0f} %",
            flush=True,
        )
    print(f"CSV: {found['csv_bytes_per_second'] / 1e6:.0f} MB/s, one core")
    print(save("ipinsights-cpu", rows, folder=folder, **found))


def tutorial(folder: Path, seeds: int) -> None:
    networks = Networks.made_up()
    logins = events(networks)
    cut = len(logins) * 7 // 10
    train, held_out = logins[:cut], logins[cut : cut + HELD_OUT]
    generator = np.random.default_rng(5)
    anywhere = generator.integers(0, 1 << 32, HELD_OUT, np.uint32)
    travels = Events(
        generator.integers(0, 10_000, HELD_OUT),
        networks.addresses(generator.integers(0, len(networks.starts), HELD_OUT), generator),
    )

    def judged(usual: np.ndarray, random: np.ndarray, elsewhere: np.ndarray) -> dict[str, float]:
        false, right = (float((scores <= 0).mean()) for scores in (usual, elsewhere))
        return {
            "auc": area_under_curve(usual, random),
            "recall": right,
            "precision": right / (right + false),
            "usual_without_alarm": 1 - false,
        }

    counts = Counts(train.users, train.addresses)
    places = (
        (held_out.users, held_out.addresses),
        (held_out.users, anywhere),
        (travels.users, travels.addresses),
    )
    rows: list[dict[str, Any]] = [{"who": "counts"} | judged(*(counts.score(*pair) for pair in places))]
    pairs = scan(train.csv(), "train")[0]
    asked = [scan(some.csv(), "x")[0] for some in (held_out, Events(held_out.users, anywhere), travels)]
    for prefixes, seed in ((prefixes, seed) for prefixes in (True, False) for seed in range(seeds)):
        state = learner(pairs, seed, **TUTORIAL, _ip_prefix_tables=prefixes)
        history, start = [], time.perf_counter()
        for epoch in range(TUTORIAL["epochs"]):
            for batch in batches(pairs, state, epoch, seed):
                state.update(batch)
            history.append([metric.value for metric in state.end_round()])
        seconds = time.perf_counter() - start
        model = state.model()
        assert model is not None
        scores = [model.predict(some, {})["dot_product"] for some in asked]
        accuracy, loss = history[-1]
        rows.append(
            {"who": "ours" if prefixes else "ours, bits alone", "seed": seed}
            | {"accuracy": accuracy, "cross_entropy": loss}
            | judged(*scores)
            | {"samples_per_second": 5 * 7 * len(pairs) / seconds, "first_epoch": history[0]}
        )
        print(rows[-1], flush=True)
    for who in ("counts", "ours", "ours, bits alone"):
        some = [row for row in rows if row["who"] == who]
        means = {
            name: np.mean([row[name] for row in some])
            for name, value in some[0].items()
            if isinstance(value, float)
        }
        print(f"{who}: " + ", ".join(f"{name} {mean:.4f}" for name, mean in means.items()))
    print(save("ipinsights-tutorial", rows, folder=folder, pairs=len(pairs)))


def rows_of(name: str) -> list[list[str]]:
    with gzip.open(ZEEK / name, "rt", newline="") as file:
        return list(csv.reader(file))


def text_of(rows: Sequence[Sequence[str]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(row[:2] for row in rows)
    return out.getvalue().encode()


def labelled(train: Sequence[Sequence[str]], rest: Sequence[Sequence[str]]) -> list[tuple[str, str, str]]:
    """Distinct pairs of the rest whose entity occurs in train, and as many of the same entities with an
    address of anybody's that was never seen with it, as the data's README makes them."""
    generator = np.random.default_rng(3)
    everything = {tuple(row) for row in (*train, *rest)}
    entities, addresses = {row[0] for row in train}, sorted({row[1] for row in (*train, *rest)})
    usual = sorted((row[0], row[1]) for row in {tuple(row) for row in rest} if row[0] in entities)
    strange = []
    for entity, _ in usual:
        address = addresses[generator.integers(len(addresses))]
        while (entity, address) in everything:
            address = addresses[generator.integers(len(addresses))]
        strange.append((entity, address))
    return [(*pair, "1") for pair in usual] + [(*pair, "0") for pair in strange]


def zeek(folder: Path, seeds: int) -> None:
    rows = []
    for name, entities in (("dns_query_ip", 2000), ("tls_client_server", 200)):
        train, test = rows_of(f"{name}_train.csv.gz"), rows_of(f"{name}_test_labelled.csv.gz")
        folds = []
        for share in FOLDS:
            cut, end = int(len(train) * share), int(len(train) * (share + 0.2))
            folds.append((train[:cut], labelled(train[:cut], train[cut:end])))
        best: tuple[float, dict[str, Any]] = (0.0, {})
        for (random, shuffled), rate, prefixes in product(NEGATIVES, (0.003, 0.01), (True, False)):
            given = {
                "num_entity_vectors": entities,
                "vector_dim": 32,
                "mini_batch_size": 1000,
                "learning_rate": rate,
                "random_negative_sampling_rate": random,
                "shuffled_negative_sampling_rate": shuffled,
                "_ip_prefix_tables": prefixes,
            }
            found = float(np.mean([area(*fold, given, 0) for fold in folds]))
            print(f"{name}: {random} + {shuffled}, {rate}, prefixes {prefixes}: {found:.4f}", flush=True)
            best = max(best, (found, given), key=lambda one: one[0])
        of_folds, given = best
        areas = [area(train, test, given, seed) for seed in range(seeds)]
        rows.append(
            {"data": name, "auc": np.mean(areas), "of_seeds": areas, "fold_auc": of_folds, "chosen": given}
        )
        print(rows[-1], flush=True)
    print(save("ipinsights-zeek", rows, folder=folder))


def area(
    train: Sequence[Sequence[str]], test: Sequence[Sequence[str]], given: dict[str, Any], seed: int
) -> float:
    """How well the labelled pairs are told apart after all epochs."""
    pairs, asked = scan(text_of(train), "train")[0], scan(text_of(test), "test")[0]
    state = learner(pairs, seed, **given)
    usual = np.array([row[2] == "1" for row in test])
    for epoch in range(state.hyperparameters.epochs):
        for batch in batches(pairs, state, epoch, seed):
            state.update(batch)
        list(state.end_round())
    scores = state.finish()[0].predict(asked, {})["dot_product"]
    return area_under_curve(scores[usual], scores[~usual])


PARTS: dict[str, Callable[[Path, int], None]] = {"speed": speed, "tutorial": tutorial, "zeek": zeek}


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=3, help="of which quality is the mean")
    given = parser.parse_args()
    for part in given.parts:
        if part == "zeek" and not ZEEK.exists():
            print("../shared/data is not at hand: zeek is left out")
            continue
        print(f"-- {part}")
        PARTS[part](given.out, given.seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())

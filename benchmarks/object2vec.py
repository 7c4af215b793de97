"""Object2Vec on a CPU: pairs of sentences and ratings of movies, against plain PyTorch in the same run.

    python -m benchmarks.object2vec [speed|sick|movielens] [--seeds N]

speed      pairs per second of processor time of training a pooled encoder with a tied table, ours and the
           same network in plain PyTorch with Adam; reading JSON lines; scores of a request of 1,000 pairs
sick       SICK 2014: entailment (accuracy) and relatedness (Pearson's correlation) on its test pairs, of the
           epoch that is best on its trial pairs, with a tied table; settings of the specification, as a user
           would set them for 4,500 pairs: dim 300, mlp 1 x 256 tanh, Adam 1e-3, batch 64, dropout .2
movielens  a random tenth of the ratings, another one chooses the epoch: RMSE of regression, dim 64, and of
           our own Factorization Machines with 64 factors on users and movies
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.environment import options, save
from optml.container.group import Alone

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TOKEN = re.compile(r"\w+|[^\w\s]")
CLASSES = {"ENTAILMENT": 0, "NEUTRAL": 1, "CONTRADICTION": 2}
SENTENCES = {
    "enc0_max_seq_len": 50, "enc0_token_embedding_dim": 300, "mlp_layers": 1, "mlp_dim": 256, "dropout": 0.2,
    "mlp_activation": "tanh", "mini_batch_size": 64, "learning_rate": 1e-3,
    "tied_token_embedding_weight": True, "comparator_list": "hadamard, abs_diff",
}  # fmt: skip
ENCODERS = {
    "pooled": {"enc0_network": "pooled_embedding"},
    "bilstm": {"enc0_network": "bilstm", "enc_dim": 256},
}
TASKS = {
    "entailment": {"output_layer": "softmax", "num_classes": 3},
    "relatedness": {"output_layer": "mean_squared_error"},
}
EPOCHS = 8
LARGE = 267_522  # tokens of the vocabulary in AWS's notebook


class Lines:
    """A channel of JSON lines in memory."""

    wrapper, distribution = "None", "FullyReplicated"

    def __init__(self, records: list[dict[str, Any]], name: str = "train") -> None:
        self.name = name
        self.content = b"".join(orjson.dumps(record) + b"\n" for record in records)

    def streams(self) -> Iterator[tuple[str, Any]]:
        yield "a.jsonl", io.BytesIO(self.content)

    def stopped(self) -> bool:
        return False


def sick() -> tuple[dict[str, list[tuple[list[int], list[int], float, int]]], int]:
    """The pairs of each part: ids of both sentences, relatedness, class; and the size of the vocabulary."""
    ids: dict[str, int] = {"<pad>": 0, "<unk>": 1}
    parts = {}
    for name, file in (("train", "SICK_train"), ("trial", "SICK_trial"), ("test", "SICK_test_annotated")):
        with gzip.open(DATA / "sick2014" / f"{file}.txt.gz", "rt", encoding="utf-8") as lines:
            rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
        pairs = []
        for row in rows:
            sides = [TOKEN.findall(text.lower()) for text in row[1:3]]
            if name == "train":
                for word in (*sides[0], *sides[1]):
                    ids.setdefault(word, len(ids))
            first, second = ([ids.get(word, 1) for word in side] for side in sides)
            pairs.append((first, second, float(row[3]), CLASSES[row[4].strip()]))
        parts[name] = pairs
    return parts, len(ids)


def records(pairs: Any, task: str) -> list[dict[str, Any]]:
    place = 3 if task == "entailment" else 2
    return [{"in0": pair[0], "in1": pair[1], "label": pair[place]} for pair in pairs]


def trained(train: Lines, trial: Lines, seed: int, epochs: int, **given: Any) -> tuple[Any, float]:
    """The model of the best epoch by the loss on the trial pairs, and pairs per second of processor time."""
    from optml.algorithms.base import Setting
    from optml.algorithms.object2vec import ALGORITHM
    from optml.algorithms.object2vec.data import data
    from optml.algorithms.object2vec.learner import Learner

    settings = ALGORITHM.hyperparameters(epochs=epochs, **given)
    setting = Setting(settings, Alone(), seed=seed, channels=("train", "validation"))
    source, scored = data(train, setting), data(trial, setting)  # type: ignore[arg-type]
    learner = Learner(replace(setting, train=source))
    best, state, seconds, pairs = np.inf, learner.state_dict(), 0.0, 0
    for epoch in range(epochs):
        start = time.process_time()
        for batch in source.epoch(epoch):
            list(learner.update(batch))
            pairs += len(batch)
        seconds += time.process_time() - start
        list(learner.end_round())
        loss = next(iter(learner.evaluate("validation", scored.epoch(0)))).value
        if loss < best:
            best, state = loss, learner.state_dict()
    learner.load_state_dict(state)
    return learner.model(), pairs / seconds


def scores(model: Any, pairs: Any) -> np.ndarray:
    from optml.algorithms.object2vec.model import Request
    from optml.algorithms.sequences.ragged import Sequences

    sides = tuple(Sequences.of([pair[side] for pair in pairs]) for side in range(2))
    found: np.ndarray = model.predict(Request(sides), {})["scores"]
    return found


def quality(seeds: int) -> list[dict[str, Any]]:
    parts, size = sick()
    rows = []
    for encoder, network in ENCODERS.items():
        for task, output in TASKS.items():
            for seed in range(seeds):
                lines = [Lines(records(parts[name], task), name) for name in ("train", "trial")]
                given = {**SENTENCES, **network, **output, "enc0_vocab_size": size}
                model, speed = trained(*lines, seed, EPOCHS, **given)
                found = scores(model, parts["test"])
                truth = np.array([pair[3 if task == "entailment" else 2] for pair in parts["test"]])
                if task == "entailment":
                    value = float((found.argmax(1) == truth).mean())
                else:
                    value = float(np.corrcoef(found[:, 0], truth)[0, 1])
                row = {"part": "sick", "encoder": encoder, "task": task, "seed": seed}
                rows.append(row | {"value": value, "pairs_per_cpu_second": speed})
                print(rows[-1], flush=True)
    return rows


def ratings() -> tuple[np.ndarray, np.ndarray, int, int]:
    """(n, 2) users and movies from 1 on, and (n,) ratings; and how many rows their tables have."""
    with gzip.open(DATA / "movielens_latest_small" / "ratings.csv.gz", "rt") as lines:
        table = np.loadtxt(lines, delimiter=",", skiprows=1)
    users, movies = (np.unique(table[:, column], return_inverse=True)[1] + 1 for column in range(2))
    return np.column_stack([users, movies]), table[:, 2], int(users.max()) + 1, int(movies.max()) + 1


def movielens(seeds: int) -> list[dict[str, Any]]:
    pairs, stars, users, movies = ratings()
    rows = []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(pairs))
        cuts = len(pairs) // 10
        test, trial, train = order[:cuts], order[cuts : 2 * cuts], order[2 * cuts :]

        def lines(some: np.ndarray, name: str) -> Lines:
            return Lines(
                [
                    {"in0": [int(pairs[row, 0])], "in1": [int(pairs[row, 1])], "label": float(stars[row])}
                    for row in some
                ],
                name,
            )

        given = {
            "enc0_vocab_size": users, "enc0_max_seq_len": 1, "enc1_vocab_size": movies, "enc1_max_seq_len": 1,
            "enc0_network": "pooled_embedding", "enc0_token_embedding_dim": 64, "mlp_layers": 1,
            "mlp_dim": 64,
            "mlp_activation": "tanh", "mini_batch_size": 64, "learning_rate": 1e-3, "dropout": 0.2,
            "output_layer": "mean_squared_error", "weight_decay": 1e-5,
        }  # fmt: skip
        model, _ = trained(lines(train, "train"), lines(trial, "trial"), seed, 6, **given)
        found = scores(model, [([int(a)], [int(b)]) for a, b in pairs[test]])[:, 0]
        ours = float(np.sqrt(np.mean((found - stars[test]) ** 2)))
        machines = factorization(pairs, stars, users, movies, train, test, seed)
        rows.append({"part": "movielens", "seed": seed, "rmse": ours, "factorization_machines": machines})
        print(rows[-1], flush=True)
    return rows


def factorization(pairs: Any, stars: Any, users: int, movies: int, train: Any, test: Any, seed: int) -> float:
    """RMSE of our own Factorization Machines on the same ratings, with its defaults and 64 factors."""
    from scipy.sparse import csr_array

    from optml.algorithms.base import Setting
    from optml.algorithms.factorization_machines import ALGORITHM
    from optml.formats.records import Records

    width = users + movies
    count = len(pairs)
    columns = np.column_stack([pairs[:, 0], users + pairs[:, 1]]).reshape(-1)
    table = csr_array(
        (np.ones(2 * count, np.float32), columns, np.arange(0, 2 * count + 1, 2)), (count, width)
    )
    settings = ALGORITHM.hyperparameters(
        feature_dim=width, num_factors=64, predictor_type="regressor", mini_batch_size=1000, epochs=50
    )
    learner = ALGORITHM.training.learner(Setting(settings, Alone(), seed=seed))  # type: ignore[misc]
    for epoch in range(settings.epochs):
        order = np.random.default_rng((seed, epoch)).permutation(train)
        for start in range(0, len(order), 1000):
            some = order[start : start + 1000]
            list(learner.update(Records(table[some], stars[some, None].astype(np.float32))))
        list(learner.end_round())
    model, _ = learner.finish()
    found = model.predict(Records(table[test]), {})["score"]
    return float(np.sqrt(np.mean((found.reshape(-1) - stars[test]) ** 2)))


def speed() -> list[dict[str, Any]]:
    parts, size = sick()
    rows = []
    for vocabulary, epochs in ((size, 3), (LARGE, 1)):
        given = {**SENTENCES, **ENCODERS["pooled"], **TASKS["entailment"], "enc0_vocab_size": vocabulary}
        train, trial = (Lines(records(parts[name], "entailment"), name) for name in ("train", "trial"))
        model, ours = trained(train, trial, 0, epochs, **given)
        plain = of_plain(train, given, 2 if vocabulary == size else 0.1)
        rows.append({"part": "speed", "vocabulary": vocabulary, "pairs_per_cpu_second": ours, "plain": plain})
        rows[-1]["ratio"] = ours / plain
        print(rows[-1], flush=True)
    rows.append({"part": "reading", "json_lines_per_cpu_second": of_reading(parts, given)})
    scores(model, parts["test"][:1000])
    start = time.process_time()
    for _ in range(10):
        scores(model, parts["test"][:1000])
    rows.append({"part": "scores", "pairs_per_cpu_second": 10_000 / (time.process_time() - start)})
    print(*rows[-2:], sep="\n", flush=True)
    return rows


def of_reading(parts: Any, given: Any) -> float:
    from optml.algorithms.object2vec import ALGORITHM
    from optml.algorithms.object2vec.records import read

    many = Lines(records(parts["train"], "entailment") * 20)
    start = time.process_time()
    pairs = read(many, ALGORITHM.hyperparameters(**given))  # type: ignore[arg-type]
    return len(pairs) / (time.process_time() - start)


def of_plain(train: Lines, given: Any, epochs: float) -> float:
    """Pairs per second of processor time, in plain PyTorch, of so many epochs behind a first batch."""
    import torch

    from optml.algorithms.base import Setting
    from optml.algorithms.object2vec import ALGORITHM
    from optml.algorithms.object2vec.data import data

    setting = Setting(ALGORITHM.hyperparameters(**given), Alone())
    network = Plain(given["enc0_vocab_size"])
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    source = data(train, setting)  # type: ignore[arg-type]
    batches = [*source.epoch(0), *source.epoch(1)]
    batches = batches[: 1 + int(epochs * len(batches) / 2)]
    seconds = 0.0
    for number, batch in enumerate(batches):
        start = time.process_time()
        optimizer.zero_grad()
        sides = [torch.from_numpy(side.padded()).long() for side in batch.sides]
        loss = torch.nn.functional.cross_entropy(network(*sides), torch.from_numpy(batch.labels).long())
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        seconds += time.process_time() - start if number else 0.0
    return sum(map(len, batches[1:])) / seconds


class Plain:
    """Made below, where torch is imported: pooled encoders with a tied table in plain PyTorch."""

    def __new__(cls, size: int) -> Any:
        import torch
        from torch import nn

        class Pairs(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.table = nn.Embedding(size, 300, padding_idx=0)
                self.layers = nn.Sequential(
                    nn.Linear(600, 256), nn.Tanh(), nn.Dropout(0.2), nn.Linear(256, 3)
                )
                self.dropout = nn.Dropout(0.2)

            def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
                u, v = (self.dropout(self._pooled(side)) for side in (first, second))
                out: torch.Tensor = self.layers(torch.cat([u * v, (u - v).abs()], 1))
                return out

            def _pooled(self, ids: torch.Tensor) -> torch.Tensor:
                there = (ids != 0).sum(1, keepdim=True).clamp(min=1)
                total: torch.Tensor = self.table(ids).sum(1)
                return total / there

        return Pairs()


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("part", nargs="?", choices=("speed", "sick", "movielens"))
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    if not (DATA / "sick2014").is_dir():
        sys.exit(f"no {DATA}: SICK 2014 and MovieLens are needed")
    rows: list[dict[str, Any]] = []
    if arguments.part in (None, "speed"):
        rows += speed()
    if arguments.part in (None, "sick"):
        rows += quality(arguments.seeds)
    if arguments.part in (None, "movielens"):
        rows += movielens(arguments.seeds)
    name = "object2vec-cpu" if arguments.part is None else f"object2vec-{arguments.part}"
    print(save(name, rows, folder=arguments.out))


if __name__ == "__main__":
    main()

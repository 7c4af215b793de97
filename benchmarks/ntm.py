"""The Neural Topic Model on a CPU: topics and speed, against plain models in PyTorch in the same run.

    python -m benchmarks.ntm

quality   20 Newsgroups of ../shared/data: perplexity of the test documents by the bound (over all words; and
          as Miao et al. have it, the mean over documents), of their second halves given the first; NPMI of
          the top 10 words over the training documents, TU of the top 20, diversity of the top 25. The
          references of scikit-learn's LDA are those of the data's README. Training stops by the validation
          documents, for everyone.
levels    the most frequent 2,000 words and documents of more than 25 of them, with the settings of AWS's
          notebook: total loss and kld on validation documents
speed     documents/s of training, ours and the same network in plain PyTorch on dense rows
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array, load_npz, vstack

from benchmarks.environment import options, save
from optml.container.group import Alone

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "newsgroups20"
LDA = {20: 1690.9, 50: 1702.3}  # completion perplexity of scikit-learn's LDA, of the README
# Chosen by the loss on the validation documents. Everything else is as AWS's defaults have it.
CHOSEN = {"encoder_layers": (500,), "encoder_layers_activation": "tanh", "mini_batch_size": 128,
          "optimizer": "adam", "learning_rate": 0.001, "num_patience_epochs": 5, "epochs": 100}  # fmt: skip
SHAPES = ((2000, 20, 128, 60, 12_800), (100_000, 100, 256, 100, 1024))


def part(name: str) -> csr_array:
    counts = csr_array(load_npz(DATA / f"{name}.npz").astype(np.float32))
    counts.sort_indices()
    return counts


def batches(counts: csr_array, size: int) -> Iterator[Any]:
    from optml.formats.records import Records

    for begin in range(0, counts.shape[0], size):
        yield Records(counts[begin : begin + size])


def train(counts: csr_array, validation: csr_array, **given: Any) -> tuple[Any, dict[str, Any]]:
    """A learner in the state of its best epoch, as the training loop leaves it, and what it told."""
    from optml.algorithms.base import Setting
    from optml.algorithms.ntm import ALGORITHM

    settings = ALGORITHM.hyperparameters(feature_dim=counts.shape[1], **given)
    learner = ALGORITHM.training.learner(Setting(settings, Alone(), channels=("train", "validation")))
    rule, _ = learner.stopping()
    start = time.perf_counter()
    best = learner.state_dict()
    epoch = 0
    verdict = ""
    while epoch < settings.epochs and verdict not in ("stop", "last"):
        for batch in batches(counts, settings.mini_batch_size):
            learner.update(batch)
        list(learner.end_round())
        (score,) = learner.evaluate("validation", batches(validation, settings.mini_batch_size))
        verdict = rule.update(score.value)
        if verdict in ("best", "last"):
            best = learner.state_dict()
        epoch += 1
    learner.load_state_dict(best)
    return learner, {"epochs": epoch, "seconds": time.perf_counter() - start, "best_loss": rule.best}


def bound(learner: Any, counts: csr_array) -> dict[str, float]:
    """Perplexity by the bound over all words, and the means over documents that the log tells."""
    import torch

    from optml.algorithms.topics.counts import occupied

    sums = np.zeros(2)
    means = np.zeros(2)
    counts = occupied(counts)
    random = torch.Generator().manual_seed(0)
    learner.module.eval()
    with torch.no_grad():
        for batch in batches(counts, 512):
            losses = [part.double().numpy() for part in learner._losses(batch.features, random)]
            lengths = batch.features.sum(axis=1)
            sums += [(loss * lengths).sum() for loss in losses]
            means += [loss.sum() for loss in losses]
    learner.module.train()
    recons, kld = (means / counts.shape[0]).tolist()
    return {
        "perplexity": math.exp(sums.sum() / counts.sum()),
        "perplexity_of_documents": math.exp(recons + kld),
        "kld": kld,
    }


def completed(model: Any, seen: csr_array, hidden: csr_array) -> float:
    """Perplexity of the hidden halves of documents, given mu of the halves that were seen."""
    weight, bias = model.parameters.projection
    total = 0.0
    for begin in range(0, seen.shape[0], 512):
        scores = np.maximum(model.encode(seen[begin : begin + 512]), 0) @ weight.T + bias
        scores -= scores.max(axis=1, keepdims=True)
        chances = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        total -= float((hidden[begin : begin + 512].toarray() * chances).sum())
    return math.exp(total / float(hidden.sum()))


def coherence(projection: np.ndarray, counts: csr_array) -> dict[str, float]:
    from optml.algorithms.topics import cooccurrence, topics

    sample = cooccurrence.Sample(counts.shape[1], 0, 0)
    sample.add(counts)
    words = topics.top(projection)
    together = topics.mutual_information(*cooccurrence.joint(sample, words, Alone()))
    many = topics.top(projection, 25)
    return {
        "npmi": float(together.mean()),
        "tu": float(topics.uniqueness(words).mean()),
        "diversity": len(np.unique(many)) / many.size,
    }


def quality(topics: int) -> list[dict[str, Any]]:
    """One row for each model."""
    import torch

    from benchmarks import topic_peers

    counts, validation, test = part("train"), part("validation"), part("test")
    halves = part("test_half1"), part("test_half2")
    learner, told = train(counts, validation, num_topics=topics, **CHOSEN)
    model = learner.model()
    rows = [
        {"who": "ours", "topics": topics, **told, **bound(learner, test),
         "completion": completed(model, *halves), **coherence(model.parameters.projection[0], counts)}
    ]  # fmt: skip
    for name in ("NVDM", "ProdLDA"):
        torch.manual_seed(0)
        peer = getattr(topic_peers, name)(counts.shape[1], topics)
        told = topic_peers.train(peer, counts, validation, CHOSEN["epochs"])
        rows.append(
            {"who": name, "topics": topics, **told, **topic_peers.bound(peer, test),
             "completion": topic_peers.completed(peer, *halves),
             **coherence(peer.decoder.weight.detach().numpy(), counts)}
        )  # fmt: skip
    for row in rows:
        print(
            " ".join(f"{v:9.3f}" if isinstance(v, float) else f"{v!s:>8}" for v in row.values()), flush=True
        )
    return rows


def levels() -> dict[str, Any]:
    """The acceptance of AWS's notebook, on documents and words made like its own."""
    everything = csr_array(vstack([part(name) for name in ("train", "validation", "test")]))
    frequent = np.sort(np.argsort(-everything.sum(axis=0), kind="stable")[:2000])
    counts = csr_array(everything[:, frequent])
    counts = counts[np.flatnonzero(counts.sum(axis=1) > 25)]
    counts = counts[np.random.default_rng(0).permutation(counts.shape[0])]
    given = {"num_topics": 20, "mini_batch_size": 128, "epochs": 100, "num_patience_epochs": 5}
    learner, told = train(counts[:7740], counts[7740 : 7740 + 968], tolerance=0.001, **given)
    found = bound(learner, counts[7740 : 7740 + 968])
    return told | found | coherence(learner.model().parameters.projection[0], counts[:7740])


def documents(words: int, length: int, n: int) -> csr_array:
    """Random documents whose words are as unlike in frequency as in text."""
    rng = np.random.default_rng(0)
    chances = 1 / np.arange(1, words + 1) ** 0.8
    picked = rng.choice(words, size=n * length, p=chances / chances.sum())
    counts = csr_array(
        (np.ones(n * length, np.float32), (np.repeat(np.arange(n), length), picked)), shape=(n, words)
    )
    counts.sum_duplicates()
    return counts


def ours(counts: csr_array, topics: int, size: int) -> Callable[[], None]:
    from optml.algorithms.base import Setting
    from optml.algorithms.ntm import ALGORITHM

    settings = ALGORITHM.hyperparameters(feature_dim=counts.shape[1], num_topics=topics, mini_batch_size=size)
    learner = ALGORITHM.training.learner(Setting(settings, Alone()))
    parts = list(batches(counts, size))

    def run() -> None:
        for batch in parts:
            learner.update(batch)
        learner.end_round()

    return run


def plain(counts: csr_array, topics: int, size: int, device: str = "cpu") -> Callable[[], None]:
    """The same network and optimiser in PyTorch, on dense rows."""
    import torch
    from torch import nn

    from benchmarks.topic_peers import dense

    encoder = nn.Sequential(
        nn.Linear(counts.shape[1], 3 * topics), nn.Sigmoid(), nn.Linear(3 * topics, 2 * topics), nn.Sigmoid()
    )
    heads = nn.ModuleList(nn.Linear(2 * topics, topics) for _ in range(2))
    decoder = nn.Linear(topics, counts.shape[1])
    for module in (encoder, heads, decoder):
        module.to(device)
    parameters = [*encoder.parameters(), *heads.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adadelta(parameters, lr=1.0, rho=0.9, eps=1e-5)

    def run() -> None:
        for begin in range(0, counts.shape[0], size):
            x = dense(counts[begin : begin + size]).to(device)
            mu, logsigma = (head(pi) for pi in [encoder(x)] for head in heads)
            z = torch.relu(mu + logsigma.exp() * torch.randn_like(mu))
            likely = (x * torch.log_softmax(decoder(z), dim=1)).sum(dim=1)
            divergence = 0.5 * (mu**2 + (2 * logsigma).exp() - 1 - 2 * logsigma).sum(dim=1)
            optimizer.zero_grad()
            ((divergence - likely) / x.sum(dim=1)).sum().backward()
            optimizer.step()

    return run


def speed(words: int, topics: int, size: int, length: int, n: int) -> dict[str, Any]:
    from benchmarks.timing import compare

    counts = documents(words, length, n)
    found = compare({"ours": ours(counts, topics, size), "plain": plain(counts, topics, size)}, 3)
    row = {"words": words, "topics": topics, "batch": size, "entries": counts.nnz / n}
    return row | {f"{who}_documents_per_second": n / seconds for who, seconds in found.items()}


def main() -> int:
    """Run, print the tables, and write ntm-cpu.json."""
    given = options(__doc__).parse_args()
    rows = [speed(*shape) for shape in SHAPES]
    for row in rows:
        print(row, flush=True)
    facts: dict[str, Any] = {}
    if DATA.exists():
        facts = {"chosen": CHOSEN, "lda_completion": LDA, "levels": levels()}
        print("levels:", json.dumps(facts["levels"]), flush=True)
        facts["quality"] = [row for topics in LDA for row in quality(topics)]
    else:
        print("../shared/data is not at hand: quality and levels are left out")
    print(save("ntm-cpu", rows, folder=given.out, **facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Plain topic models in PyTorch, as a reader of their papers would write them: dense rows, autograd, Adam.

    NVDM      Miao, Yu, Blunsom, ICML 2016: one tanh layer of 500, a normal h, softmax(W h + b)
    ProdLDA   Srivastava, Sutton, ICLR 2017: two softplus layers of 100 with dropout, theta = softmax(h),
              batch normalisation of mu, log sigma and of the decoder's scores

Losses are of whole documents, means over batches.
"""

from __future__ import annotations

import copy
import math
import time
from typing import Any

import numpy as np
import torch
from torch.nn import functional

BATCH, PATIENCE = 128, 5


class NVDM(torch.nn.Module):
    rate = 0.001

    def __init__(self, words: int, topics: int) -> None:
        super().__init__()
        self.hidden = torch.nn.Linear(words, 500)
        self.mu, self.logsigma = torch.nn.Linear(500, topics), torch.nn.Linear(500, topics)
        self.decoder = torch.nn.Linear(topics, words)

    def encode(self, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pi = torch.tanh(self.hidden(counts))
        return self.mu(pi), self.logsigma(pi)

    def decode(self, h: torch.Tensor) -> torch.Tensor:
        return functional.log_softmax(self.decoder(h), dim=1)


class ProdLDA(torch.nn.Module):
    rate = 0.002

    def __init__(self, words: int, topics: int) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(words, 100), torch.nn.Linear(100, 100)
        self.mean, self.spread = torch.nn.Linear(100, topics), torch.nn.Linear(100, topics)
        self.norms = torch.nn.ModuleList(
            torch.nn.BatchNorm1d(size, affine=False) for size in (topics, topics, words)
        )
        self.dropout = torch.nn.Dropout(0.2)
        self.decoder = torch.nn.Linear(topics, words, bias=False)

    def encode(self, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pi = functional.softplus(self.second(functional.softplus(self.first(counts))))
        pi = self.dropout(pi)
        return self.norms[0](self.mean(pi)), self.norms[1](self.spread(pi)) / 2

    def decode(self, h: torch.Tensor) -> torch.Tensor:
        theta = self.dropout(torch.softmax(h, dim=1))
        return functional.log_softmax(self.norms[2](self.decoder(theta)), dim=1)


def losses(model: Any, counts: torch.Tensor) -> torch.Tensor:
    """The bound (n,) of each document's negative log likelihood, with one sample of h."""
    mu, logsigma = model.encode(counts)
    h = mu + logsigma.exp() * torch.randn_like(mu)
    divergence = 0.5 * (mu**2 + (2 * logsigma).exp() - 1 - 2 * logsigma).sum(dim=1)
    return divergence - (counts * model.decode(h)).sum(dim=1)


def train(model: Any, counts: Any, validation: Any, epochs: int) -> dict[str, float]:
    """Until `PATIENCE` epochs have not improved the bound on the validation documents; the best is kept."""
    optimizer = torch.optim.Adam(model.parameters(), model.rate)
    best, kept, since, start = math.inf, copy.deepcopy(model.state_dict()), 0, time.perf_counter()
    epoch = 0
    while epoch < epochs and since < PATIENCE:
        model.train()
        for begin in range(0, counts.shape[0], BATCH):
            optimizer.zero_grad()
            losses(model, dense(counts[begin : begin + BATCH])).mean().backward()
            optimizer.step()
        epoch += 1
        loss = bound(model, validation)["perplexity"]
        since = 0 if loss < best else since + 1
        if loss < best:
            best, kept = loss, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return {"epochs": epoch, "seconds": time.perf_counter() - start}


def bound(model: Any, counts: Any) -> dict[str, float]:
    """Perplexity by the bound over all words; and by its mean over documents, as Miao et al. have it."""
    model.eval()
    torch.manual_seed(0)
    with torch.no_grad():
        found = [
            losses(model, dense(counts[begin : begin + 512])).double().numpy()
            for begin in range(0, counts.shape[0], 512)
        ]
    total, lengths = np.concatenate(found), np.asarray(counts.sum(axis=1), np.float64)
    there = lengths > 0
    mean = (total[there] / lengths[there]).mean()
    return {
        "perplexity": math.exp(total.sum() / lengths.sum()),
        "perplexity_of_documents": math.exp(mean),
    }


def completed(model: Any, seen: Any, hidden: Any) -> float:
    """Perplexity of the hidden halves of documents, given mu of the halves that were seen."""
    model.eval()
    total = 0.0
    with torch.no_grad():
        for begin in range(0, seen.shape[0], 512):
            chances = model.decode(model.encode(dense(seen[begin : begin + 512]))[0])
            total -= float((dense(hidden[begin : begin + 512]) * chances).sum())
    return math.exp(total / float(hidden.sum()))


def dense(counts: Any) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(counts.toarray(), np.float32))

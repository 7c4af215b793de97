"""The network between embedding tables and loss: two encoders, comparators, an MLP, an output layer."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch.nn.functional import cross_entropy

from optml.algorithms.object2vec.comparison import compared, width
from optml.algorithms.object2vec.encoders import encoder
from optml.algorithms.object2vec.hyperparameters import Hyperparameters
from optml.algorithms.object2vec.tokens import Tokens
from optml.algorithms.sequences.dropout import dropped

Tensor = torch.Tensor

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}


class Pairing(torch.nn.Module):
    """Weights start by Xavier's uniform rule, biases at 0 (forget gates at 1); those of both encoders alike
    where they are of one kind, so that what is equal is so from the start: they learn apart."""

    def __init__(self, settings: Hyperparameters) -> None:
        super().__init__()
        first, second = settings.encoders
        self.enc0, self.enc1 = encoder(first), encoder(second)
        if first.alike(second):
            self.enc1.load_state_dict(self.enc0.state_dict())
        self.comparators = settings.comparators
        self.classifier = settings.classifier
        widths = [width(settings.comparators, first.width), *[settings.mlp_dim] * settings.mlp_layers]
        self.mlp = torch.nn.ModuleList(torch.nn.Linear(below, above) for below, above in pairwise(widths))
        self.output = torch.nn.Linear(widths[-1], settings.outputs)
        self._activation = ACTIVATIONS.get(settings.mlp_activation)
        self._dropout = settings.dropout
        for layer in (*self.mlp, self.output):
            torch.nn.init.xavier_uniform_(layer.weight)
            torch.nn.init.zeros_(layer.bias)

    @property
    def encoders(self) -> tuple[torch.nn.Module, torch.nn.Module]:
        return self.enc0, self.enc1

    def largest_product(self) -> int:
        """Multiply-adds of its largest product, a pair: what threads are worth goes by that."""
        return max(weight.numel() for weight in self.parameters() if weight.dim() > 1)

    def forward(self, u: Tensor, v: Tensor, random: torch.Generator | None = None) -> Tensor:
        """(n, outputs): logits, or the number of a regression, of encodings (n, width).

        random: draws what dropout drops; None: it drops nothing.
        """
        layers = [*self.mlp, self.output]
        u, v = dropped(u, self._dropout, random), dropped(v, self._dropout, random)
        hidden = compared(u, v, layers[0].weight, layers[0].bias, self.comparators)
        for layer in layers[1:]:
            if self._activation is not None:
                hidden = self._activation(hidden)
            hidden = layer(dropped(hidden, self._dropout, random))
        return hidden

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The loss (n,) of each pair; labels (n,) int64 classes, or numbers."""
        if self.classifier:
            return cross_entropy(outputs, labels, reduction="none")
        return (outputs[:, 0] - labels).square()


def encode(module: torch.nn.Module, rows: Tensor, tokens: Tokens) -> Tensor:
    """The encodings (n, width) of sequences; rows (u, d) of the table that they touch."""
    encoded: Tensor = module(rows, tokens)
    return encoded

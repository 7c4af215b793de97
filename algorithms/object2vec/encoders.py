"""The three encoders: rows of the embedding table, and the tokens' places among them, become vectors.

pooled_embedding  the mean of the embeddings.
hcnn              layers of convolutions, each the input of the next; of each the maxima over time, side by
                  side (the hierarchical ConvNet of Conneau et al., "Supervised Learning of Universal Sentence
                  Representations", EMNLP 2017, arXiv 1705.02364).
bilstm            layers of LSTMs in both directions, of the last the maxima over time (BiLSTM-max, ibid.).

A sequence without tokens has the vector of zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.functional import embedding_bag

from optml.algorithms.kernels.segments import maxima
from optml.algorithms.object2vec.architecture import Encoder
from optml.algorithms.object2vec.tokens import Tokens
from optml.algorithms.sequences.recurrence import BidirectionalLSTM

Tensor = torch.Tensor


def encoder(settings: Encoder) -> torch.nn.Module:
    """A module that takes rows (u, d) and `Tokens` of n sequences, and gives (n, settings.width)."""
    if settings.network == "hcnn":
        return Convolutional(settings)
    return Recurrent(settings) if settings.network == "bilstm" else Pooled()


class Pooled(torch.nn.Module):
    def forward(self, rows: Tensor, tokens: Tokens) -> Tensor:
        return embedding_bag(tokens.index, rows, tokens.starts, mode="mean")


class Recurrent(torch.nn.Module):
    def __init__(self, settings: Encoder) -> None:
        super().__init__()
        cells = settings.width // 2
        widths = [settings.token_embedding_dim, *[settings.width] * (settings.layers - 1)]
        self.layers = torch.nn.ModuleList(BidirectionalLSTM(width, cells) for width in widths)

    def forward(self, rows: Tensor, tokens: Tokens) -> Tensor:
        hidden = rows.index_select(0, tokens.index)
        for layer in self.layers:
            hidden = layer(hidden, tokens.packing)
        return maxima(hidden, tokens.bounds[:-1], tokens.bounds[1:])


class Convolutional(torch.nn.Module):
    """Sequences lie in one array, as many rows of zeros between them as a convolution reaches over an end: it
    is a sum of products of the whole array, shifted, and no row is computed for the sake of longer ones."""

    def __init__(self, settings: Encoder) -> None:
        super().__init__()
        self.filter_width = settings.filter_width
        below = settings.token_embedding_dim
        self.weights, self.biases = torch.nn.ParameterList(), torch.nn.ParameterList()
        for width in split(settings.width, settings.layers):
            weight = torch.empty(width, below, self.filter_width)
            torch.nn.init.xavier_uniform_(weight)
            self.weights.append(torch.nn.Parameter(weight.permute(2, 0, 1).contiguous()))
            self.biases.append(torch.nn.Parameter(torch.zeros(width)))
            below = width

    def forward(self, rows: Tensor, tokens: Tokens) -> Tensor:
        left, right = (self.filter_width - 1) // 2, self.filter_width // 2
        starts = left + tokens.bounds[:-1] + right * np.arange(len(tokens))
        stops = starts + tokens.lengths
        places = np.arange(len(tokens.places)) + np.repeat(starts - tokens.bounds[:-1], tokens.lengths)
        size = left + int(tokens.bounds[-1]) + right * len(tokens)
        index = torch.from_numpy(places).to(rows.device)
        mask = rows.new_zeros(size, 1).index_fill(0, index, 1)
        hidden = rows.new_zeros(size, rows.shape[1]).index_copy(0, index, rows.index_select(0, tokens.index))
        pooled = []
        for weight, bias in zip(self.weights, self.biases, strict=True):
            hidden = _Convolution.apply(hidden, weight, bias, mask, left)  # type: ignore[no-untyped-call]
            pooled.append(maxima(hidden, starts, stops))
        return torch.cat(pooled, dim=1)


def split(width: int, layers: int) -> list[int]:
    """As evenly as possible, the first ones one wider."""
    return [width // layers + (layer < width % layers) for layer in range(layers)]


class _Convolution(torch.autograd.Function):
    """relu(b + sum_k W_k x_(t + k - left)) where the mask is 1, else 0.

    rows: (size, i).   weight: (f, o, i).   mask: (size, 1).
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, mask: Tensor, left: int) -> Tensor:
        outputs = rows.new_zeros(len(rows), weight.shape[1])
        count = max(len(rows) - len(weight) + 1, 0)
        inner = outputs[left : left + count]
        inner += bias
        for shift, part in enumerate(weight):
            inner.addmm_(rows[shift : shift + count], part.T)
        inner.relu_().mul_(mask[left : left + count])
        ctx.save_for_backward(rows, weight, outputs)
        ctx.left, ctx.count = left, count
        return outputs

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> Any:
        rows, weight, outputs = ctx.saved_tensors
        count, stretch = ctx.count, slice(ctx.left, ctx.left + ctx.count)
        slopes = above[stretch] * (outputs[stretch] > 0)
        below = torch.zeros_like(rows) if ctx.needs_input_grad[0] else None
        of_weight = torch.empty_like(weight)
        for shift, part in enumerate(weight):
            torch.mm(slopes.T, rows[shift : shift + count], out=of_weight[shift])
            if below is not None:
                below[shift : shift + count].addmm_(slopes, part)
        return below, of_weight, slopes.sum(0), None, None

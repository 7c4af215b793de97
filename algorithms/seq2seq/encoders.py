"""Encoders: embeddings of a source's tokens, each told what stands around it.

rnn  the first layer reads both ways, half the units each; upper ones read forward (Bahdanau et al., 2014).
cnn  blocks of convolutions, added to what they read (Gehring et al., "Convolutional Sequence to Sequence
     Learning", 2017, arXiv 1705.03122).
"""

from __future__ import annotations

import torch
from torch.nn.functional import linear

from optml.algorithms.seq2seq.convolution import Block
from optml.algorithms.seq2seq.hyperparameters import Hyperparameters
from optml.algorithms.seq2seq.tokens import Source
from optml.algorithms.sequences.packing import Packing
from optml.algorithms.sequences.recurrence import gru, lstm

Tensor = torch.Tensor

GATES = {"lstm": 4, "gru": 3}


def encoder(settings: Hyperparameters) -> torch.nn.Module:
    """The encoder of a job: (embeddings (e, w) by sequences, Source) -> (n, width, encoded_width)."""
    return RecurrentEncoder(settings) if settings.encoder_type == "rnn" else ConvolutionalEncoder(settings)


class Layer(torch.nn.Module):
    """A recurrent layer in one direction."""

    def __init__(self, kind: str, width: int, cells: int) -> None:
        super().__init__()
        self.kind = kind
        self.below = torch.nn.Parameter(torch.empty(GATES[kind] * cells, width))
        self.before = torch.nn.Parameter(torch.empty(GATES[kind] * cells, cells))
        self.bias, self.bias_before = (torch.nn.Parameter(torch.zeros(GATES[kind] * cells)) for _ in range(2))

    def forward(self, tokens: Tensor, packing: Packing, *, reverse: bool = False) -> Tensor:
        """(e, cells) of tokens (e, width), both by sequences."""
        tokens = packing.pack(tokens, reverse=reverse)
        if self.kind == "lstm":
            hidden = lstm(linear(tokens, self.below, self.bias + self.bias_before), self.before, packing)
        else:
            hidden = gru(linear(tokens, self.below, self.bias), self.before, self.bias_before, packing)
        return packing.unpack(hidden, reverse=reverse)


class RecurrentEncoder(torch.nn.Module):
    def __init__(self, settings: Hyperparameters) -> None:
        super().__init__()
        kind, cells = settings.rnn_cell_type, settings.rnn_num_hidden
        self.forward_layer = Layer(kind, settings.num_embed_source, cells // 2)
        self.reverse_layer = Layer(kind, settings.num_embed_source, cells // 2)
        self.upper = torch.nn.ModuleList(
            Layer(kind, cells, cells) for _ in range(settings.num_layers_encoder - 1)
        )
        self._residual = settings.rnn_first_residual_layer if settings.rnn_residual_connections else None

    def forward(self, tokens: Tensor, source: Source) -> Tensor:
        packing = source.packing
        both = self.forward_layer(tokens, packing), self.reverse_layer(tokens, packing, reverse=True)
        hidden = torch.cat(both, 1)
        for number, layer in enumerate(self.upper, 2):
            above = layer(hidden, packing)
            hidden = above + hidden if self._residual is not None and number >= self._residual else above
        return source.padded(hidden)


class ConvolutionalEncoder(torch.nn.Module):
    def __init__(self, settings: Hyperparameters) -> None:
        super().__init__()
        width = settings.cnn_num_hidden
        self.positions = torch.nn.Parameter(
            torch.empty(settings.max_seq_len_source, settings.num_embed_source)
        )
        self.entrance = torch.nn.Parameter(torch.empty(width, settings.num_embed_source))
        self.blocks = torch.nn.ModuleList(
            Block(width, settings.cnn_kernel_width_encoder, settings.cnn_activation_type, causal=False)
            for _ in range(settings.num_layers_encoder)
        )

    def forward(self, tokens: Tensor, source: Source) -> Tensor:
        rows = linear(tokens + self.positions[source.places % source.width], self.entrance)
        hidden = source.padded(rows)
        there = ~source.mask[:, :, None]
        for block in self.blocks:
            hidden = hidden + block(hidden * there)
        return hidden * there

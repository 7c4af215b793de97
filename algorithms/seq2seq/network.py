"""Encoder, decoder, tables of embeddings and the output layer."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import embedding, linear

from optml.algorithms.kernels import entropy
from optml.algorithms.seq2seq.attention import Memory
from optml.algorithms.seq2seq.decoders import State, decoder
from optml.algorithms.seq2seq.encoders import GATES, encoder
from optml.algorithms.seq2seq.hyperparameters import Hyperparameters
from optml.algorithms.seq2seq.tokens import Source, Target
from optml.algorithms.sequences.dropout import dropped

Tensor = torch.Tensor


class Translator(torch.nn.Module):
    """sizes: of both vocabularies."""

    def __init__(self, settings: Hyperparameters, sizes: tuple[int, int]) -> None:
        super().__init__()
        self.settings = settings
        self.source = torch.nn.Parameter(torch.empty(sizes[0], settings.num_embed_source))
        self.target = torch.nn.Parameter(torch.empty(sizes[1], settings.num_embed_target))
        self.encoder = encoder(settings)
        self.decoder = decoder(settings)
        self.output = torch.nn.Parameter(torch.empty(sizes[1], settings.decoded_width))
        self.output_bias = torch.nn.Parameter(torch.zeros(sizes[1]))
        initialise(self, settings)

    def encode(self, source: Source, random: torch.Generator | None = None) -> Memory:
        """What is to be known of sources.   random: draws what dropout drops; None: it drops nothing."""
        tokens = embedding(source.ids, self.source)
        tokens = dropped(tokens, self.settings.embed_dropout_source, random)
        values: Tensor = self.encoder(tokens, source)
        return self.decoder.prepared(Memory(values, source.mask, source.lengths))

    def losses(
        self, source: Source, target: Target, random: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """The sum of -log p over the targets' tokens, `</s>` counted; how many of them were the likeliest."""
        memory = self.encode(source, random)
        embedded = embedding(target.inputs, self.target)
        embedded = dropped(embedded, self.settings.embed_dropout_target, random)
        vectors = self.decoder(embedded, target, memory, random)
        return entropy.losses(vectors, self.output, self.output_bias, target.labels)

    def step(self, ids: Tensor, state: State, memory: Memory, number: int) -> tuple[Tensor, State, Tensor]:
        """-log p (n, v) of what comes behind ids (n,), the state behind it, and the attention (n, s).

        number: of the step, from 0."""
        vectors, state, weights = self.decoder.step(embedding(ids, self.target), state, memory, number)
        logits = linear(vectors, self.output, self.output_bias)
        return logits.log_softmax(1).neg_(), state, weights


@torch.no_grad()
def initialise(module: torch.nn.Module, settings: Hyperparameters) -> None:
    """First weights, from torch's generator: recurrent ones orthogonal in each gate (Saxe, McClelland,
    Ganguli, 2013, arXiv 1312.6120), biases 0, all others uniform, by fan or as wide as is asked for."""
    for name, weight in module.named_parameters():
        if "bias" in name:
            weight.zero_()
        elif name.endswith("before"):
            for gate in weight.chunk(GATES[settings.rnn_cell_type]):
                torch.nn.init.orthogonal_(gate)
        else:
            bound = settings.weight_init_scale
            if settings.weight_init_type == "xavier":
                bound = math.sqrt(bound / _fan(weight, settings.xavier_factor_type))
            weight.uniform_(-bound, bound)


def _fan(weight: Tensor, kind: str) -> float:
    places = weight[0, 0].numel()
    inputs, outputs = weight.shape[1] * places, weight.shape[0] * places
    return {"in": float(inputs), "out": float(outputs), "avg": (inputs + outputs) / 2}[kind]

"""Decoders: what is said next, of what was said and of the source.

rnn  with input feeding (Luong, Pham, Manning, 2015): the attentional vector of a step is part of the next
     step's input. cnn as the encoder's, with an attention behind every block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch.nn.functional import linear

from optml.algorithms.seq2seq.attention import Attention, Memory, dot
from optml.algorithms.seq2seq.convolution import Block
from optml.algorithms.seq2seq.encoders import GATES
from optml.algorithms.seq2seq.hyperparameters import Hyperparameters
from optml.algorithms.seq2seq.tokens import Target
from optml.algorithms.sequences.dropout import dropped

Tensor = torch.Tensor

State: TypeAlias = list[Tensor]  # each with a row for each sequence


def decoder(settings: Hyperparameters) -> RecurrentDecoder | ConvolutionalDecoder:
    return RecurrentDecoder(settings) if settings.decoder_type == "rnn" else ConvolutionalDecoder(settings)


class Cell(torch.nn.Module):
    """A recurrent layer, one step at a time.   parts: widths of what its input is made of."""

    def __init__(self, kind: str, parts: Sequence[int], cells: int) -> None:
        super().__init__()
        self.kind, self.cells = kind, cells
        gates = GATES[kind] * cells
        self.below = torch.nn.ParameterList(torch.empty(gates, width) for width in parts)
        self.before = torch.nn.Parameter(torch.empty(gates, cells))
        self.bias, self.bias_before = (torch.nn.Parameter(torch.zeros(gates)) for _ in range(2))

    @property
    def states(self) -> int:
        return 2 if self.kind == "lstm" else 1

    def first(self, x: Tensor) -> Tensor:
        """The share of the first part of the input in the gates, for any number of steps at once."""
        return linear(x, self.below[0], self.bias)

    def forward(self, gates: Tensor, others: Sequence[Tensor], state: State) -> State:
        """The next state, its output first.   gates: the share of the first part.   others: other parts."""
        for weight, part in zip(list(self.below)[1:], others, strict=True):
            gates = gates + linear(part, weight)
        if self.kind == "lstm":
            i, f, g, o = (gates + linear(state[0], self.before, self.bias_before)).chunk(4, dim=1)
            cell = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
            return [o.sigmoid() * cell.tanh(), cell]
        r, z, n = gates.chunk(3, dim=1)
        s, y, m = linear(state[0], self.before, self.bias_before).chunk(3, dim=1)
        update = (z + y).sigmoid()
        new = (n + (r + s).sigmoid() * m).tanh()
        return [(1 - update) * new + update * state[0]]


class RecurrentDecoder(torch.nn.Module):
    """State: the tensors of each layer, and the attentional vector."""

    def __init__(self, settings: Hyperparameters) -> None:
        super().__init__()
        kind, cells, encoded = settings.rnn_cell_type, settings.rnn_num_hidden, settings.encoded_width
        layers = settings.num_layers_decoder
        self._above = settings.rnn_attention_in_upper_layers and layers > 1
        upper = (cells, encoded) if self._above else (cells,)
        self.cells = torch.nn.ModuleList(
            Cell(kind, upper if number else (settings.num_embed_target, cells), cells)
            for number in range(layers)
        )
        self.attention = Attention(settings.rnn_attention_type, encoded, cells, settings.attention_width)
        self.joint = torch.nn.ParameterList([torch.empty(cells, cells), torch.empty(cells, encoded)])
        self.joint_bias = torch.nn.Parameter(torch.zeros(cells))
        self._begin = settings.rnn_decoder_state_init
        tensors = layers * (2 if kind == "lstm" else 1) if self._begin != "zero" else 0
        self.begin_weight = torch.nn.ParameterList(torch.empty(cells, encoded) for _ in range(tensors))
        self.begin_bias = torch.nn.ParameterList(torch.zeros(cells) for _ in range(tensors))
        self._residual = settings.rnn_first_residual_layer if settings.rnn_residual_connections else None
        self._dropout = settings.rnn_decoder_hidden_dropout

    def prepared(self, memory: Memory) -> Memory:
        return self.attention.prepared(memory)

    def begin(self, memory: Memory) -> State:
        cells: int = self.cells[0].cells  # type: ignore[assignment]
        zero = memory.values.new_zeros(len(memory), cells)
        if self._begin == "zero":
            return [zero] * (sum(cell.states for cell in self.cells) + 1)  # type: ignore[misc]
        summary = memory.last if self._begin == "last" else memory.mean
        layers = zip(self.begin_weight, self.begin_bias, strict=True)
        return [*(linear(summary, weight, bias).tanh() for weight, bias in layers), zero]

    def forward(
        self, embedded: Tensor, target: Target, memory: Memory, random: torch.Generator | None
    ) -> Tensor:
        """Attentional vectors (e, cells) of embeddings (e, w) of a target's inputs."""
        gates = self.cells[0].first(embedded)  # type: ignore[operator]
        state = self.begin(memory)
        vectors = []
        for number, part in enumerate(gates.split(target.sizes)):
            state = [tensor[: len(part)] for tensor in state]
            state, _ = self._step(part, state, memory, random, first=number == 0)
            vectors.append(state[-1])
        return torch.cat(vectors)

    def step(
        self, embedded: Tensor, state: State, memory: Memory, number: int
    ) -> tuple[Tensor, State, Tensor]:
        """The vector (n, cells) of a step, the state behind it, and the attention's weights (n, s)."""
        gates = self.cells[0].first(embedded)  # type: ignore[operator]
        state, weights = self._step(gates, state, memory, None)
        return state[-1], state, weights

    def _step(
        self,
        gates: Tensor,
        state: State,
        memory: Memory,
        random: torch.Generator | None,
        *,
        first: bool = True,
    ) -> tuple[State, Tensor]:
        others: tuple[Tensor, ...] = (state[-1],)
        after: State = []
        output = context = weights = gates[:, :0]
        for number, cell in enumerate(self.cells):
            if number:
                gates = cell.first(output)  # type: ignore[operator]
                others = (context,) if self._above else ()
            at = len(after)
            new = cell(gates, others, state[at : at + cell.states])  # type: ignore[operator]
            after += new
            residual = number and self._residual is not None and number + 1 >= self._residual
            output = new[0] + output if residual else new[0]
            if self._above and not number:
                context, weights = self.attention(output, memory, first=first)
        if not self._above:
            context, weights = self.attention(output, memory, first=first)
        dry = dropped(torch.cat([output, context], 1), self._dropout, random)
        joint = torch.cat(list(self.joint), 1)
        return [*after, linear(dry, joint, self.joint_bias).tanh()], weights


class ConvolutionalDecoder(torch.nn.Module):
    """State: of each block, what its convolution read last."""

    def __init__(self, settings: Hyperparameters) -> None:
        super().__init__()
        width = settings.cnn_num_hidden
        self.positions = torch.nn.Parameter(
            torch.empty(settings.max_seq_len_target, settings.num_embed_target)
        )
        self.entrance = torch.nn.Parameter(torch.empty(width, settings.num_embed_target))
        self.blocks = torch.nn.ModuleList(
            Block(width, settings.cnn_kernel_width_decoder, settings.cnn_activation_type, causal=True)
            for _ in range(settings.num_layers_decoder)
        )
        self._kernel = settings.cnn_kernel_width_decoder
        self._dropout = settings.cnn_hidden_dropout

    def prepared(self, memory: Memory) -> Memory:
        return memory

    def begin(self, memory: Memory) -> State:
        return [
            memory.values.new_zeros(len(memory), self._kernel - 1, len(self.entrance)) for _ in self.blocks
        ]

    def forward(
        self, embedded: Tensor, target: Target, memory: Memory, random: torch.Generator | None
    ) -> Tensor:
        """Vectors (e, width) of embeddings (e, w) of a target's inputs."""
        steps = len(target.sizes)
        rows = linear(embedded + self.positions[target.places % steps], self.entrance)
        flat = rows.new_zeros(len(memory) * steps, rows.shape[1]).index_copy(0, target.places, rows)
        hidden = flat.view(len(memory), steps, -1)
        for block in self.blocks:
            above = block(dropped(hidden, self._dropout, random))
            scores = torch.bmm(above, memory.values.transpose(1, 2))
            weights = scores.masked_fill(memory.mask[:, None], -torch.inf).softmax(2)
            hidden = hidden + above + torch.bmm(weights, memory.values)
        return hidden.flatten(0, 1).index_select(0, target.places)

    def step(
        self, embedded: Tensor, state: State, memory: Memory, number: int
    ) -> tuple[Tensor, State, Tensor]:
        """As of `RecurrentDecoder`; the weights are the mean of the blocks'."""
        place = min(number, len(self.positions) - 1)
        hidden = linear(embedded + self.positions[place], self.entrance)
        after: State = []
        total = torch.zeros_like(memory.mask, dtype=hidden.dtype)
        for block, past in zip(self.blocks, state, strict=True):
            window = torch.cat([past, hidden[:, None]], 1)
            after.append(window[:, 1:])
            above = block.step(window)  # type: ignore[operator]
            context, weights = dot(above, memory)
            hidden = hidden + above + context
            total = total + weights / len(self.blocks)
        return hidden, after, total

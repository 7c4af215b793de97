"""LSTM and GRU over packed sequences, and layers of LSTM in both directions.

    lstm    i, f, g, o = gates_t + U h_(t-1)
            c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g)        h_t = sigmoid(o) tanh(c_t)
    gru     r, z, n = gates_t;   s, y, m = U h_(t-1) + bias
            h_t = (1 - sigmoid(z + y)) tanh(n + sigmoid(r + s) m) + sigmoid(z + y) h_(t-1)

Hochreiter, Schmidhuber, "Long Short-Term Memory", 1997, with the forget gate of Gers et al., 2000; Cho et
al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014 (arXiv 1406.1078), with the reset gate
behind the product, as cuDNN and MXNet have it. Gates come from below for all tokens at once, by one product;
a step is one product and what it opens. Packed, sequences of unlike lengths cost no step beyond their ends.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import linear

from optml.algorithms.sequences.packing import Packing

Tensor = torch.Tensor


def lstm(gates: Tensor, weight: Tensor, packing: Packing) -> Tensor:
    """h (e, n), packed, of gates (e, 4 n) = W x + biases, packed, in the order i, f, g, o; states begin at 0.

    weight: (4 n, n), U. Any floating dtype, any device; differentiable in gates and weight.
    """
    hidden: Tensor = _Lstm.apply(gates, weight, packing)  # type: ignore[no-untyped-call]
    return hidden


def gru(gates: Tensor, weight: Tensor, bias: Tensor, packing: Packing) -> Tensor:
    """h (e, n), packed, of gates (e, 3 n) = W x + biases, packed, in the order r, z, n; states begin at 0.

    weight: (3 n, n), U.   bias: (3 n,). Differentiable in all three.
    """
    hidden: Tensor = _Gru.apply(gates, weight, bias, packing)  # type: ignore[no-untyped-call]
    return hidden


class BidirectionalLSTM(torch.nn.Module):
    """A layer that reads each sequence from both ends; its output is both directions' side by side.

    width: of its input.   cells: of one direction. Weights begin by Xavier's uniform rule, biases at 0, but
    those of forget gates at `forget`.
    """

    def __init__(self, width: int, cells: int, forget: float = 1.0) -> None:
        super().__init__()
        self.below = torch.nn.Parameter(torch.empty(2, 4 * cells, width))
        self.before = torch.nn.Parameter(torch.empty(2, 4 * cells, cells))
        self.bias = torch.nn.Parameter(torch.zeros(2, 4 * cells))
        with torch.no_grad():
            self.bias[:, cells : 2 * cells] = forget
        for weights in (self.below, self.before):
            for side in range(2):
                for gate in range(4):
                    rows = slice(gate * cells, (gate + 1) * cells)
                    torch.nn.init.xavier_uniform_(weights.detach()[side, rows])

    def forward(self, tokens: Tensor, packing: Packing) -> Tensor:
        """(e, 2 cells) of tokens (e, width), both by sequences."""
        sides = []
        for side, reverse in enumerate((False, True)):
            gates = linear(packing.pack(tokens, reverse=reverse), self.below[side], self.bias[side])
            sides.append(packing.unpack(lstm(gates, self.before[side], packing), reverse=reverse))
        return torch.cat(sides, dim=1)


class _Lstm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, weight: Tensor, packing: Packing) -> Tensor:
        n = weight.shape[1]
        opened = gates.clone()
        cells, hidden = gates.new_empty(len(gates), n), gates.new_empty(len(gates), n)
        start = before = 0
        for size in packing.sizes:
            stop = start + size
            gate, cell = opened[start:stop], cells[start:stop]
            if start:
                gate.addmm_(hidden[before : before + size], weight.T)
            i_f, g, o = gate[:, : 2 * n], gate[:, 2 * n : 3 * n], gate[:, 3 * n :]
            i_f.sigmoid_()
            g.tanh_()
            o.sigmoid_()
            torch.mul(i_f[:, :n], g, out=cell)
            if start:
                cell.addcmul_(i_f[:, n:], cells[before : before + size])
            torch.mul(o, torch.tanh(cell), out=hidden[start:stop])
            before, start = start, stop
        ctx.packing = packing
        ctx.save_for_backward(weight, opened, cells, hidden)
        return hidden

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> Any:
        weight, opened, cells, hidden = ctx.saved_tensors
        sizes: list[int] = ctx.packing.sizes
        n = weight.shape[1]
        below = torch.empty_like(opened)
        stop = len(opened)
        pull, owed = above.new_zeros(0, n), above.new_zeros(0, n)  # from the step behind
        for step in range(len(sizes) - 1, -1, -1):
            size = sizes[step]
            start = stop - size
            i, f, g, o = opened[start:stop].chunk(4, dim=1)
            wide = torch.tanh(cells[start:stop])
            slope = above[start:stop].clone()
            slope[: len(pull)] += pull
            of_cell = slope * o * (1 - wide * wide)
            of_cell[: len(owed)] += owed
            of_i, of_f, of_g, of_o = below[start:stop].chunk(4, dim=1)
            torch.mul(of_cell * g, i * (1 - i), out=of_i)
            torch.mul(of_cell * i, 1 - g * g, out=of_g)
            torch.mul(slope * wide, o * (1 - o), out=of_o)
            if step:
                before = start - sizes[step - 1]
                torch.mul(of_cell * cells[before : before + size], f * (1 - f), out=of_f)
                pull, owed = below[start:stop] @ weight, of_cell * f
            else:
                of_f.zero_()
            stop = start
        first = sizes[0] if sizes else 0
        return below, below[first:].T @ hidden[ctx.packing.before], None


class _Gru(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, weight: Tensor, bias: Tensor, packing: Packing) -> Tensor:
        n = weight.shape[1]
        opened, inner = gates.clone(), gates.new_empty(len(gates), n)
        hidden = gates.new_empty(len(gates), n)
        start = before = 0
        for size in packing.sizes:
            stop = start + size
            gate, own = opened[start:stop], hidden[start:stop]
            r_z, new = gate[:, : 2 * n], gate[:, 2 * n :]
            if start:
                past = hidden[before : before + size]
                pulled = torch.addmm(bias, past, weight.T)
            else:
                pulled = bias.expand(size, -1)
            r_z.add_(pulled[:, : 2 * n]).sigmoid_()
            inner[start:stop] = pulled[:, 2 * n :]
            new.addcmul_(r_z[:, :n], pulled[:, 2 * n :]).tanh_()
            torch.mul(1 - r_z[:, n:], new, out=own)
            if start:
                own.addcmul_(r_z[:, n:], past)
            before, start = start, stop
        ctx.packing = packing
        ctx.save_for_backward(weight, opened, inner, hidden)
        return hidden

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> Any:
        weight, opened, inner, hidden = ctx.saved_tensors
        sizes: list[int] = ctx.packing.sizes
        n = weight.shape[1]
        below, pulled = torch.empty_like(opened), torch.empty_like(opened)
        stop = len(opened)
        pull = above.new_zeros(0, n)  # from the step behind
        for step in range(len(sizes) - 1, -1, -1):
            size = sizes[step]
            start = stop - size
            r, z, new = opened[start:stop].chunk(3, dim=1)
            slope = above[start:stop].clone()
            slope[: len(pull)] += pull
            of_new = slope * (1 - z) * (1 - new * new)
            of_r, of_z, of_n = below[start:stop].chunk(3, dim=1)
            of_n.copy_(of_new)
            torch.mul(of_new * inner[start:stop], r * (1 - r), out=of_r)
            before = start - sizes[step - 1] if step else 0
            past = hidden[before : before + size] if step else torch.zeros_like(new)
            torch.mul(slope * (past - new), z * (1 - z), out=of_z)
            own = pulled[start:stop]
            own.copy_(below[start:stop])
            own[:, 2 * n :].mul_(r)
            if step:
                pull = own @ weight + slope * z
            stop = start
        first = sizes[0] if sizes else 0
        of_weight = pulled[first:].T @ hidden[ctx.packing.before]
        return below, of_weight, pulled.sum(0), None

"""The peer of `benchmarks.seq2seq`: the same network in plain PyTorch, as anybody would write it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Plain(nn.Module):
    """One layer of LSTM on both sides, mlp attention, input feeding; padded batches, all logits at once."""

    def __init__(self, sizes: tuple[int, int], embedding: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.source = nn.Embedding(sizes[0], embedding, padding_idx=0)
        self.target = nn.Embedding(sizes[1], embedding, padding_idx=0)
        self.encoder = nn.LSTM(embedding, hidden // 2, bidirectional=True, batch_first=True)
        self.cell = nn.LSTMCell(embedding + hidden, hidden)
        self.key, self.query = nn.Linear(hidden, hidden, bias=False), nn.Linear(hidden, hidden, bias=False)
        self.score = nn.Linear(hidden, 1, bias=False)
        self.joint = nn.Linear(2 * hidden, hidden)
        self.begin = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(2))
        self.output = nn.Linear(hidden, sizes[1])

    def encode(self, source: torch.Tensor, lengths: torch.Tensor) -> Any:
        packed = pack_padded_sequence(self.source(source), lengths, batch_first=True, enforce_sorted=False)
        memory, _ = pad_packed_sequence(self.encoder(packed)[0], batch_first=True)
        last = memory[torch.arange(len(source)), lengths - 1]
        state = tuple(layer(last).tanh() for layer in self.begin)
        return memory, self.key(memory), source == 0, (*state, last.new_zeros(len(source), self.hidden))

    def step(self, ids: torch.Tensor, encoded: Any, state: Any) -> Any:
        memory, keys, mask, _ = encoded
        output, cell = self.cell(torch.cat([self.target(ids), state[2]], 1), state[:2])
        scores = self.score(torch.tanh(keys + self.query(output)[:, None]))[:, :, 0]
        weights = scores.masked_fill(mask, -torch.inf).softmax(1)
        context = torch.bmm(weights[:, None], memory)[:, 0]
        vector = self.joint(torch.cat([output, context], 1)).tanh()
        return vector, (output, cell, vector)

    def forward(self, source: torch.Tensor, lengths: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (n, t, v)."""
        encoded = self.encode(source, lengths)
        state, vectors = encoded[3], []
        for step in range(inputs.shape[1]):
            vector, state = self.step(inputs[:, step], encoded, state)
            vectors.append(vector)
        logits: torch.Tensor = self.output(torch.stack(vectors, 1))
        return logits


def update(model: Plain, optimizer: Any, batch: Any) -> float:
    """One update; the sum of -log p over the targets' tokens."""
    source, lengths, inputs, labels = tensors(batch)
    optimizer.zero_grad()
    logits = model(source, lengths, inputs)
    flat = logits.flatten(0, 1), labels.flatten()
    loss = nn.functional.cross_entropy(*flat, ignore_index=0, reduction="sum")
    (loss / batch.tokens).backward()
    torch.nn.utils.clip_grad_value_(model.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


@torch.no_grad()
def loss(model: Plain, batch: Any) -> float:
    """The same without an update."""
    source, lengths, inputs, labels = tensors(batch)
    logits = model(source, lengths, inputs).flatten(0, 1)
    return float(nn.functional.cross_entropy(logits, labels.flatten(), ignore_index=0, reduction="sum"))


def tensors(batch: Any) -> tuple[torch.Tensor, ...]:
    """Sources, their lengths, inputs and labels of a decoder: padded by 0."""
    source = torch.from_numpy(batch.sources.padded()).long()
    target = torch.from_numpy(batch.targets.padded()).long()
    lengths = torch.from_numpy(batch.targets.lengths)
    inputs = torch.cat([torch.full((len(target), 1), 2), target], 1)
    labels = torch.cat([target, torch.zeros(len(target), 1, dtype=torch.long)], 1)
    labels[torch.arange(len(target)), lengths] = 3
    return source, torch.from_numpy(batch.sources.lengths), inputs, labels


def adopt(model: Plain, network: Any) -> None:
    """Begin with the weights of ours."""
    decoder, encoder = network.decoder, network.encoder
    pairs = [
        (model.source.weight, network.source), (model.target.weight, network.target),
        (model.key.weight, decoder.attention.key), (model.query.weight, decoder.attention.query),
        (model.score.weight, decoder.attention.score), (model.output.weight, network.output),
        (model.joint.weight, torch.cat(list(decoder.joint), 1)), (model.joint.bias, decoder.joint_bias),
        (model.output.bias, network.output_bias), (model.cell.weight_hh, decoder.cells[0].before),
        (model.cell.weight_ih, torch.cat(list(decoder.cells[0].below), 1)),
    ]  # fmt: skip
    for layer, weight in zip(model.begin, decoder.begin_weight, strict=True):
        pairs.append((layer.weight, weight))
    for suffix, layer in (("", encoder.forward_layer), ("_reverse", encoder.reverse_layer)):
        pairs.append((getattr(model.encoder, f"weight_ih_l0{suffix}"), layer.below))
        pairs.append((getattr(model.encoder, f"weight_hh_l0{suffix}"), layer.before))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "bias" in name:
                weight.zero_()
        for weight, own in pairs:
            weight.copy_(own)

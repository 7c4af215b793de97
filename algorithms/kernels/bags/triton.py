"""Bags of words on a GPU: sums of rows, and the softmax over all words without its scores in memory.

`_sums`         a program takes one sum and COLUMNS of its row, and walks over the entries.
`_normalizers`  a program takes DOCUMENTS documents and walks over the words, WORDS at a time: the tile of
                scores is a product over k in steps of INNER, from which it keeps maximum and sum.
`_likely`       a program computes one such tile again and writes softmax's probabilities.

Products are float32 (no TF32), sums in a fixed order: the same batch gives the same bits. Sizes may be odd.
"""

# Triton's decorator has no types, and its constants are written in capitals.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from optml.algorithms.kernels.bags import Table

Tensor = Any  # a torch tensor; torch's own name would bring torch's types into mypy

DOCUMENTS, WORDS = 32, 64  # of a tile of scores
BLOCK = 1 << 24  # probabilities that the gradient has at once, 64 MiB


def sums(table: Table, rows: Tensor) -> Tensor:
    """See `cpu.sums`."""
    rows = rows.contiguous()
    width = rows.shape[1]
    totals = torch.empty(len(table), width, device=rows.device)
    columns = min(triton.next_power_of_2(width), 128)
    if len(table):
        _sums[(len(table), triton.cdiv(width, columns))](
            table.bounds, table.places, table.values, rows, totals, width, COLUMNS=columns, num_warps=1
        )
    return totals


def normalizers(latent: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(n,): log sum_v exp(latent @ weight.T + bias)."""
    n, k = latent.shape
    levels = torch.empty(n, device=latent.device)
    _normalizers[(triton.cdiv(n, DOCUMENTS),)](
        latent.contiguous(), weight, bias, levels, n, len(weight), k,
        DOCUMENTS=DOCUMENTS, WORDS=WORDS, INNER=_inner(k),
    )  # fmt: skip
    return levels


def likely(latent: Tensor, weight: Tensor, bias: Tensor, normalizers: Tensor) -> Tensor:
    """(n, v): exp(latent @ weight.T + bias - normalizers)."""
    n, k = latent.shape
    likelihoods = torch.empty(n, len(weight), device=latent.device)
    _likely[(triton.cdiv(n, DOCUMENTS), triton.cdiv(len(weight), WORDS))](
        latent.contiguous(), weight, bias, normalizers, likelihoods, n, len(weight), k,
        DOCUMENTS=DOCUMENTS, WORDS=WORDS, INNER=_inner(k),
    )  # fmt: skip
    return likelihoods


def expectations(
    latent: Tensor, weight: Tensor, bias: Tensor, normalizers: Tensor, shares: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """See `cpu.expectations`; a block of words at a time."""
    of_latent, of_weight, of_bias = torch.zeros_like(latent), torch.empty_like(weight), torch.empty_like(bias)
    weighted_latent = latent * shares[:, None]
    size = max(BLOCK // max(len(latent), 1), WORDS)
    for start in range(0, len(weight), size):
        run = slice(start, start + size)
        block = likely(latent, weight[run], bias[run], normalizers)
        of_latent.addmm_(block, weight[run])
        torch.mm(block.T, weighted_latent, out=of_weight[run])
        torch.mv(block.T, shares, out=of_bias[run])
    return of_latent, of_weight, of_bias


def _inner(k: int) -> int:
    return max(16, min(int(triton.next_power_of_2(k)), 64))  # tensor cores take 16 at least


@triton.jit
def _sums(bounds, places, values, rows, totals, width, COLUMNS: tl.constexpr):
    i = tl.program_id(0)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < width
    total = tl.zeros((COLUMNS,), tl.float32)
    for e in range(tl.load(bounds + i), tl.load(bounds + i + 1)):
        row = tl.load(places + e).to(tl.int64)
        total += tl.load(values + e) * tl.load(rows + row * width + column, mask=inside, other=0.0)
    tl.store(totals + i.to(tl.int64) * width + column, total, mask=inside)


@triton.jit
def _scores(
    latent, weight, bias, document, word, documents, words, k,
    DOCUMENTS: tl.constexpr, WORDS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    """A tile of scores (DOCUMENTS, WORDS); -inf beyond the last word."""
    tile = tl.zeros((DOCUMENTS, WORDS), tl.float32)
    for first in range(0, k, INNER):
        inner = first + tl.arange(0, INNER)
        z = tl.load(
            latent + document[:, None].to(tl.int64) * k + inner[None, :],
            mask=(document[:, None] < documents) & (inner[None, :] < k),
            other=0.0,
        )
        w = tl.load(
            weight + word[None, :].to(tl.int64) * k + inner[:, None],
            mask=(word[None, :] < words) & (inner[:, None] < k),
            other=0.0,
        )
        tile = tl.dot(z, w, tile, input_precision="ieee")
    tile += tl.load(bias + word, mask=word < words, other=0.0)[None, :]
    return tl.where(word[None, :] < words, tile, float("-inf"))


@triton.jit
def _normalizers(
    latent, weight, bias, levels, documents, words, k,
    DOCUMENTS: tl.constexpr, WORDS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    document = tl.program_id(0) * DOCUMENTS + tl.arange(0, DOCUMENTS)
    most = tl.full((DOCUMENTS,), float("-inf"), tl.float32)
    total = tl.zeros((DOCUMENTS,), tl.float32)
    for first in range(0, words, WORDS):
        word = first + tl.arange(0, WORDS)
        tile = _scores(latent, weight, bias, document, word, documents, words, k, DOCUMENTS, WORDS, INNER)
        new = tl.maximum(most, tl.max(tile, axis=1))
        total = total * tl.exp(most - new) + tl.sum(tl.exp(tile - new[:, None]), axis=1)
        most = new
    tl.store(levels + document, most + tl.log(total), mask=document < documents)


@triton.jit
def _likely(
    latent, weight, bias, normalizers, likelihoods, documents, words, k,
    DOCUMENTS: tl.constexpr, WORDS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    document = tl.program_id(0) * DOCUMENTS + tl.arange(0, DOCUMENTS)
    word = tl.program_id(1) * WORDS + tl.arange(0, WORDS)
    tile = _scores(latent, weight, bias, document, word, documents, words, k, DOCUMENTS, WORDS, INNER)
    level = tl.load(normalizers + document, mask=document < documents, other=0.0)
    place = document[:, None].to(tl.int64) * words + word[None, :]
    inside = (document[:, None] < documents) & (word[None, :] < words)
    tl.store(likelihoods + place, tl.exp(tile - level[:, None]), mask=inside)

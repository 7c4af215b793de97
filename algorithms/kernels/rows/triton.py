"""Rows read and stepped on a GPU: a program takes one row, in blocks of its values (`rows/__init__.py`).

A row's steps without a gradient are made up for where it is read, so reading and stepping touch each row, its
means and nothing else once; which rows these are, a batch has sorted out on the host.
"""

# Triton's decorator has no types, and its constants are written in capitals.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803, SIM109

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from optml.algorithms.kernels.rows import terms
from optml.algorithms.kernels.rows.terms import BETA1, BETA2, EPSILON, REACH, RHO, Rule, State, corrected

Tensor = Any  # a torch tensor; torch's own name would bring torch's types into mypy

ADAGRAD, RMSPROP = tl.constexpr(terms.ADAGRAD), tl.constexpr(terms.RMSPROP)
ADADELTA, ADAM = tl.constexpr(terms.ADADELTA), tl.constexpr(terms.ADAM)
B1, B2, R = tl.constexpr(BETA1), tl.constexpr(BETA2), tl.constexpr(RHO)


def read(state: State, rule: Rule, rows: Tensor, update: int, rates: np.ndarray) -> Tensor:
    """See `rows.read`."""
    if rule.lazy or not len(rows):
        return state.values[rows]
    gaps = (update - state.stepped[rows]).clamp(min=0)
    far, least, m_left, v_left = _travels(state.stepped[rows], gaps, rule.kind, rates)
    width = state.values.shape[1]
    copies = torch.empty(len(rows), width, device=state.values.device)
    _read[(len(rows),)](
        state.values, state.first, state.second, rows, far, least, m_left, v_left, copies, width, rule.kind,
        triton.next_power_of_2(width),
    )  # fmt: skip
    state.stepped[rows] = update
    return copies


def _travels(since: Tensor, gaps: Tensor, kind: int, rates: np.ndarray) -> tuple[Tensor, ...]:
    """For each row, (u,) float32: how far it goes by its momentum, the least divisor, and what is left of
    both means."""
    begun = since > 0
    if kind == terms.ADAM:
        q = BETA1 / np.sqrt(BETA2)
        powers = torch.from_numpy(q ** np.arange(1, REACH + 1)).to(since.device)
        known = torch.from_numpy(np.append(rates, np.zeros(REACH))).to(since.device)
        steps = torch.arange(REACH, device=since.device)
        terms_of = known[since[:, None] + steps] * powers * (steps < gaps[:, None])
        far = terms_of.sum(1) * begun
        least = EPSILON[kind] * (1 - BETA2 ** since.double()).clamp(min=0).sqrt()
        left = BETA1 ** gaps.double(), BETA2 ** gaps.double()
    else:
        far = least = torch.zeros_like(since, dtype=torch.float64)
        left = RHO ** gaps.double(), RHO ** gaps.double()
    m_left, v_left = (torch.where(begun, part, 1.0) for part in left)
    return far.float(), least.float(), m_left.float(), v_left.float()


def step(state: State, rule: Rule, rows: Tensor, gradient: Tensor, update: int, rate: float) -> None:
    """See `rows.step`."""
    if not len(rows):
        return
    epsilon = EPSILON[rule.kind]
    if rule.kind == terms.ADAM:
        rate = corrected(rate, update)
        epsilon *= float(np.sqrt(1 - BETA2**update))
    width = state.values.shape[1]
    _step[(len(rows),)](
        state.values, state.first, state.second, rows, gradient.contiguous(), rate, epsilon, rule.decay,
        width, rule.kind, triton.next_power_of_2(width),
    )  # fmt: skip
    state.stepped[rows] = update


@triton.jit
def _read(values, first, second, rows, far, least, m_left, v_left, copies, width,
          KIND: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    i = tl.program_id(0)
    row = tl.load(rows + i)
    columns = tl.arange(0, BLOCK)
    inside = columns < width
    at = row * width + columns
    w = tl.load(values + at, mask=inside)
    if KIND == ADAM:
        m, v = tl.load(first + at, mask=inside), tl.load(second + at, mask=inside, other=1.0)
        way = tl.load(far + i)
        divisor = tl.sqrt(v) + tl.load(least + i)
        w = tl.where(way > 0, w - way * m / tl.where(way > 0, divisor, 1.0), w)
        tl.store(values + at, w, mask=inside)
        tl.store(first + at, m * tl.load(m_left + i), mask=inside)
        tl.store(second + at, v * tl.load(v_left + i), mask=inside)
    if KIND == RMSPROP or KIND == ADADELTA:
        m = tl.load(first + at, mask=inside)
        tl.store(first + at, m * tl.load(m_left + i), mask=inside)
    if KIND == ADADELTA:
        v = tl.load(second + at, mask=inside)
        tl.store(second + at, v * tl.load(v_left + i), mask=inside)
    tl.store(copies + i * width + columns, w, mask=inside)


@triton.jit
def _step(values, first, second, rows, gradient, rate, epsilon, decay, width,
          KIND: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    i = tl.program_id(0)
    row = tl.load(rows + i)
    columns = tl.arange(0, BLOCK)
    inside = columns < width
    at = row * width + columns
    w = tl.load(values + at, mask=inside, other=0.0)
    g = tl.load(gradient + i * width + columns, mask=inside, other=0.0) + decay * w
    if KIND == ADAM:
        m = tl.load(first + at, mask=inside, other=0.0) * B1 + g * (1 - B1)
        v = tl.load(second + at, mask=inside, other=1.0) * B2 + g * g * (1 - B2)
        tl.store(first + at, m, mask=inside)
        tl.store(second + at, v, mask=inside)
        w -= rate * m / (tl.sqrt(v) + epsilon)
    elif KIND == ADADELTA:
        v = tl.load(first + at, mask=inside, other=1.0) * R + g * g * (1 - R)
        u = tl.load(second + at, mask=inside, other=0.0)
        moved = tl.sqrt((u + epsilon) / (v + epsilon)) * g
        tl.store(first + at, v, mask=inside)
        tl.store(second + at, u * R + moved * moved * (1 - R), mask=inside)
        w -= moved
    elif KIND == RMSPROP or KIND == ADAGRAD:
        v = tl.load(first + at, mask=inside, other=1.0)
        if KIND == ADAGRAD:
            v += g * g
        else:
            v = v * R + g * g * (1 - R)
        tl.store(first + at, v, mask=inside)
        w -= rate * g / (tl.sqrt(v) + epsilon)
    else:
        w -= rate * g
    tl.store(values + at, w, mask=inside)

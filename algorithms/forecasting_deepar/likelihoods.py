"""The distributions that a network may output: their parameters, densities and means.

Maps from a network's raw outputs are those of AWS's graph where it is known (gaussian), else of GluonTS:
every location and width is in units of the window's scale, so a density is one of the values themselves.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from optml.algorithms.forecasting_deepar import settings

TINY = 1e-10  # keeps logarithms finite
EDGE = 1e-6  # of the interval of the beta distribution


def loss(likelihood: str, outputs: Tensor, scale: Tensor, target: Tensor) -> Tensor:
    """Minus the log-density of each target (t, w), of raw outputs (t, w, o) and scales (w,);
    deterministic-L1: the absolute error."""
    raw = outputs.unbind(-1)
    if likelihood == "gaussian":
        sigma = scale * softplus(raw[1]) + TINY * scale
        return 0.5 * ((target - scale * raw[0]) / sigma).square() + sigma.log() + 0.5 * math.log(2 * math.pi)
    if likelihood == "student-T":
        nu = 2 + softplus(raw[2])
        sigma = scale * softplus(raw[1]) + TINY * scale
        square = ((target - scale * raw[0]) / sigma).square()
        constant = torch.lgamma(nu / 2) - torch.lgamma((nu + 1) / 2) + 0.5 * (math.pi * nu).log()
        return constant + sigma.log() + (nu + 1) / 2 * torch.log1p(square / nu)
    if likelihood == "negative-binomial":
        count, logit = softplus(raw[0]) + TINY, raw[1] + scale.log()
        ways = torch.lgamma(target + count) - torch.lgamma(target + 1) - torch.lgamma(count)
        return -(ways + target * logsigmoid(logit) + count * logsigmoid(-logit))
    if likelihood == "beta":
        alpha, beta = softplus(raw[0]) + EDGE, softplus(raw[1]) + EDGE
        inside = target.clamp(EDGE, 1 - EDGE)
        constant = torch.lgamma(alpha) + torch.lgamma(beta) - torch.lgamma(alpha + beta)
        return constant - (alpha - 1) * inside.log() - (beta - 1) * torch.log1p(-inside)
    return (target - scale * raw[0]).abs()


def beginning(likelihood: str, mean: float, deviation: float) -> dict[str, float]:
    """Raw outputs of a distribution that all scaled values together have, where it has a location and width:
    a network that begins there has less to learn."""
    if not linear(likelihood):
        return {"total_count": unsoftplus(1.0)}
    least, most = settings.FIRST_DEVIATIONS
    return {"mu": mean, "sigma": unsoftplus(min(max(deviation, least), most))}


def linear(likelihood: str) -> bool:
    """Is its mean the scale times a raw output?"""
    return likelihood in ("gaussian", "student-T", "deterministic-L1")


def holds_log_scale(likelihood: str) -> bool:
    """Is it a density over the scale: does its loss hold the logarithm of that?"""
    return likelihood in ("gaussian", "student-T")


def unsoftplus(value: float) -> float:
    return math.log(math.expm1(value))


def mean(likelihood: str, outputs: Tensor, scale: Tensor) -> Tensor:
    """(t, w) of raw outputs (t, w, o) and scales (w,)."""
    raw = outputs.unbind(-1)
    if likelihood == "negative-binomial":
        return softplus(raw[0]) * (raw[1] + scale.log()).exp()
    if likelihood == "beta":
        alpha, beta = softplus(raw[0]) + EDGE, softplus(raw[1]) + EDGE
        return alpha / (alpha + beta)
    return scale * raw[0]

"""The network: embeddings, LSTM layers with zoneout and residual connections, projections.

Parameters are named as in AWS's graph, so that both kinds of artifact are the same arrays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from optml.algorithms.forecasting_deepar import likelihoods, settings
from optml.algorithms.forecasting_deepar.autoregression import Autoregression
from optml.algorithms.forecasting_deepar.facts import OUTPUTS, Facts
from optml.algorithms.kernels.lstm import recurrence


class DeepAR(torch.nn.Module):
    """calendar: the number of calendar features.   lags: of lags.   outputs: where the distribution's raw
    outputs begin, before anything is learnt (`likelihoods.beginning`).

    It learns from inputs less `center`, times `mix`, for raw features may be of any size, and lags are much
    alike. `folded` parameters take the inputs as they are, as AWS's graph does.
    """

    def __init__(
        self, parameters: Any, facts: Facts, calendar: int, lags: int, outputs: Mapping[str, float]
    ) -> None:
        super().__init__()
        self.layers: int = parameters.num_layers
        self.cells: int = parameters.num_cells
        self.cats = len(facts.cardinality)
        self.outputs = OUTPUTS[parameters.likelihood]
        self.before = calendar + 1 + facts.dynamics  # inputs before the embeddings
        wide = self.cats * parameters.embedding_dimension
        for number, size in enumerate(facts.cardinality):
            table = torch.empty(size, parameters.embedding_dimension)
            self._make(f"embed_{number}_weight", torch.nn.init.normal_(table, std=0.1))
        self.after = self.before + wide
        width, most = self.after + 1 + lags, settings.UNIFORM_WEIGHT
        self.register_buffer("center", torch.zeros(width - wide))
        self.register_buffer("mix", torch.eye(width - wide))
        for layer in range(self.layers):
            name = f"lstm_l_{layer}"
            for kind, size in (("i2h", width), ("h2h", self.cells)):
                weight = torch.nn.init.uniform_(torch.empty(4 * self.cells, size), -most, most)
                self._make(f"{name}{kind}_weight", weight)
                self._make(f"{name}{kind}_bias", torch.zeros(4 * self.cells))
            with torch.no_grad():  # units begin by remembering
                self.get_parameter(f"{name}i2h_bias")[self.cells : 2 * self.cells] = 1
            width = self.cells
        for name in self.outputs:
            weight = torch.nn.init.uniform_(torch.empty(1, self.cells), -1, 1)
            self._make(f"{name}_Noneproj_weight", weight / math.sqrt(self.cells))
            self._make(f"{name}_Noneproj_bias", torch.full((1,), outputs.get(name, 0.0)))

    def _make(self, name: str, values: Tensor) -> None:
        self.register_parameter(name, torch.nn.Parameter(values))

    def carry(self, start: Autoregression) -> None:
        """Give the first unit to an autoregression, which the layers above and the location pass on."""
        first, wide, opened = settings.CARRIER_UNIT, settings.CARRIER_RANGE, settings.CARRIER_GATE
        gate = 1 / (1 + math.exp(-opened))
        lags, unit = len(start.weights), slice(first, None, self.cells)
        weights = torch.from_numpy(start.weights).float()
        mixed = torch.from_numpy(np.linalg.lstsq(start.whitening, start.weights)[0]).float()
        location = self.get_parameter("mu_Noneproj_bias")
        center = self.get_buffer("center")[-lags:]
        self.get_buffer("mix")[-lags:, -lags:] = torch.from_numpy(start.whitening)
        # Not those that are mostly absent: they would act as a bias in learning, and not in the forecast.
        center[:] = (weights != 0) * location.item()
        with torch.no_grad():
            for layer in range(self.layers):
                for kind in ("i2h", "h2h"):
                    self.get_parameter(f"lstm_l_{layer}{kind}_weight")[unit] = 0
            self.get_parameter("lstm_l_0i2h_weight")[2 * self.cells + first, -lags:] = wide * mixed
            level = wide * (start.level + float(weights @ center) - location.item())
            bias = torch.tensor([opened, -opened, level, opened])
            self.get_parameter("lstm_l_0i2h_bias")[unit] = bias
            head = self.get_parameter("mu_Noneproj_weight")
            head.zero_()
            head[0, first] = 1 / (wide * gate**2)
            if "sigma" in self.outputs:
                width = likelihoods.unsoftplus(max(start.deviation, settings.CARRIER_DEVIATION))
                self.get_parameter("sigma_Noneproj_bias").fill_(width)

    def carried_lags(self) -> np.ndarray:
        """(l,) bool: the lags of the autoregression that it carries."""
        lags = self.get_buffer("center")[self.before + 1 :]
        mask: np.ndarray = lags.cpu().numpy() != 0
        return mask

    def forward(self, inputs: Tensor, cat: Tensor, real: Tensor, mask: Tensor | None) -> Tensor:
        """(t, w, o) raw outputs.

        inputs: (t, w, i).   cat: (w, c) int64.   real: (t, w) bool.   mask: (layers, 2, t, w, cells) bool,
        what zoneout keeps; None: nothing.
        """
        below = (inputs - self.get_buffer("center")) @ self.get_buffer("mix")
        for layer in range(self.layers):
            name = f"lstm_l_{layer}"
            weight: Tensor = self.get_parameter(f"{name}i2h_weight")
            bias = self.get_parameter(f"{name}i2h_bias") + self.get_parameter(f"{name}h2h_bias")
            if layer == 0 and self.cats:
                tables = (self.get_parameter(f"embed_{number}_weight") for number in range(self.cats))
                embedded = torch.cat([table[cat[:, number]] for number, table in enumerate(tables)], dim=1)
                bias = linear(embedded, weight[:, self.before : self.after], bias)  # (w, 4 cells)
                weight = torch.cat([weight[:, : self.before], weight[:, self.after :]], dim=1)
                gates = linear(below, weight) + bias
            else:
                gates = linear(below, weight, bias)
            zoned = None if mask is None else mask[layer]
            above = recurrence(gates, self.get_parameter(f"{name}h2h_weight"), real, zoned)
            below = above + below if layer else above
        head = torch.cat([self.get_parameter(f"{name}_Noneproj_weight") for name in self.outputs])
        return linear(
            below, head, torch.cat([self.get_parameter(f"{n}_Noneproj_bias") for n in self.outputs])
        )

    def folded(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Parameters of this module (by name) for inputs as they are."""
        center, mix = self.get_buffer("center"), self.get_buffer("mix")
        weight = parameters["lstm_l_0i2h_weight"].clone()
        columns = [*range(self.before), *range(self.after, weight.shape[1])]
        weight[:, columns] = weight[:, columns] @ mix.T
        bias = parameters["lstm_l_0i2h_bias"] - weight[:, columns] @ center
        return {**parameters, "lstm_l_0i2h_weight": weight, "lstm_l_0i2h_bias": bias}

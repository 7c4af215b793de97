"""A trained network that forecasts, its artifact, and AWS's."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from optml.algorithms import artifact
from optml.algorithms.forecasting_deepar import aws
from optml.algorithms.forecasting_deepar.facts import OUTPUTS, Facts
from optml.algorithms.forecasting_deepar.hyperparameters import Hyperparameters
from optml.algorithms.forecasting_deepar.levels import ARRAYS as LEVELS
from optml.algorithms.forecasting_deepar.levels import Levels
from optml.algorithms.forecasting_deepar.series import Series
from optml.algorithms.forecasting_deepar.windows import SMALLEST, Shape, gather
from optml.algorithms.kernels.forecast import Forecaster, Layer, Steps
from optml.deadline import check
from optml.errors import UserError
from optml.formats.records import Columns

SLUG = "forecasting-deepar"
TOGETHER = 1 << 26  # numbers of the paths that are in memory at a time
PATHS = 1 << 16  # drawn at a time: a second or two, after which a request that is too late ends
APART = 1 << 24  # numbers of the inputs and gates of paths, each from a level of its own, at a time
QUANTILE = "quantile "  # how the names of their columns begin


@dataclass(frozen=True, slots=True)
class Request:
    """Series to forecast, with `prediction_length` future slots each, and what is asked of them.

    samples: sample paths a series.   types: of mean, quantiles, samples.   quantiles: as they are named.
    """

    series: Series
    samples: int
    types: tuple[str, ...]
    quantiles: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.series)

    def __getitem__(self, some: slice) -> Request:
        return replace(self, series=self.series.take(np.arange(len(self))[some]))


class Model:
    """Hyperparameters, facts, and arrays by the names of AWS's graph (`module.DeepAR`).

    levels: of the training series; None: AWS's image has trained it and keeps none.
    """

    width = None

    def __init__(
        self,
        parameters: Hyperparameters,
        facts: Facts,
        arrays: Mapping[str, np.ndarray],
        levels: Levels | None = None,
    ) -> None:
        self.parameters = parameters
        self.facts = facts
        self.arrays = dict(arrays)
        self.levels = levels
        self.shape = replace(Shape.of(parameters), remembers=levels is not None)
        self._before = len(self.shape.frequency.names) + 1 + facts.dynamics  # inputs before the embeddings
        cats = range(len(facts.cardinality))
        self._tables = [self.arrays[f"embed_{number}_weight"] for number in cats]
        outputs = OUTPUTS[parameters.likelihood]
        layers = [
            Layer(
                self.arrays[f"lstm_l_{number}i2h_weight"],
                self.arrays[f"lstm_l_{number}h2h_weight"],
                self.arrays[f"lstm_l_{number}i2h_bias"] + self.arrays[f"lstm_l_{number}h2h_bias"],
            )
            for number in range(parameters.num_layers)
        ]
        self._forecaster = Forecaster(
            layers,
            np.concatenate([self.arrays[f"{name}_Noneproj_weight"] for name in outputs]),
            np.concatenate([self.arrays[f"{name}_Noneproj_bias"] for name in outputs]),
            parameters.likelihood,
        )

    def predict(self, batch: Request, options: Mapping[str, str]) -> Columns:
        """Columns `mean` (n, p), `samples` (n, s, p) and, for each quantile, `quantile 0.5` (n, p)."""
        if not len(batch):
            return {"mean": np.empty((0, self.shape.horizon))}
        parts = []
        size = max(1, min(PATHS, TOGETHER // self.shape.steps) // batch.samples)
        for start in range(0, len(batch), size):
            check()
            whole = len(batch) <= size
            part = (
                batch.series if whole else batch.series.take(np.arange(start, min(start + size, len(batch))))
            )
            parts.append(self._columns(batch, self.paths(part, batch.samples)))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def paths(self, series: Series, samples: int) -> np.ndarray:
        """(n, samples, p) float32 sample paths of series with p future slots. Those of a series depend on it
        alone, wherever it stands."""
        keys, levels = _keys(series), self.levels
        new = np.flatnonzero(series.scales == 0)  # no value, or zeros alone
        if levels is None or not self.shape.scaled or not len(new):
            return self._paths(series, samples, self.facts.scale, keys)
        paths = np.empty((len(series), samples, self.shape.horizon), np.float32)
        old = np.setdiff1d(np.arange(len(series)), new)
        paths[old] = self._paths(series.take(old), samples, self.facts.scale, keys[old])
        if self.parameters.likelihood == "deterministic-L1":  # whose paths are all the same
            draws = [levels.middle(series.cat[one]) for one in new.tolist()]
        else:
            draws = [levels.draw(series.cat[one], samples, int(keys[one])) for one in new.tolist()]
        scales, lags = (np.stack(values) for values in zip(*draws, strict=True))
        paths[new] = self._paths_apart(series.take(new), scales, lags, keys[new])
        return paths

    def _paths(
        self, series: Series, samples: int, fallback: float | np.ndarray, keys: np.ndarray
    ) -> np.ndarray:
        """fallback: scales of series that have none of their own.   keys: (n,) of random numbers."""
        if not len(series):
            return np.empty((0, samples, self.shape.horizon), np.float32)
        return self._forecaster.sample(self._steps(series, fallback, keys), samples, self.shape.horizon)

    def _paths_apart(
        self, series: Series, scales: np.ndarray, lags: np.ndarray, keys: np.ndarray
    ) -> np.ndarray:
        """(n, s, p) of series that have no value, or zeros alone, each path with a scale of its own, and in
        units of it the lags before the beginning: (n, s) each. Inputs differ in nothing else."""
        samples, horizon = scales.shape[1], self.shape.horizon
        column = self._forecaster.inputs.shape[0] - len(self.shape.frequency.lags) - 1
        lags = lags * (np.diff(np.searchsorted(np.flatnonzero(series.observed), series.bounds)) == 0)[:, None]
        place = series.lengths[:, None] - self.shape.context + np.arange(self.shape.steps)  # (n, t)
        paths = np.empty((scales.size, horizon), np.float32)
        size = max(1, APART // (self.shape.steps * sum(self._forecaster.inputs.shape)))
        for start in range(0, scales.size, size):
            check()
            owner, path = np.divmod(np.arange(start, min(start + size, scales.size)), samples)
            some = np.arange(owner[0], owner[-1] + 1)
            known, each = self._steps(series.take(some), 1.0, keys[some]), owner - owner[0]
            # Of steps before all series begin only the last one leaves a state.
            begin = max(int(known.real.argmax(axis=1).min()) - 1, 0)
            scale = np.maximum(scales[owner, path], SMALLEST)
            inputs = known.inputs[each, begin:]
            inputs[..., column] = np.log(scale)[:, None]
            if lags.any():
                before = place[owner, begin:, None] < known.lags
                inputs[..., column + 1 :] += before * lags[owner, path, None, None].astype(np.float32)
            unknown, real = known.unknown[each, begin:], known.real[each, begin:]
            numbers = keys[owner] + ((path + 1).astype(np.uint64) << np.uint64(32))
            apart = Steps(inputs, unknown, real, scale, known.lags, numbers)
            paths[start : start + len(path)] = self._forecaster.sample(apart, 1, horizon)[:, 0]
        return paths.reshape(len(series), samples, horizon)

    def _steps(self, series: Series, fallback: float | np.ndarray, keys: np.ndarray) -> Steps:
        places = np.arange(len(series))
        windows = gather(series, places, series.lengths, self.shape, fallback, self.shape.context)
        inputs = windows.inputs.transpose(1, 0, 2)  # (n, t, i)
        embedded = [table[windows.cat[:, number]] for number, table in enumerate(self._tables)]
        total = self.shape.steps
        inputs = np.concatenate(
            [
                inputs[..., : self._before],
                *(np.broadcast_to(rows[:, None], (len(series), total, rows.shape[1])) for rows in embedded),
                inputs[..., self._before :],
            ],
            axis=2,
        )
        return Steps(
            inputs,
            np.ascontiguousarray(~windows.observed.T),
            np.ascontiguousarray(windows.real.T),
            windows.scale,
            self.shape.frequency.lags,
            keys,
        )

    def save(self, folder: Path) -> None:
        dumped = self.parameters.model_dump(mode="json")
        frequency = self.shape.frequency
        facts = self.facts.to_json() | {"calendar": frequency.names, "lags": frequency.lags.tolist()}
        arrays = self.arrays if self.levels is None else self.arrays | self.levels.arrays()
        artifact.write(folder, SLUG, arrays, dumped, facts)

    def _columns(self, batch: Request, paths: np.ndarray) -> dict[str, np.ndarray]:
        columns: dict[str, np.ndarray] = {}
        if "quantiles" in batch.types:
            values = quantiles(paths, [float(text) for text in batch.quantiles])
            columns |= {f"{QUANTILE}{text}": rows for text, rows in zip(batch.quantiles, values, strict=True)}
        if "samples" in batch.types:
            columns["samples"] = paths
        if "mean" in batch.types:
            columns["mean"] = paths.mean(axis=1, dtype=np.float64)
        return columns


def quantiles(paths: np.ndarray, wanted: Sequence[float]) -> np.ndarray:
    """(q, n, p) float64 of (n, s, p): between two samples, linear."""
    ordered = np.sort(paths, axis=1)
    place = np.asarray(wanted) * (paths.shape[1] - 1)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, paths.shape[1] - 1)
    share = (place - low)[:, None, None]
    below = ordered[:, low].transpose(1, 0, 2).astype(np.float64)
    values: np.ndarray = below + share * (ordered[:, high].transpose(1, 0, 2) - below)
    return values


def load(folder: Path, device: str) -> Model:
    """The model of a folder of ours or of AWS's; it computes on the CPU. Raises UserError saying what is
    wrong."""
    levels = None
    if not artifact.exists(folder):
        parameters, facts, arrays = aws.read(folder)
    else:
        content = artifact.read(folder, SLUG)
        try:
            parameters = Hyperparameters.model_validate(content.hyperparameters)
            facts = Facts.of_json(content.facts)
            levels = Levels.of_arrays(content.arrays, len(facts.cardinality))
        except (ValidationError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{folder}/model.json does not describe a DeepAR model: {error}") from None
        arrays = {name: content.arrays[name] for name in content.arrays if name not in LEVELS}
    _check(parameters, facts, arrays, folder)
    return Model(parameters, facts, arrays, levels)


def _check(parameters: Hyperparameters, facts: Facts, arrays: Mapping[str, np.ndarray], folder: Path) -> None:
    """Raise UserError unless the arrays are those of such a network."""
    cells, frequency = parameters.num_cells, parameters.frequency
    embedded = len(facts.cardinality) * parameters.embedding_dimension
    width = len(frequency.names) + 1 + facts.dynamics + embedded + 1 + len(frequency.lags)
    wanted: dict[str, tuple[int, ...]] = {}
    for number, size in enumerate(facts.cardinality):
        wanted[f"embed_{number}_weight"] = (size, parameters.embedding_dimension)
    for layer in range(parameters.num_layers):
        name = f"lstm_l_{layer}"
        wanted |= {
            f"{name}i2h_weight": (4 * cells, cells if layer else width),
            f"{name}i2h_bias": (4 * cells,),
        }
        wanted |= {f"{name}h2h_weight": (4 * cells, cells), f"{name}h2h_bias": (4 * cells,)}
    for name in OUTPUTS[parameters.likelihood]:
        wanted |= {f"{name}_Noneproj_weight": (1, cells), f"{name}_Noneproj_bias": (1,)}
    for name, shape in wanted.items():
        if name not in arrays:
            names = ", ".join(sorted(arrays))
            raise UserError(
                f"the model in {folder} lacks the array '{name}' of a {parameters.likelihood} network; "
                f"it has {names}"
            )
        if arrays[name].shape != shape:
            raise UserError(
                f"the model in {folder}: array '{name}' has shape {list(arrays[name].shape)}, expected "
                f"{list(shape)} for time_freq={parameters.time_freq}, {facts.dynamics} dynamic features and "
                f"cardinality {list(facts.cardinality)}"
            )


def _keys(series: Series) -> np.ndarray:
    """(n,) uint64: a hash of what each series is."""
    bounds = series.bounds.tolist()
    hashes = [
        zlib.crc32(series.target[begin:end].tobytes(), start & 0xFFFFFFFF)
        for begin, end, start in zip(bounds[:-1], bounds[1:], series.starts.tolist(), strict=True)
    ]
    return np.array(hashes, np.uint64)

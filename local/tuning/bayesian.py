"""Bayesian search: optuna's Gaussian process over what is known, asked for one point at a time.

A study is made anew for every proposal, of the recorded trials: nothing but they is ever kept. Trials that
run are in it with their parameters and without a value, so that a point proposed beside them differs.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optml.errors import UserError
from optml.local.tuning import draws, warm_start
from optml.local.tuning.definition import Definition, Tuning
from optml.local.tuning.ranges import Categorical, Integer, Range
from optml.local.tuning.trials import Parent, Trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

STARTUP = 5  # trials that have ended before the model has a say
TRIES = 10  # proposals of a point that is there already, before a random one is taken


@dataclass(frozen=True, slots=True)
class Observation:
    """A point and the loss there, to be made small; None: it is not known, for its trial runs or failed."""

    parameters: Mapping[str, str]
    loss: float | None


def observations(
    tuning: Tuning, definition: Definition, trials: Sequence[Trial], parents: Sequence[Parent]
) -> list[Observation]:
    """What a job and its parents know. A failed trial has no loss, yet its point is passed by from then on,
    as that of one that runs."""
    inherited = list(warm_start.observations(tuning, definition, parents))
    own = [trial for trial in trials if trial.value is not None]
    losses = [definition.objective.loss(trial.value or 0.0) for trial in own]
    if tuning.warm_start == "TransferLearning" and inherited:
        losses = warm_start.standardised(losses)
    return [
        *(Observation(parameters, loss) for parameters, loss in inherited),
        *(Observation(trial.parameters, loss) for trial, loss in zip(own, losses, strict=True)),
        *(Observation(trial.parameters, None) for trial in trials if trial.value is None),
    ]


def point(
    definition: Definition, observations: Sequence[Observation], seed: int, number: int
) -> dict[str, str]:
    """The point of trial `number`. Raises UserError where optuna is not installed."""
    points = [entry.parameters for entry in observations]
    known = {draws.key(parameters) for parameters in points}
    if sum(entry.loss is not None for entry in observations) < STARTUP:
        candidate = _spread(definition, seed, number)
        return draws.draw(definition, points, seed, number) if draws.key(candidate) in known else candidate
    for attempt in range(TRIES):
        candidate = _ask(definition, observations, (seed * 1_000_003 + number * 101 + attempt) % 2**32)
        if draws.key(candidate) not in known:
            return candidate
    return draws.draw(definition, points, seed, number)


def _spread(definition: Definition, seed: int, number: int) -> dict[str, str]:
    """Point `number`, from 1, of a scrambled Sobol sequence: more even than independent draws."""
    from scipy.stats.qmc import Sobol

    sequence = Sobol(len(definition.ranges), rng=seed % 2**32)
    units = sequence.random_base2((number - 1).bit_length())[number - 1]
    return {span.name: span.at(float(unit)) for span, unit in zip(definition.ranges, units, strict=True)}


def warped(losses: Sequence[float]) -> list[float]:
    """The losses in their order, drawn towards a normal distribution (Yeo and Johnson, "A New Family of Power
    Transformations", Biometrika 87, 2000), which is what the model takes them for. Trials that went far
    astray would else make all others look alike to it."""
    import numpy as np
    from scipy.stats import yeojohnson

    values = np.asarray(losses, np.float64)
    deviation = values.std()
    if not deviation:
        return [0.0] * len(values)
    transformed, _ = yeojohnson((values - values.mean()) / deviation)
    return [float(value) for value in transformed]


def _ask(definition: Definition, observations: Sequence[Observation], seed: int) -> dict[str, str]:
    optuna = _optuna()
    known = [entry for entry in observations if entry.loss is not None]
    distributions = {span.name: _distribution(span) for span in definition.ranges}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=0, warn_independent_sampling=False)
        study = optuna.create_study(sampler=sampler, direction="minimize")
        losses = warped([entry.loss for entry in known if entry.loss is not None])
        entries = [
            *(Observation(entry.parameters, loss) for entry, loss in zip(known, losses, strict=True)),
            *(entry for entry in observations if entry.loss is None),
        ]
        trials = [_trial(definition, entry, distributions) for entry in entries]
        study.add_trials([trial for trial in trials if trial is not None])
        asked = study.ask(distributions).params
    return {span.name: _text(span, asked[span.name]) for span in definition.ranges}


def _trial(
    definition: Definition, entry: Observation, distributions: dict[str, BaseDistribution]
) -> FrozenTrial | None:
    """None: the point has a value outside of its range."""
    optuna = _optuna()
    values = {}
    for span in definition.ranges:
        text = entry.parameters.get(span.name)
        unit = None if text is None else span.unit(text)
        if text is None or unit is None:
            return None
        values[span.name] = (
            int(float(text)) if isinstance(span, Integer) else text if isinstance(span, Categorical) else unit
        )
    running = entry.loss is None
    made: FrozenTrial = optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING if running else optuna.trial.TrialState.COMPLETE,
        params=values,
        distributions=distributions,
        value=entry.loss,
    )
    return made


def _distribution(span: Range) -> BaseDistribution:
    """Continuous ranges go by their place in [0, 1], where their scale has been taken care of."""
    distributions = _optuna().distributions
    if isinstance(span, Integer):
        return distributions.IntDistribution(span.low, span.high, log=span.scale == "Logarithmic")  # type: ignore[no-any-return]
    if isinstance(span, Categorical):
        return distributions.CategoricalDistribution(span.values)  # type: ignore[no-any-return]
    return distributions.FloatDistribution(0.0, 1.0)  # type: ignore[no-any-return]


def _text(span: Range, value: Any) -> str:
    return str(value) if isinstance(span, Integer | Categorical) else span.at(value)


def _optuna() -> Any:
    """The library. Its log stays out of ours."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        import optuna
        import torch  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"the strategy Bayesian needs {error.name}: pip install 'optml[tuning]', or choose Random"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna

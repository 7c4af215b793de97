"""Automatic model tuning: how few jobs find good hyperparameters, against optuna's own loops and random.

    python -m benchmarks.tuning [--only functions|curves|TABLE...] [--cache DIR]

functions  Branin, 40 jobs, one after another and 4 in parallel; Hartmann-6, 100 jobs; proposal times
TABLE      abalone, adult, california, churn: XGBoost, 8 hyperparameters; digits-linear: Linear Learner;
           digits-kmeans: K-Means. Real training jobs of the container, their objective read from the log
curves     Hyperband on XGBoost's learning curves of the same tables

Medians over ten seeds. Regret is the distance of the best job so far from the best of 1,000 random ones;
their slices of 30 are random search. Jobs have one thread; what has been tried before is looked up in the
folder that --cache names. No constant of the search was chosen on any of these problems.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import tuning_jobs
from benchmarks.environment import options, save
from optml.local.tuning.definition import Definition, Objective, Resource, Tuning
from optml.local.tuning.proposals import propose
from optml.local.tuning.ranges import Categorical, Continuous, Integer, Range
from optml.local.tuning.stopping import stops
from optml.local.tuning.trials import Trial, pending

SEEDS = range(10)
JOBS = 30
REFERENCE = 1000  # random jobs, of which the best is what regret counts from
RESOURCE = Resource(1, 27)
SAMPLE = 40  # trials of a Hyperband job
Loss = Callable[[Mapping[str, str]], float]
Row = dict[str, Any]


def branin(point: Mapping[str, str]) -> float:
    """On [-5, 10] x [0, 15]; minimum 0.3979."""
    x, y = float(point["x"]), float(point["y"])
    bowl = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
    return bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


BRANIN: tuple[Range, ...] = (Continuous("x", -5.0, 10.0), Continuous("y", 0.0, 15.0))
HARTMANN: tuple[Range, ...] = tuple(Continuous(f"x{number}", 0.0, 1.0) for number in range(6))
_WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
_SHAPES = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
_CENTERS = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann(point: Mapping[str, str]) -> float:
    """On [0, 1]^6; minimum -3.322."""
    x = np.array([float(point[f"x{number}"]) for number in range(6)])
    return -float(_WEIGHTS @ np.exp(-(_SHAPES * (x - _CENTERS) ** 2).sum(axis=1)))


# Searches: each yields the losses of its jobs in the order of their ends.


def ours(spans: Sequence[Range], loss: Loss, jobs: int, seed: int, parallel: int = 1) -> list[float]:
    """The library, with `parallel` jobs running: the one that has run longest ends next."""
    tuning = Tuning((Definition(Objective("loss"), tuple(spans)),), "Bayesian", parallel=parallel, seed=seed)
    ended: list[Trial] = []
    running: list[Trial] = []
    while len(ended) < jobs:
        free = min(parallel - len(running), jobs - len(ended) - len(running))
        running += map(pending, propose(tuning, [*ended, *running], free))
        trial = running.pop(0)
        ended.append(Trial(trial.number, trial.parameters, "Completed", (loss(trial.parameters),)))
    return [trial.values[-1] for trial in ended]


def bare(sampler: str, spans: Sequence[Range], loss: Loss, jobs: int, seed: int) -> list[float]:
    """optuna's own loop, as its documentation has it."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    values: list[float] = []

    def objective(trial: Any) -> float:
        point = {}
        for span in spans:
            if isinstance(span, Categorical):
                value = trial.suggest_categorical(span.name, span.values)
            else:
                suggest = trial.suggest_int if isinstance(span, Integer) else trial.suggest_float
                value = suggest(span.name, span.low, span.high, log=span.scale == "Logarithmic")
            point[span.name] = str(value)
        values.append(loss(point))
        return values[-1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=seed))
        study.optimize(objective, n_trials=jobs)
    return values


def random_search(spans: Sequence[Range], loss: Loss, jobs: int, seed: int) -> list[float]:
    tuning = Tuning((Definition(Objective("loss"), tuple(spans)),), "Random", seed=seed)
    return [loss(proposal.parameters) for proposal in propose(tuning, (), jobs)]


def best(values: Sequence[float]) -> np.ndarray:
    return np.minimum.accumulate(values)


def functions() -> list[Row]:
    rows: list[Row] = []
    for name, spans, loss, jobs in (("branin", BRANIN, branin, 40), ("hartmann6", HARTMANN, hartmann, 100)):
        searches: dict[str, Callable[[int], list[float]]] = {
            "ours": partial(ours, spans, loss, jobs),
            "ours, 4 in parallel": partial(ours, spans, loss, jobs, parallel=4),
            "optuna GPSampler": partial(bare, "GPSampler", spans, loss, jobs),
            "optuna TPESampler": partial(bare, "TPESampler", spans, loss, jobs),
            "random": partial(random_search, spans, loss, jobs),
        }
        for search, run in searches.items():
            curves = [best(run(seed)).tolist() for seed in SEEDS]
            finals = [curve[-1] for curve in curves]
            rows.append({"problem": name, "search": search, "jobs": jobs, "curves": curves})
            print(f"{name:10} {search:22} median {median(finals):8.4f} worst {max(finals):8.4f}", flush=True)
    rows.append({"problem": "proposal", "seconds": proposal_seconds()})
    print(f"a proposal with 100 jobs known: {rows[-1]['seconds']:.2f} s")
    return rows


def proposal_seconds() -> float:
    """Of one proposal with 100 jobs known and 3 running, the median of ten: eight hyperparameters."""
    spans = tuning_jobs.XGBOOST
    tuning = Tuning((Definition(Objective("loss"), spans),), "Bayesian", seed=1)
    known = [
        Trial(entry.number, entry.parameters, "Completed", (float(entry.number % 7),))
        for entry in propose(Tuning(tuning.definitions, "Random", seed=1), (), 100)
    ]
    known += map(pending, propose(tuning, known, 3))
    times = []
    for seed in range(10):
        began = time.perf_counter()
        propose(Tuning(tuning.definitions, "Bayesian", seed=seed), known, 1)
        times.append(time.perf_counter() - began)
    return median(times)


def table(name: str, cache: Path, seeds: range) -> list[Row]:
    """The searches on the training jobs of one table."""
    problem = tuning_jobs.Problem(name, cache)
    thousand = random_search(problem.spans, problem.loss, REFERENCE, seed=12345)
    least = min(thousand)
    spans, loss = problem.spans, problem.loss
    searches: dict[str, Callable[[int], list[float]]] = {
        "ours": partial(ours, spans, loss, JOBS),
        "ours, 4 in parallel": partial(ours, spans, loss, JOBS, parallel=4),
        "optuna GPSampler": partial(bare, "GPSampler", spans, loss, JOBS),
        "optuna TPESampler": partial(bare, "TPESampler", spans, loss, JOBS),
        "random": lambda seed: thousand[seed * JOBS : (seed + 1) * JOBS],
    }
    rows = []
    for search, run in searches.items():
        curves = [best(run(seed)).tolist() for seed in seeds]
        regret = median(curve[-1] - least for curve in curves)
        rows.append({"problem": name, "search": search, "jobs": JOBS, "curves": curves, "reference": least})
        print(f"{name:14} {search:22} regret {regret:10.6f} at {least:.6f}", flush=True)
    return rows


def curves(name: str, cache: Path) -> Row:
    """Hyperband against training every trial of the same sample to its end, on recorded learning curves."""
    problem = tuning_jobs.Problem(name, cache, rounds=RESOURCE.most)
    definition = Definition(Objective("loss"), problem.spans, epochs=RESOURCE.most)
    hits, shares, stopped = 0, [], []
    for seed in SEEDS:
        tuning = Tuning((definition,), "Hyperband", parallel=4, resource=RESOURCE, seed=seed)
        sample = [problem.curve(proposal.parameters) for proposal in propose(tuning, (), SAMPLE)]
        trials = _replay(tuning, sample)
        whole = min(trial.values[-1] for trial in trials if len(trial.values) == RESOURCE.most)
        hits += whole == min(values[-1] for values in sample)
        shares.append(sum(len(trial.values) for trial in trials) / (SAMPLE * RESOURCE.most))
        stopped.append(sum(trial.status == "Stopped" for trial in trials) / SAMPLE)
    share, early = median(shares), median(stopped)
    print(f"hyperband {name:12} the best in {hits} of 10, epochs {share:.2f}, stopped {early:.2f}")
    return {"problem": f"hyperband {name}", "hits": hits, "epochs": share, "stopped": early}


def _replay(tuning: Tuning, sample: Sequence[Sequence[float]]) -> list[Trial]:
    """Four trials at once, each taking an epoch in turn, judged as they go."""
    trials: dict[int, Trial] = {}
    waiting = list(range(1, len(sample) + 1))
    running: list[int] = []
    while waiting or running:
        while waiting and len(running) < tuning.parallel:
            running.append(waiting.pop(0))
        for number in list(running):
            step = len(trials[number].values) + 1 if number in trials else 1
            trial = Trial(number, {}, values=tuple(sample[number - 1][:step]))
            trials[number] = trial
            falls = stops(tuning, list(trials.values()), trial, judged=step - 1)
            if falls or step == len(sample[number - 1]):
                trials[number] = Trial(number, {}, "Stopped" if falls else "Completed", trial.values)
                running.remove(number)
    return list(trials.values())


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="PART")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="of the tables")
    parser.add_argument("--cache", type=Path, help="where jobs that have been run are looked up")
    args = parser.parse_args()
    parts = args.only or ["functions", *tuning_jobs.PROBLEMS, "curves"]
    rows = _earlier(args.out)
    with tempfile.TemporaryDirectory() as scratch:
        cache = args.cache or Path(scratch)
        for part in parts:
            if part == "functions":
                new = functions()
            elif part == "curves":
                new = [curves(name, cache) for name in tuning_jobs.CURVES]
            else:
                new = table(part, cache, range(args.seeds))
            problems = {row["problem"] for row in new}
            rows = [row for row in rows if row["problem"] not in problems] + new
            save("tuning-cpu", rows, folder=args.out)
    from benchmarks import tuning_picture

    tuning_picture.draw(rows, args.out / "tuning-cpu.png")
    return 0


def _earlier(folder: Path) -> list[Row]:
    """What another run has measured of the parts that this one leaves out."""
    path = folder / "tuning-cpu.json"
    if not path.exists():
        return []
    rows: list[Row] = json.loads(path.read_text())["rows"]
    return rows


if __name__ == "__main__":
    sys.exit(main())

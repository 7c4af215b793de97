"""DeepAR beside GluonTS' (torch): windows a second in training, series a second in forecasting, and quality.

    python -m benchmarks.forecasting_deepar [--data DIR] [--gluonts PYTHON] [race] [synthetic]

DIR holds m4_hourly and exchange_rate. PYTHON (or OPTML_GLUONTS) is that of an environment of its own with
gluonts[torch] 0.17.0.

race    both contestants get the same series (m4_hourly, exchange_rate), context, layers, cells, batch, rate,
        dropout and number of updates, and forecast what follows the training part: 100 samples a series.
        Seconds are of training alone and of forecasting alone; those of a core come from processor time.
        `optml, longer` has more updates and, of M4, a week of context and the number of the series as cat.
        Settings were chosen on the last windows of the training part (--hold-out).
synthetic: the example of AWS's notebook, of which AWS's own scores are known.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import options, save

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
Times = np.ndarray  # (2,): seconds, and seconds of processor: other work may share the machine
SAMPLES = 100
QUANTILES = [q / 10 for q in range(1, 10)]
SEEDS = 3
UPDATES = 210  # of AWS's example: 20 epochs


@dataclass(frozen=True)
class Task:
    """train: the series.   truth: (n, p) what follows them.

    longer: updates and context of a longer run, and whether the number of a series is its cat.
    """

    name: str
    frequency: str
    season: int
    context: int
    updates: int
    longer: tuple[int, int, bool]
    rate: float
    train: list[np.ndarray]
    truth: np.ndarray

    @property
    def horizon(self) -> int:
        return self.truth.shape[1]

    def held_out(self) -> Task:
        """The same task one window earlier: for choices."""
        cut = self.horizon
        return Task(
            self.name, self.frequency, self.season, self.context, self.updates, self.longer, self.rate,
            [one[:-cut] for one in self.train], np.stack([one[-cut:] for one in self.train]),
        )  # fmt: skip


LAYERS, CELLS, BATCH, DROPOUT, EVERY = 2, 40, 32, 0.1, 50  # EVERY: updates in an epoch of GluonTS

# Runs in GluonTS' environment: trains, forecasts, and leaves the samples.
GLUONTS = """
import json, sys, time, warnings, logging
import numpy as np, pandas as pd, torch, lightning.pytorch as pl
from gluonts.dataset.common import ListDataset
from gluonts.torch import DeepAREstimator
warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
given, out = json.loads(sys.argv[1]), sys.argv[2]
series = np.load(given["series"])
data = ListDataset([{"start": pd.Period("2000-01-01 00:00", given["freq"]), "target": series[str(n)]}
                    for n in range(len(series.files))], freq=given["freq"])
pl.seed_everything(given["seed"])
estimator = DeepAREstimator(
    freq=given["freq"], prediction_length=given["horizon"], context_length=given["context"],
    num_layers=given["layers"], hidden_size=given["cells"], dropout_rate=given["dropout"], lr=given["rate"],
    batch_size=given["batch"], num_batches_per_epoch=given["every"],
    trainer_kwargs={"max_epochs": given["updates"] // given["every"], "enable_progress_bar": False,
                    "logger": False, "enable_model_summary": False, "accelerator": "cpu"})
def timed(work):
    began, used = time.perf_counter(), time.process_time()
    result = work()
    return result, [time.perf_counter() - began, time.process_time() - used]
predictor, trained = timed(lambda: estimator.train(data))
forecasts, seconds = timed(lambda: list(predictor.predict(data, num_samples=given["samples"])))
np.save(out, np.stack([one.samples for one in forecasts]).astype(np.float32))
print(json.dumps([trained, seconds]))
"""


def m4_hourly(folder: Path) -> Task:
    rows = [
        [
            np.array([cell for cell in line.replace('"', "").split(",")[1:] if cell], np.float64)
            for line in gzip.decompress((folder / "m4_hourly" / name).read_bytes()).decode().splitlines()[1:]
        ]
        for name in ("Hourly-train.csv.gz", "Hourly-test.csv.gz")
    ]
    return Task("m4_hourly", "H", 24, 48, 500, (3000, 168, True), 1e-3, rows[0], np.stack(rows[1]))


def exchange_rate(folder: Path) -> Task:
    text = gzip.decompress((folder / "exchange_rate" / "exchange_rate.txt.gz").read_bytes()).decode()
    table = np.array([line.split(",") for line in text.split()], np.float64).T  # (8, days)
    return Task(
        "exchange_rate", "D", 5, 30, 500, (1500, 30, False), 1e-3, list(table[:, :-30]), table[:, -30:]
    )


def ours(
    task: Task, updates: int, seed: int, cat: bool = False, **other: Any
) -> tuple[np.ndarray, Times, Times, Any]:
    """Samples (n, s, p), seconds and processor seconds of training and of forecasting, and the model."""
    from optml.algorithms.base import Setting
    from optml.algorithms.forecasting_deepar.data import Sampler
    from optml.algorithms.forecasting_deepar.hyperparameters import Hyperparameters
    from optml.algorithms.forecasting_deepar.learner import Learner
    from optml.algorithms.forecasting_deepar.settings import BATCHES_OF_EPOCH
    from optml.container.group import Alone

    batches = max(len(task.train) / BATCH, BATCHES_OF_EPOCH) + 0.5  # of an epoch: the last is a part of one
    given = {
        "time_freq": task.frequency, "context_length": task.context, "prediction_length": task.horizon,
        "num_layers": LAYERS, "num_cells": CELLS, "mini_batch_size": BATCH, "dropout_rate": DROPOUT,
        "learning_rate": task.rate, "epochs": max(round(updates / batches), 1),
    } | other  # fmt: skip
    parameters = Hyperparameters(**given)
    data = Sampler(built(task, 0, cat), parameters, (seed,))
    learner = Learner(Setting(parameters, Alone(), seed=seed, train=data))
    done, epoch = 0, 0
    began = _now()
    while done < updates:
        for batch in data.epoch(epoch):
            learner.update(batch)
            done += 1
            if done == updates:
                break
        list(learner.end_round())
        epoch += 1
    trained = _now() - began
    model, _ = learner.finish()
    requests = built(task, task.horizon, cat)
    model.paths(requests.take(np.arange(2)), SAMPLES)  # compiled functions are loaded
    began = _now()
    paths = model.paths(requests, SAMPLES)
    return paths, trained, _now() - began, model


def _now() -> Times:
    return np.array([time.perf_counter(), time.process_time()])


def built(task: Task, future: int, cat: bool) -> Any:
    from optml.algorithms.forecasting_deepar.builder import Builder
    from optml.algorithms.forecasting_deepar.frequency import Frequency

    builder = Builder(Frequency.parse(task.frequency), future=future)
    for number, values in enumerate(task.train):
        record = {"start": "2000-01-01 00:00:00", "target": values}
        builder.add(record | {"cat": [number]} if cat else record, str)
    return builder.series()


def gluonts(python: str, task: Task, seed: int, scratch: Path) -> tuple[np.ndarray, Times, Times]:
    np.savez(
        scratch / "series.npz", **{str(n): values.astype(np.float32) for n, values in enumerate(task.train)}
    )
    given = {
        "series": str(scratch / "series.npz"), "freq": task.frequency, "horizon": task.horizon,
        "context": task.context, "layers": LAYERS, "cells": CELLS, "dropout": DROPOUT, "rate": task.rate,
        "batch": BATCH, "every": EVERY, "updates": task.updates, "samples": SAMPLES, "seed": seed,
    }  # fmt: skip
    out = scratch / "samples.npy"
    done = subprocess.run(
        [python, "-c", GLUONTS, json.dumps(given), str(out)], capture_output=True, text=True, cwd=scratch
    )
    if done.returncode:
        raise SystemExit(f"GluonTS failed:\n{done.stderr[-3000:]}")
    trained, seconds = json.loads(done.stdout.splitlines()[-1])
    return np.load(out), np.array(trained), np.array(seconds)


def naive(task: Task) -> np.ndarray:
    """The last season, repeated: (n, 1, p)."""
    repeats = -(-task.horizon // task.season)
    return np.stack([np.tile(one[-task.season :], repeats)[: task.horizon] for one in task.train])[:, None]


def quality(task: Task, paths: np.ndarray) -> dict[str, float]:
    """Mean wQL over the deciles, ND, and of the median sMAPE (in %) and MASE as M4 has them."""
    from optml.algorithms.forecasting_deepar.scores import Total
    from optml.container.group import Alone

    total = Total(QUANTILES)
    total.add(paths, task.truth)
    scores = total.scores(Alone())
    median = np.median(paths, axis=1)
    error = np.abs(median - task.truth)
    smape = 200 * (error / (np.abs(median) + np.abs(task.truth))).mean()
    scale = np.array([np.abs(one[task.season :] - one[: -task.season]).mean() for one in task.train])
    return {
        "mean_wql": scores.mean_weighted,
        "nd": float(scores.weighted[4]),
        "smape": float(smape),
        "mase": float((error.mean(axis=1) / scale).mean()),
        "coverage_80": float(
            (
                (task.truth >= np.quantile(paths, 0.1, axis=1))
                & (task.truth <= np.quantile(paths, 0.9, axis=1))
            ).mean()
        ),
    }


def race(
    task: Task, python: str, seeds: int, scratch: Path, who: list[str], pictures: Path
) -> list[dict[str, Any]]:
    """Contestants in turn, seed by seed: the best times, the mean scores. Draws what `optml, longer` says."""
    runs: dict[str, list[tuple[Times, Times, dict[str, float]]]] = {}
    for seed in range(1, seeds + 1):
        for name in who:
            if name == "gluonts":
                paths, trained, seconds = gluonts(python, task, seed, scratch)
            else:
                updates, context, cat = _run(task, name)
                paths, trained, seconds, model = ours(task, updates, seed, cat, context_length=context)
                if name == "optml, longer" and seed == 1:
                    draw(task, model, pictures / f"forecasting_deepar-{task.name}.png", cat)
            runs.setdefault(name, []).append((trained, seconds, quality(task, paths)))
            print(
                f"  {task.name} {name} seed {seed}: {trained} s {seconds} s",
                runs[name][-1][2],
                flush=True,
            )
    rows: list[dict[str, Any]] = [
        {"task": task.name, "contestant": "seasonal naive", **quality(task, naive(task))}
    ]
    for name, found in runs.items():
        scores, (updates, context, cat) = [run[2] for run in found], _run(task, name)
        rows.append(
            {
                "task": task.name,
                "contestant": name,
                "seeds": len(found),
                "updates": updates,
                "context": context,
                "cat": cat,
                "windows_per_second": updates * BATCH / min(run[0][0] for run in found),
                "windows_per_core_second": updates * BATCH / min(run[0][1] for run in found),
                "series_per_second": len(task.train) / min(run[1][0] for run in found),
                "series_per_core_second": len(task.train) / min(run[1][1] for run in found),
                **{key: float(np.mean([score[key] for score in scores])) for key in scores[0]},
                "worst_mean_wql": max(score["mean_wql"] for score in scores),
            }
        )
    return rows


def draw(task: Task, model: Any, path: Path, cat: bool) -> None:
    from optml.algorithms.forecasting_deepar import picture
    from optml.algorithms.forecasting_deepar.model import Request

    which = np.linspace(0, len(task.train) - 1, picture.MOST).astype(int)
    request = Request(built(task, task.horizon, cat).take(which), SAMPLES, ("mean",), ())
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.draw(model, request, path, task.truth[which])


def _run(task: Task, name: str) -> tuple[int, int, bool]:
    """Updates, context, and whether the number of a series is its cat."""
    return task.longer if name == "optml, longer" else (task.updates, task.context, False)


def awss_example(seed: int = 1) -> Task:
    """Of its notebook, whose seed is 1."""
    generator = np.random.RandomState(seed)
    hours, series = np.arange(400), []
    for _ in range(200):
        level = 10 * generator.rand()
        swing = (0.1 + 0.3 * generator.rand()) * level
        noise = 0.05 * level * generator.randn(400)
        series.append(level + swing * np.sin(2 * np.pi * hours / 24) + noise)
    table = np.stack(series)
    return Task("synthetic", "H", 24, 72, 0, (0, 72, False), 1e-3, list(table[:, :-48]), table[:, -48:])


def synthetic(seeds: int) -> list[dict[str, Any]]:
    """AWS's notebook example: there mean_wQuantileLoss 0.03298, RMSE 0.3021; of the truth 0.0309, 0.289."""
    task, rows = awss_example(), []
    for seed in range(1, seeds + 1):
        paths, trained, seconds, _ = ours(
            task, UPDATES, seed, num_layers=3, likelihood="gaussian", dropout_rate=0.05
        )
        below = [(task.truth < np.quantile(paths, q, axis=1)).mean() for q in QUANTILES]
        rows.append(
            {
                "part": "synthetic", "contestant": "optml", "seed": seed, "updates": UPDATES,
                "windows_per_second": UPDATES * BATCH / trained[0], "scoring_seconds": seconds[0],
                **quality(task, paths),
                "rmse": float(np.sqrt(np.square(paths.mean(axis=1) - task.truth).mean())),
                "worst_calibration": float(np.abs(np.array(below) - QUANTILES).max()),
            }
        )  # fmt: skip
    return rows


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("parts", nargs="*", default=["race", "synthetic"])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--hold-out", action="store_true", help="one window earlier; nothing is written")
    parser.add_argument("--only", nargs="*", default=["optml", "optml, longer", "gluonts"])
    parser.add_argument(
        "--gluonts", default=os.environ.get("OPTML_GLUONTS", sys.executable), help="the Python that has it"
    )
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for make in (exchange_rate, m4_hourly) if "race" in given.parts else ():
            task = make(given.data)
            task = task.held_out() if given.hold_out else task
            pictures = Path(scratch) if given.hold_out else given.out
            rows += race(task, given.gluonts, given.seeds, Path(scratch), given.only, pictures)
    if "synthetic" in given.parts:
        rows += synthetic(given.seeds)
    for row in rows:
        print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    if not given.hold_out:
        print(f"written: {save('forecasting_deepar-cpu', rows, folder=given.out, seeds=given.seeds)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

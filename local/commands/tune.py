"""`optml tune`: many training jobs with hyperparameters that the search chooses, and the best of them."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from optml.errors import UserError
from optml.local.commands import inputs, tuning_request

if TYPE_CHECKING:
    from optml.algorithms.base import Algorithm
    from optml.local.tuning.trials import Trial
    from optml.local.tuning_job import TuningJob

EPILOG = """\
examples:
  optml tune kmeans --train a.csv --test b.csv --range k=5:50 --objective test:msd --jobs 20 --out tuned/
  optml tune xgboost --train a.csv --validation b.csv -p num_round=100 -p objective=binary:logistic \\
      --range eta=0.01:0.5:log --range max_depth=2:10 --range booster=gbtree,dart \\
      --objective validation:auc --jobs 50 --parallel 2 --out tuned/

A range is NAME=LOW:HIGH, with :linear, :log or :reverselog where Auto would choose otherwise, or
NAME=VALUE,VALUE,... of categories. The same command again goes on with a job that was ended, and with more
--jobs with one that was complete. OUT/best is the folder of the best trial, with its model and log.
"""

ROWS = 20  # of the table at the end
_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.epilog = EPILOG
    parser.add_argument("algorithm", metavar="SLUG", help="the algorithm; 'optml list' names them")
    parser.add_argument(
        "--range", action="append", default=[], metavar="NAME=RANGE", help="a hyperparameter to be varied"
    )
    parser.add_argument("--objective", metavar="METRIC", help="the metric to go by, such as validation:rmse")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where all of it is kept")
    parser.add_argument(
        "--strategy",
        default="Bayesian",
        metavar="NAME",
        help=f"{', '.join(tuning_request.STRATEGIES)}; the first if left out",
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="training jobs at most; 20 if left out")
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="so many at once; 1 if left out")
    parser.add_argument("--seconds", type=int, metavar="N", help="run time at most")
    parser.add_argument("--target", type=float, metavar="VALUE", help="end at a value as good as this")
    parser.add_argument(
        "--not-improving", type=int, metavar="N", help="end when N jobs in a row did not improve the best"
    )
    parser.add_argument("--convergence", action="store_true", help="end when more jobs promise nothing")
    parser.add_argument(
        "--early-stopping", action="store_true", help="stop jobs whose values are worse than the median"
    )
    parser.add_argument("--max-resource", type=int, metavar="N", help="of Hyperband: epochs at most")
    parser.add_argument("--min-resource", type=int, metavar="N", help="of Hyperband: epochs at least")
    parser.add_argument(
        "--autotune", action="store_true", help="ranges that AWS recommends, where none is given"
    )
    parser.add_argument(
        "--parent",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="DIR",
        help="begin with what earlier tuning jobs of the same data and algorithm found",
    )
    parser.add_argument(
        "--transfer",
        action="store_true",
        help="the parents had other data: take over how their trials compare",
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="of the search; the folder's name tells one else"
    )
    parser.add_argument("--no-limits", action="store_true", help="go beyond the limits of AWS's accounts")
    parser.add_argument("--docker", metavar="IMAGE", help="train in containers of this image")
    parser.add_argument("--gpus", metavar="GPUS", help="for docker run, such as 'all'")
    inputs.add_arguments(parser, words)


def run(args: argparse.Namespace) -> int:
    from optml.algorithms.registry import get
    from optml.local.tuning import tables
    from optml.local.tuning_job import TuningJob

    algorithm = get(args.algorithm)
    table = tables.table(algorithm.slug)
    with inputs.opened(args, algorithm) as (hyperparameters, channels):
        objective = tuning_request.objective(args.objective, table, set(channels))
        job = TuningJob(
            args.out,
            tuning_request.request(args, algorithm, table, hyperparameters, objective),
            channels,
            table,
            limits=not args.no_limits,
            parents=args.parent,
            docker=args.docker,
            gpus=args.gpus,
            on_end=lambda trial: _say(job, trial),
        )
        _check(algorithm, job)
        for notice in job.tuning.notices:
            print(f"note: {notice}", file=sys.stderr)
        with _interruptible(job):
            complete = job.run()
    return _outcome(job, args.out, complete=complete)


def _check(algorithm: Algorithm, job: TuningJob) -> None:
    """Does the algorithm take the static hyperparameters and the ends of the ranges? Raises UserError that
    names what it does not take, before the first trial."""
    from optml.container.hyperparameters import parse

    metrics = [spec.name for spec in algorithm.training.metrics]
    middle = {span.name: span.at(0.5) for span in job.definition.ranges}
    points = [
        middle,
        *(
            {**middle, name: span.at(end)}
            for span in job.definition.ranges
            for name in (span.name,)
            for end in (0.0, 1.0)
        ),
    ]
    problems: dict[str, None] = {}
    for point in points:
        try:
            parse(job.definition.hyperparameters(point), algorithm.hyperparameters, metrics)
        except UserError as error:
            problems |= dict.fromkeys(str(error).splitlines())
    if problems:
        raise UserError("\n".join(problems))


@contextmanager
def _interruptible(job: TuningJob) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the trials that run, which start anew when the job goes on."""

    def forward(number: int, frame: FrameType | None) -> None:
        job.interrupt()
        os.write(2, b"stopping; the same command goes on with the job; once more ends at once\n")

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(job: TuningJob, trial: Trial) -> None:
    """One line of a trial that has ended."""
    best = job.best
    value = "no value" if trial.value is None else f"{trial.value:.6g}"
    mark = " *" if best is not None and best.number == trial.number else ""
    point = " ".join(f"{name}={_short(text)}" for name, text in trial.parameters.items())
    words = {"Completed": "", "Stopped": " (stopped early)", "Failed": " (failed)"}
    print(f"{trial.number:4d}  {value}{mark}{words.get(trial.status, '')}  {point}", file=sys.stderr)
    if trial.status == "Failed":
        print(f"      {trial.reason.splitlines()[0] if trial.reason else 'no reason'}", file=sys.stderr)


def _outcome(job: TuningJob, out: Path, *, complete: bool) -> int:
    """The table, the picture, and where the best model is."""
    print_trials(job)
    best = job.best
    if best is not None:
        if find_spec("matplotlib") is None:
            print("no picture: it needs matplotlib, of the extra 'plot'", file=sys.stderr)
        else:
            from optml.local.commands.tuning_picture import draw

            draw(job.definition, list(job.trials.values()), out / "tuning.png")
            print(f"picture: {out / 'tuning.png'}")
        metric = job.definition.objective.metric
        print(f"best: {metric} {best.value:.6g} of trial {best.number}; model: {out / 'best' / 'model'}")
        if job.definition.slug:
            chosen = " ".join(f"-p {name}={text}" for name, text in best.parameters.items())
            print(f"      optml train {job.definition.slug} {chosen} ...")
    if not complete:
        print("interrupted: the same command goes on with the job", file=sys.stderr)
        return _INTERRUPTED
    assert job.completion is not None
    print(f"complete: {job.completion.reason}, {len(job.trials)} jobs")
    return 0


def print_trials(job: TuningJob) -> None:
    """The best trials, in the order of their values, on stdout."""
    from rich.console import Console
    from rich.table import Table as Sheet

    objective = job.definition.objective
    scored = [trial for trial in job.trials.values() if trial.value is not None]
    scored.sort(key=lambda trial: (objective.loss(trial.value or 0.0), trial.number))
    sheet = Sheet("trial", objective.metric, "status", *(span.name for span in job.definition.ranges))
    for trial in scored[:ROWS]:
        texts = [_short(trial.parameters[span.name]) for span in job.definition.ranges]
        sheet.add_row(str(trial.number), f"{trial.value:.6g}", trial.status, *texts)
    console = Console(highlight=False)
    console.print(sheet)
    others = len(job.trials) - min(len(scored), ROWS)
    if others:
        print(f"and {others} more in trials.jsonl")


def _short(text: str) -> str:
    """A number of a few digits; other texts as they are."""
    try:
        return text if text.lstrip("+-").isdigit() else f"{float(text):.4g}"
    except ValueError:
        return text

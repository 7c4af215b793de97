"""`optml tune`: many training jobs with hyperparameters that the search chooses, and the best of them."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from optml.errors import UserError
from optml.local.commands import inputs

if TYPE_CHECKING:
    from optml.algorithms.base import Algorithm
    from optml.local.tuning.tables import Table
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

STRATEGIES = ("Bayesian", "Random", "Grid", "Hyperband")
SCALES = {"auto": "Auto", "linear": "Linear", "log": "Logarithmic", "reverselog": "ReverseLogarithmic"}
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
        help=f"{', '.join(STRATEGIES)}; the first if left out",
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
        objective = _objective(args.objective, table, set(channels))
        job = TuningJob(
            args.out,
            _request(args, algorithm, table, hyperparameters, objective),
            channels,
            table,
            limits=not args.no_limits,
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


def _request(
    args: argparse.Namespace,
    algorithm: Algorithm,
    table: Table,
    hyperparameters: dict[str, str],
    objective: tuple[str, str],
) -> dict[str, Any]:
    """The command line as the request of CreateHyperParameterTuningJob."""
    strategy = next((name for name in STRATEGIES if name.lower() == args.strategy.lower()), None)
    if strategy is None:
        raise UserError(f"--strategy {args.strategy} is none of {', '.join(STRATEGIES)}")
    for option in ("jobs", "parallel", "seconds"):
        number = getattr(args, option)
        if number is not None and number < 1:
            raise UserError(f"--{option} {number}: give a number >= 1")
    limits = {"MaxParallelTrainingJobs": args.parallel}
    jobs = args.jobs if args.jobs is not None or strategy == "Grid" or args.autotune else 20
    if jobs is not None:
        limits["MaxNumberOfTrainingJobs"] = jobs
    if args.seconds is not None:
        limits["MaxRuntimeInSeconds"] = args.seconds
    criteria: dict[str, Any] = {}
    if args.target is not None:
        criteria["TargetObjectiveMetricValue"] = args.target
    if args.not_improving is not None:
        criteria["BestObjectiveNotImproving"] = {"MaxNumberOfTrainingJobsNotImproving": args.not_improving}
    if args.convergence:
        criteria["ConvergenceDetected"] = {"CompleteOnConvergence": "Enabled"}
    metric, direction = objective
    config: dict[str, Any] = {
        "Strategy": strategy,
        "HyperParameterTuningJobObjective": {"MetricName": metric, "Type": direction},
        "ResourceLimits": limits,
        "ParameterRanges": _ranges(args.range, table),
        "TrainingJobEarlyStoppingType": "Auto" if args.early_stopping else "Off",
        "TuningJobCompletionCriteria": criteria,
    }
    if args.seed is not None:
        config["RandomSeed"] = args.seed
    resource = {"MaxResource": args.max_resource, "MinResource": args.min_resource}
    if given := {name: value for name, value in resource.items() if value is not None}:
        config["StrategyConfig"] = {"HyperbandStrategyConfig": given}
    return {
        "HyperParameterTuningJobName": _name(args.out),
        "HyperParameterTuningJobConfig": config,
        "TrainingJobDefinition": {
            "AlgorithmSpecification": {
                "TrainingImage": algorithm.slug,
                "TrainingInputMode": "Pipe" if args.pipe else "File",
            },
            "StaticHyperParameters": hyperparameters,
            "InputDataConfig": _channels(args),
        },
        **({"Autotune": {"Mode": "Enabled"}} if args.autotune else {}),
    }


def _channels(args: argparse.Namespace) -> list[dict[str, Any]]:
    """What tells data from others when a job goes on."""
    return [
        {
            "ChannelName": name.removeprefix("channel:"),
            "DataSource": {"Files": [str(path.resolve()) for path in paths]},
            "ContentType": args.content_type,
        }
        for name, paths in sorted(vars(args).items())
        if name.startswith("channel:") and paths
    ]


def _name(folder: Path) -> str:
    """A tuning job's name of at most 32 characters, made of the folder's."""
    words = re.findall("[a-zA-Z0-9]+", folder.resolve().name)
    return "-".join(words)[:32].strip("-") or "tuning"


def _ranges(texts: Sequence[str], table: Table) -> dict[str, list[dict[str, Any]]]:
    """`k=5:50`, `eta=0.01:0.5:log`, `kind=a,b` as ParameterRanges. Raises UserError."""
    ranges: dict[str, list[dict[str, Any]]] = {
        f"{kind}ParameterRanges": [] for kind in ("Integer", "Continuous", "Categorical")
    }
    for text in texts:
        name, equals, content = text.partition("=")
        if not equals or not name or not content:
            raise UserError(f"--range {text}: a range is NAME=LOW:HIGH or NAME=VALUE,VALUE, as in k=5:50")
        low, colon, rest = content.partition(":")
        if not colon or "," in content:
            ranges["CategoricalParameterRanges"].append({"Name": name, "Values": content.split(",")})
            continue
        high, _, scale = rest.partition(":")
        if scale and scale.lower() not in SCALES:
            raise UserError(f"--range {text}: the scale '{scale}' is none of {', '.join(SCALES)}")
        field = table.fields.get(name)
        whole = all(re.fullmatch("[+-]?[0-9]+", end) for end in (low, high))
        kind = (
            field.kind
            if field and field.kind in ("Integer", "Continuous")
            else ("Continuous", "Integer")[whole]
        )
        ranges[f"{kind}ParameterRanges"].append(
            {"Name": name, "MinValue": low, "MaxValue": high, "ScalingType": SCALES[scale.lower() or "auto"]}
        )
    return ranges


def _objective(name: str | None, table: Table, channels: set[str]) -> tuple[str, str]:
    """The metric and its direction. Raises UserError that lists those that the channels allow."""
    choices = {
        metric: entry.direction
        for metric, entry in table.metrics.items()
        if entry.direction and metric.partition(":")[0] in channels
    }
    if name in choices:
        return name, choices[name] or ""
    listed = f"with the channels given: {', '.join(choices) or 'none'}"
    if name is None:
        raise UserError(f"say what to go by with --objective METRIC; {listed}")
    channel = name.partition(":")[0]
    if name in table.metrics and channel not in channels:
        raise UserError(f"--objective {name} needs the channel '{channel}': give it with --{channel} PATH")
    raise UserError(f"--objective {name} is no metric to tune {table.slug} by; {listed}")


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

"""The command line of `optml tune` as the request of CreateHyperParameterTuningJob."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optml.errors import UserError

if TYPE_CHECKING:
    from optml.algorithms.base import Algorithm
    from optml.local.tuning.tables import Table

STRATEGIES = ("Bayesian", "Random", "Grid", "Hyperband")
SCALES = {"auto": "Auto", "linear": "Linear", "log": "Logarithmic", "reverselog": "ReverseLogarithmic"}


def request(
    args: argparse.Namespace,
    algorithm: Algorithm,
    table: Table,
    hyperparameters: dict[str, str],
    goal: tuple[str, str],
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
    metric, direction = goal
    config: dict[str, Any] = {
        "Strategy": strategy,
        "HyperParameterTuningJobObjective": {"MetricName": metric, "Type": direction},
        "ResourceLimits": limits,
        "ParameterRanges": ranges(args.range, table),
        "TrainingJobEarlyStoppingType": "Auto" if args.early_stopping else "Off",
        "TuningJobCompletionCriteria": criteria,
    }
    if args.seed is not None:
        config["RandomSeed"] = args.seed
    resource = {"MaxResource": args.max_resource, "MinResource": args.min_resource}
    if given := {name: value for name, value in resource.items() if value is not None}:
        config["StrategyConfig"] = {"HyperbandStrategyConfig": given}
    return {
        "HyperParameterTuningJobName": name_of(args.out),
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
        **({"WarmStartConfig": _warm_start(args)} if args.parent else {}),
    }


def _warm_start(args: argparse.Namespace) -> dict[str, Any]:
    names = [name_of(folder) for folder in args.parent]
    return {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": name} for name in names],
        "WarmStartType": "TransferLearning" if args.transfer else "IdenticalDataAndAlgorithm",
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


def name_of(folder: Path) -> str:
    """A tuning job's name of at most 32 characters, made of the folder's."""
    words = re.findall("[a-zA-Z0-9]+", folder.resolve().name)
    return "-".join(words)[:32].strip("-") or "tuning"


def ranges(texts: Sequence[str], table: Table) -> dict[str, list[dict[str, Any]]]:
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


def objective(name: str | None, table: Table, channels: set[str]) -> tuple[str, str]:
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

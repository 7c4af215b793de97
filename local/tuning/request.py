"""A CreateHyperParameterTuningJob request, read into a tuning job; what is wrong with it is said at once."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any, cast

from optml.errors import UserError
from optml.local.tuning import autotune, parameter_ranges
from optml.local.tuning.definition import OBJECTIVE, Definition, Objective, Resource, Strategy, Tuning
from optml.local.tuning.ranges import Categorical
from optml.local.tuning.tables import Table

# Limits of the service, at the most that AWS raises them to.
MAX_TUNABLE = 30
MAX_VALUES = 30  # of a categorical one
MAX_HYPERPARAMETERS = 100
MAX_PARALLEL = 100
MAX_JOBS = 750
MAX_RANDOM_JOBS = 10_000
MAX_WARM_JOBS = 500  # parents' jobs among them
MAX_SECONDS = 30 * 86_400
MAX_RESOURCE = 20_000

# Static hyperparameters that say how many values of the objective a job emits, in the order of preference.
EPOCHS = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs", "num_round")

# XGBoost leaves a model at SIGTERM only where it is told to, and trials of these are stopped on the way.
KEEPS_MODEL = "save_model_on_termination"

# Of a definition, what is of the cloud alone.
IGNORED = (
    "VpcConfig",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
)


def read(
    request: Mapping[str, Any], table_of: Callable[[str], Table | None], *, limits: bool = True
) -> Tuning:
    """The tuning job of a request whose shape has been checked.

    table_of: what the algorithm of a TrainingImage says of itself; None: it is none of ours.
    limits:   hold the request against the limits of AWS's accounts.

    Raises UserError that lists all that is wrong, a line each.
    """
    reader = _Reader(request, table_of)
    tuning = reader.tuning()
    problems = reader.problems + (_limits(tuning) if limits else [])
    if problems:
        raise UserError("\n".join(dict.fromkeys(problems)))
    return tuning


class _Reader:
    def __init__(self, request: Mapping[str, Any], table_of: Callable[[str], Table | None]) -> None:
        self._request = request
        self._config: Mapping[str, Any] = request["HyperParameterTuningJobConfig"]
        self._strategy = cast(Strategy, self._config["Strategy"])
        self._autotune = request.get("Autotune", {}).get("Mode") == "Enabled"
        self._early = str(self._config.get("TrainingJobEarlyStoppingType", "Off")).lower() == "auto"
        self._table_of = table_of
        self.problems: list[str] = []
        self._notices: list[str] = []

    def tuning(self) -> Tuning:
        request, config = self._request, self._config
        limits = config["ResourceLimits"]
        criteria = config.get("TuningJobCompletionCriteria", {})
        warm = request.get("WarmStartConfig", {})
        converged = criteria.get("ConvergenceDetected", {}).get("CompleteOnConvergence") == "Enabled"
        definitions = tuple(self._definitions())
        name = request.get("HyperParameterTuningJobName", "")
        seed = config.get("RandomSeed")
        tuning = Tuning(
            definitions,
            self._strategy,
            name,
            max_jobs=limits.get("MaxNumberOfTrainingJobs"),
            parallel=limits["MaxParallelTrainingJobs"],
            seconds=limits.get("MaxRuntimeInSeconds"),
            early_stopping=self._early,
            target=criteria.get("TargetObjectiveMetricValue"),
            not_improving=criteria.get("BestObjectiveNotImproving", {}).get(
                "MaxNumberOfTrainingJobsNotImproving"
            ),
            convergence=converged or self._autotune,
            seed=zlib.crc32(name.encode()) if seed is None else seed,
            warm_start=warm.get("WarmStartType"),
            parents=tuple(
                parent["HyperParameterTuningJobName"]
                for parent in warm.get("ParentHyperParameterTuningJobs", ())
            ),
            notices=tuple(dict.fromkeys(self._notices)),
        )
        if not definitions:
            return tuning
        return self._by_strategy(tuning)

    # Definitions

    def _definitions(self) -> Sequence[Definition]:
        one = self._request.get("TrainingJobDefinition")
        several = self._request.get("TrainingJobDefinitions")
        if (one is None) == (several is None):
            self.problems.append("Provide either a TrainingJobDefinition or TrainingJobDefinitions.")
            return ()
        if one is not None:
            objective = self._config.get("HyperParameterTuningJobObjective")
            ranges = self._config.get("ParameterRanges", {})
            return [self._definition(one, one.get("DefinitionName", ""), objective, ranges)]
        assert several is not None
        return self._several(several)

    def _several(self, several: Sequence[Mapping[str, Any]]) -> Sequence[Definition]:
        for name in ("HyperParameterTuningJobObjective", "ParameterRanges"):
            if self._config.get(name):
                self.problems.append(
                    f"{name} of HyperParameterTuningJobConfig does not go with TrainingJobDefinitions: each "
                    "definition has its own."
                )
        definitions = [
            self._definition(
                entry,
                entry.get("DefinitionName", ""),
                entry.get("TuningObjective"),
                entry.get("HyperParameterRanges", {}),
            )
            for entry in several
        ]
        names = [definition.name for definition in definitions]
        if "" in names:
            self.problems.append("Each of the TrainingJobDefinitions needs a DefinitionName.")
        elif len(set(names)) < len(names):
            self.problems.append("The DefinitionNames of TrainingJobDefinitions must differ from each other.")
        if len({definition.objective.maximize for definition in definitions}) > 1:
            self.problems.append("The TuningObjectives of TrainingJobDefinitions must all have one Type.")
        if len(several) > 1 and self._early:
            self.problems.append("Early stopping does not go with several algorithms: set it to Off.")
        if len(several) > 1 and self._request.get("WarmStartConfig"):
            self.problems.append("A warm start does not go with several algorithms.")
        return definitions

    def _definition(
        self,
        entry: Mapping[str, Any],
        name: str,
        objective: Mapping[str, Any] | None,
        ranges: Mapping[str, Any],
    ) -> Definition:
        algorithm = entry["AlgorithmSpecification"]
        image = algorithm.get("TrainingImage") or algorithm.get("AlgorithmName", "")
        table = self._table_of(image) if image else None
        metrics = {item["Name"]: item["Regex"] for item in algorithm.get("MetricDefinitions", ())}
        goal = self._objective(objective, table, image, metrics)
        if table is not None:
            metrics = {name: metric.regex for name, metric in table.metrics.items()} | metrics
        static = dict(entry.get("StaticHyperParameters", {}))
        static[OBJECTIVE] = goal.metric
        stops = self._early or self._strategy == "Hyperband"
        if stops and table is not None and KEEPS_MODEL in table.fields:
            static.setdefault(KEEPS_MODEL, "true")
        if self._autotune:
            ranges = autotune.ranges(ranges, static, table)
        spans, problems, notices = parameter_ranges.read(ranges, static, table, image)
        self.problems += problems
        self._notices += notices
        if ignored := [field for field in IGNORED if entry.get(field)]:
            self._notices.append(f"kept, and not acted on here: {', '.join(ignored)}")
        if not spans and not problems:
            self.problems.append(
                f"There is no hyperparameter to tune{f' in {name}' if name else ''}: give a range with "
                "different ends, or a categorical one with several values."
            )
        texts = {key: static.get(key, "").strip('"') for key in EPOCHS}  # SDKs quote those of frameworks
        epochs = next((int(text) for text in texts.values() if text.isdecimal()), None)
        constants = {span.name: span.at(0.0) for span in spans if _single(span)}
        return Definition(
            goal,
            tuple(span for span in spans if span.name not in constants),
            {**static, **constants},
            name,
            image,
            table.slug if table else None,
            metrics,
            entry.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0),
            epochs,
        )

    def _objective(
        self,
        objective: Mapping[str, Any] | None,
        table: Table | None,
        image: str,
        metrics: Mapping[str, str],
    ) -> Objective:
        if not objective:
            self.problems.append(
                "Provide the objective of the tuning job: HyperParameterTuningJobObjective of the job, or "
                "TuningObjective of each of several definitions."
            )
            return Objective("")
        goal = Objective(objective["MetricName"], objective["Type"] == "Maximize")
        if goal.metric in metrics:
            return goal
        if table is None:
            known = f" There is none called '{goal.metric}'." if metrics else ""
            self.problems.append(
                "A metric is required for this hyperparameter tuning job objective. Provide a metric in the "
                f"metric definitions.{known}"
            )
            return goal
        metric = table.metrics.get(goal.metric)
        choices = [name for name, metric in table.metrics.items() if metric.direction]
        if metric is None or metric.direction is None:
            self.problems.append(
                f"The objective metric for the hyperparameter tuning job, [{goal.metric}], isn't valid for "
                f"the [{image}] algorithm. Choose a valid objective metric: {', '.join(choices)}."
            )
        elif metric.direction != goal.type:
            self.problems.append(
                f"The objective type for the hyperparameter tuning job, [{goal.type}], isn't valid for the "
                f"objective metric [{goal.metric}] of the [{image}] algorithm. Choose {metric.direction}."
            )
        return goal

    # Strategies

    def _by_strategy(self, tuning: Tuning) -> Tuning:
        if self._strategy == "Grid":
            return self._grid(tuning)
        if tuning.max_jobs is None and self._autotune:
            tuning = replace(tuning, max_jobs=autotune.JOBS)
        criteria = (tuning.max_jobs, tuning.seconds, tuning.target, tuning.not_improving)
        if criteria == (None,) * 4 and not tuning.convergence:
            self.problems.append(
                "The tuning job would not end: give ResourceLimits.MaxNumberOfTrainingJobs, "
                "MaxRuntimeInSeconds or a completion criterion."
            )
        if self._strategy == "Hyperband":
            return self._hyperband(tuning)
        if self._config.get("StrategyConfig", {}).get("HyperbandStrategyConfig"):
            self.problems.append(f"HyperbandStrategyConfig does not go with the strategy {self._strategy}.")
        return tuning

    def _grid(self, tuning: Tuning) -> Tuning:
        for definition in tuning.definitions:
            for span in definition.ranges:
                if not isinstance(span, Categorical):
                    self.problems.append(
                        "Grid search takes categorical hyperparameters only: list the values of "
                        f"[{span.name}] in CategoricalParameterRanges, or choose another strategy."
                    )
                    return tuning
        points = sum(
            prod(len(span.values) for span in definition.ranges if isinstance(span, Categorical))
            for definition in tuning.definitions
        )
        if tuning.max_jobs is not None and tuning.max_jobs != points:
            self.problems.append(
                f"The grid has {points} combinations and MaxNumberOfTrainingJobs is {tuning.max_jobs}: leave "
                f"it out, or set it to {points}."
            )
        return replace(tuning, max_jobs=points)

    def _hyperband(self, tuning: Tuning) -> Tuning:
        given = self._config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
        if self._early:
            self.problems.append(
                "Hyperband has an early stopping of its own: set TrainingJobEarlyStoppingType to Off."
            )
        if self._request.get("WarmStartConfig"):
            self.problems.append("A warm start takes the strategy Bayesian or Random.")
        known = [definition.epochs for definition in tuning.definitions if definition.epochs]
        most = given.get("MaxResource") or max(known, default=None)
        if most is None:
            self.problems.append(
                "Hyperband needs MaxResource in HyperbandStrategyConfig, or one of the static "
                f"hyperparameters {', '.join(EPOCHS)}."
            )
            return tuning
        least = given.get("MinResource", 1)
        if least >= most:
            self.problems.append(f"MinResource {least} must be less than MaxResource {most}.")
        return replace(tuning, resource=Resource(least, most))


def _single(span: object) -> bool:
    """Does a range hold one value alone? Then it is no range."""
    if isinstance(span, Categorical):
        return len(span.values) == 1
    return bool(getattr(span, "low", 0) == getattr(span, "high", 1))


def _limits(tuning: Tuning) -> list[str]:
    """What goes beyond the limits of AWS's accounts."""
    jobs = MAX_RANDOM_JOBS if tuning.strategy == "Random" else MAX_JOBS
    checks = [
        ("MaxNumberOfTrainingJobs", tuning.max_jobs or 0, jobs),
        ("MaxParallelTrainingJobs", tuning.parallel, MAX_PARALLEL),
        ("MaxRuntimeInSeconds", tuning.seconds or 0, MAX_SECONDS),
    ]
    if tuning.resource:
        checks.append(("MaxResource", tuning.resource.most, MAX_RESOURCE))
    for definition in tuning.definitions:
        where = f" of {definition.name}" if definition.name else ""
        number = len(definition.ranges)
        checks.append((f"The number of tunable hyperparameters{where}", number, MAX_TUNABLE))
        checks.append(
            (f"The number of hyperparameters{where}", number + len(definition.static), MAX_HYPERPARAMETERS)
        )
        checks += [
            (f"The number of values of [{span.name}]", len(span.values), MAX_VALUES)
            for span in definition.ranges
            if isinstance(span, Categorical)
        ]
    return [f"{name} is {value}; the limit is {most}." for name, value, most in checks if value > most]

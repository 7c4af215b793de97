"""`optml train`: one training job on local files, run by the same program as in the container."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from optml.errors import UserError
from optml.local.commands import inputs

if TYPE_CHECKING:
    from optml.local.commands.joblog import JobLog
    from optml.local.training_job import TrainingJob

EPILOG = """\
examples:
  optml train kmeans --train data.csv -p k=10 --model-dir out/
  optml train kmeans --train a.csv b.csv --test test/ -p k=10 -p epochs=3 --model-dir out/
  optml train kmeans --train data.csv -p k=10 --model-dir out/ --docker optml/kmeans:cpu
  optml train randomcutforest --train series.csv --model-dir out/ --picture anomalies.png
  optml train xgboost --train a.csv --validation b.csv -p num_round=9 --model-dir out/ --report out.html

Channels are options: --train, --test and whatever else the algorithm knows ('optml train kmeans --help' lists
them); each takes files and folders. --model takes an earlier model to go on from.
"""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.epilog = EPILOG
    parser.add_argument("algorithm", metavar="SLUG", help="the algorithm; 'optml list' names them")
    parser.add_argument(
        "--model-dir", type=Path, required=True, metavar="DIR", help="where the model goes; made if need be"
    )
    parser.add_argument(
        "--checkpoint-dir", type=Path, metavar="DIR", help="keep checkpoints there, and go on from them"
    )
    parser.add_argument("--output-dir", type=Path, metavar="DIR", help="where /opt/ml/output/data goes")
    parser.add_argument(
        "--picture",
        type=Path,
        metavar="PNG",
        help="draw records as the model sees them: of the test channel, else of validation, else of train",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="HTML|DIR",
        help="leave a page of metrics, data, hyperparameters and that picture, and the picture beside it",
    )
    parser.add_argument("--docker", metavar="IMAGE", help="train in a container of this image")
    parser.add_argument("--gpus", metavar="GPUS", help="for docker run, such as 'all'")
    parser.add_argument("-v", "--verbose", action="store_true", help="show the job's own log")
    inputs.add_arguments(parser, words)


def run(args: argparse.Namespace) -> int:
    from optml.algorithms.registry import get
    from optml.local.commands import picture, report
    from optml.local.commands.joblog import JobLog
    from optml.local.training_job import TrainingJob

    algorithm = get(args.algorithm)
    with inputs.opened(args, algorithm) as (hyperparameters, channels):
        if args.picture:
            picture.require(algorithm, args.picture)
        page = report.place(args.report) if args.report else None
        new = not args.model_dir.exists()
        _make(args.model_dir, "--model-dir")
        if args.checkpoint_dir:
            _make(args.checkpoint_dir, "--checkpoint-dir")
        job = TrainingJob(
            algorithm.slug,
            hyperparameters,
            channels,
            model=args.model_dir,
            checkpoints=args.checkpoint_dir,
            docker=args.docker,
            gpus=args.gpus,
        )
        log = JobLog((*algorithm.training.printed, *algorithm.training.metrics))
        began = time.monotonic()
        with job, _interruptible(job):
            _follow(job, log, verbose=args.verbose)
            code = _outcome(job, args, log, new)
        seconds = time.monotonic() - began
        if args.picture and code == 0:
            said = picture.draw(algorithm, args.model_dir, channels, args.picture, hyperparameters)
            print(f"picture: {args.picture} ({said})")
        if page and code == 0:
            words = ["optml", *args.words]
            done = report.Job(algorithm, words, hyperparameters, channels, args.model_dir, log, seconds)
            for path in report.write(done, page):
                print(f"report: {path}")
                if args.output_dir:
                    args.output_dir.mkdir(parents=True, exist_ok=True)
                    if path.resolve().parent != args.output_dir.resolve():
                        shutil.copy(path, args.output_dir)
        return code


@contextmanager
def _interruptible(job: TrainingJob) -> Iterator[None]:
    """Ctrl-C and SIGTERM reach the job as one SIGTERM each."""

    def forward(number: int, frame: FrameType | None) -> None:
        if job.terminate():
            os.write(2, b"stopping: the model so far is saved; once more ends at once\n")

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _follow(job: TrainingJob, log: JobLog, *, verbose: bool) -> None:
    """Read the log to its end: shown as it is, or as a progress bar and the warnings."""
    if verbose:
        for line in job.log():
            log.read(line.text)
            print(line.text, file=sys.stderr)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("training"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("training", total=100.0)
        for line in job.log():
            warning = log.read(line.text)
            if warning:
                console.print(f"warning: {warning}", markup=False, soft_wrap=True)
            progress.update(task, completed=log.done)


def _outcome(job: TrainingJob, args: argparse.Namespace, log: JobLog, new: bool) -> int:
    """Say what came of the job: the metrics and the model's place, or why there is none; the exit code."""
    code = job.wait()
    if code == 0 and any(args.model_dir.iterdir()):
        (paths,) = job.paths
        if args.output_dir and any(paths.output_data.iterdir()):
            shutil.copytree(paths.output_data, args.output_dir, dirs_exist_ok=True)
        print_metrics(log.final())
        print(f"model: {args.model_dir}")
        return 0
    if new and not any(args.model_dir.iterdir()):
        args.model_dir.rmdir()
    print(f"optml: {job.failure or 'stopped before there was a model'}", file=sys.stderr)
    return code or 1


def print_metrics(metrics: Mapping[str, float]) -> None:
    """A table of metrics on stdout."""
    from rich.console import Console
    from rich.table import Table

    table = Table("metric", "value")
    table.columns[1].justify = "right"
    for name, value in metrics.items():
        table.add_row(name, f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}")
    Console(highlight=False).print(table)


def _make(folder: Path, option: str) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{option} {folder}: this is a file; name a folder")
    folder.mkdir(parents=True, exist_ok=True)

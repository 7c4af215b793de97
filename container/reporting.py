"""What a job says in its log: lines as AWS's images print them, for metric regexes, and a few for people.

`#metrics` lines start in column 0 and are followed by an empty line; all others carry AWS's prefix
`[05/16/2021 11:55:41 INFO 139872936527680]`, in UTC. Neither the environment nor credentials are printed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import time
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from optml.algorithms.base import Algorithm
from optml.algorithms.metrics import PROGRESS, Metric
from optml.errors import UserError

log = logging.getLogger(__name__)

EVERY_S = 10.0  # a sign of life in a long epoch


class Handler(logging.StreamHandler[TextIO]):
    """Writes records as AWS's images do, and lines without prefix in order with them."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        formatter = logging.Formatter(
            "[%(asctime)s %(levelname)s %(thread)d] %(message)s", "%m/%d/%Y %H:%M:%S"
        )
        formatter.converter = time.gmtime
        self.setFormatter(formatter)
        self._ended = False

    def emit(self, record: logging.LogRecord) -> None:
        if not self._ended:
            super().emit(record)

    def plain(self, text: str) -> None:
        """A line as it is."""
        self.acquire()
        try:
            with contextlib.suppress(OSError):  # as `emit`: a log that nobody reads any more ends no job
                self.stream.write(text + "\n")
                self.stream.flush()
        finally:
            self.release()

    def last(self, text: str) -> None:
        """An error that stays the last line: what other threads still have to say goes nowhere."""
        log.error("%s", text)
        self._ended = True


def start_logging(stream: TextIO) -> Handler:
    """Send all logging of the process, libraries' included, to one stream; returns the handler."""
    handler = Handler(stream)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level("info")
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a reader that closed the pipe is no reason for tracebacks
    return handler


def set_level(level: str) -> None:
    """`_log_level`: debug, info, warning or error. Libraries stay at warnings."""
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("optml").setLevel(level.upper())


def configuration(
    algorithm: Algorithm, defaults: Mapping[str, Any], provided: Mapping[str, str], source: str, final: Any
) -> None:
    """The three lines that people grep for: what holds by default, what was given, what came of it."""
    plain = {name: _text(value) for name, value in defaults.items()}
    module = algorithm.hyperparameters.__module__
    log.info("Reading default configuration from %s: %s", module, plain)
    log.info("Merging with provided configuration from %s: %s", source, dict(provided))
    dumped = final.model_dump(mode="json", by_alias=True)
    log.info("Final configuration: %s", {name: _text(value) for name, value in dumped.items()})


class Report:
    """The log of one training run on one host.

    leader: the first process of the job; values that all hosts share are printed there alone.
    epochs: passes over the data, at most; None: no number of them ends the job.
    began:  when the process was started, seconds since 1970.
    """

    def __init__(
        self, algorithm: Algorithm, out: Handler, *, host: str, leader: bool, epochs: int | None, began: float
    ) -> None:
        self.last: dict[str, float] = {}  # the newest value of every metric
        self.records = 0  # seen by this host in all epochs
        self.batches = 0
        self._most = (0, 0)  # records and batches of the largest epoch
        specs = (*algorithm.training.printed, *algorithm.training.metrics)
        self._lines = {spec.name: spec.line for spec in specs}
        self._shared = {  # metrics with one line have one value
            spec.name: [other.name for other in specs if other.line and other.line == spec.line]
            for spec in specs
        }
        self._scores = {spec.name: spec.score for spec in specs if not spec.line or " <" in spec.line}
        self._objectives = {spec.name for spec in algorithm.training.metrics if spec.objective}
        self._algorithm = algorithm.training.logged_as or algorithm.title
        self._out = out
        self._host = host
        self._leader = leader
        self._epochs = epochs
        self._began = began
        self._setup = time.time()
        self._epoch = 0
        self._since = (0, 0)  # records and batches of the epoch under way
        self._absorbed = 0  # its records in this run: after a resume, fewer
        self._epoch_began = self._setup
        self._spoke = time.monotonic()
        self._noted: dict[str, float] = {}  # this epoch's newest values, for people

    @property
    def counters(self) -> dict[str, int]:
        """What a checkpoint keeps of this log."""
        records, batches = self._since
        most_records, most_batches = self._most
        return {
            "records": self.records,
            "batches": self.batches,
            "epoch_records": records,
            "epoch_batches": batches,
            "most_records": most_records,
            "most_batches": most_batches,
        }

    def resume(self, counters: Mapping[str, int]) -> None:
        """Go on counting from a checkpoint, in the epoch that begins next."""
        self.records, self.batches = counters["records"], counters["batches"]
        self._since = (counters["epoch_records"], counters["epoch_batches"])
        self._most = (counters["most_records"], counters["most_batches"])

    def begin_epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._epoch_began = time.time()
        if epoch == 0:
            times = {"initialize.time": 1e3 * (self._epoch_began - self._setup)}
            self._metrics(times, self._setup, self._epoch_began)
        self._absorbed = 0
        self._spoke = time.monotonic()
        self._noted = {}

    def batch(self, records: int) -> None:
        """A batch of so many records was absorbed."""
        self._since = (self._since[0] + records, self._since[1] + 1)
        self.records += records
        self.batches += 1
        self._absorbed += records
        if time.monotonic() - self._spoke >= EVERY_S:
            self._spoke = time.monotonic()
            speed = self._absorbed / (time.time() - self._epoch_began)
            log.info(
                "%s: %d records so far (%.0f records/second)",
                self._title(),
                self._since[0],
                speed,
            )

    def end_epoch(self) -> None:
        """The whole channel was read: time, progress, throughput, counters, and a line for people."""
        ended = time.time()
        times = {"epochs": float(self._epochs)} if self._epoch == 0 and self._epochs else {}
        times["update.time"] = 1e3 * (ended - self._epoch_began)
        self._metrics(times, self._epoch_began, ended)
        seconds = max(ended - self._epoch_began, 1e-9)
        records, batches = self._since
        self._most = (max(self._most[0], records), max(self._most[1], batches))
        log.info("processed a total of %d examples", records)
        if self._epochs:
            done = 100.0 * (self._epoch + 1) / self._epochs
            progress = self._lines.get(PROGRESS.name, PROGRESS.line)
            log.info("%s", progress.format(host=self._host, value=repr(done)))
        counts = _counts((self.records, self.batches), self._most, self._since, self._epoch + 1)
        where = {"epoch": self._epoch, "Meta": "training_data_iter"}
        self._metrics(counts, self._epoch_began, ended, **where)
        throughput = self._absorbed / seconds
        log.info("#throughput_metric: host=%s, train throughput=%r records/second", self._host, throughput)
        values = "".join(f", {name} {value:.6g}" for name, value in self._noted.items())
        log.info("%s: %d records in %.2f s%s", self._title(), records, seconds, values)
        self._since = (0, 0)

    def _title(self) -> str:
        """Which epoch it is, for people."""
        return f"Epoch {self._epoch + 1}" + (f" of {self._epochs}" if self._epochs else "")

    def tested(self, began: float, records: int, batches: int) -> None:
        """A test channel was read; `began` is when, in seconds since 1970."""
        seen = (records, batches)
        self._metrics(_counts(seen, seen, seen, 1), began, time.time(), Meta="test_data_iter")

    def metrics(self, metrics: Iterable[Metric]) -> None:
        """Print values in their algorithm's own lines; first those of a final model in the form that AWS's
        images print them as well."""
        lines = []
        beside: list[tuple[int, Mapping[str, float]]] = []
        for metric in metrics:
            value = float(metric.value)
            if not metric.model:
                self.last |= dict.fromkeys([metric.name, *self._shared[metric.name]], value)
                self._noted[metric.name] = value
            if not self._leader:
                continue
            epoch = self._epoch if metric.epoch is None else metric.epoch
            values = {"value": value, "host": self._host, "token": metric.token}
            line = self._lines[metric.name].format(epoch=epoch, batch=metric.batch, **values)
            channel = metric.name.partition(":")[0]
            if metric.model is not None:
                now = time.time()
                where = {"epoch": epoch, "model": metric.model}
                self._metrics({f"{channel}_{_word(line)}": value}, now, now, **where)
            if metric.beside:
                beside.append((epoch, {f"{channel}_{_word(line)}": value, **metric.beside}))
            score = metric.score and self._scores.get(metric.name)
            if score:
                log.info("%s", score.format(channel=channel, word=_word(line), **values))
            if line and not metric.model:
                lines.append(line)
        for line in lines:
            log.info("%s", line)
        now = time.time()
        for epoch, others in beside:
            self._metrics(others, now, now, epoch=epoch)

    def finalized(self, began: float) -> None:
        """The learner has finished; `began` is when it set about it, in seconds since 1970."""
        now = time.time()
        self._metrics({"finalize.time": 1e3 * (now - began)}, began, now)

    def finished(self) -> None:
        """The last line of a job: how long it took to get ready, and in all."""
        now = time.time()
        times = {"setuptime": 1e3 * (self._setup - self._began), "totaltime": 1e3 * (now - self._began)}
        self._metrics(times, self._began, now)

    def require_objective(self, tuned: str | None) -> None:
        """Raise UserError if the metric that the job was to optimise, or every one that could be, is NaN: a
        tuning job would take it for a job that never said a word. One never measured gets a warning."""
        if tuned in self._lines and tuned not in self.last:
            measured = ", ".join(sorted(self._objectives & set(self.last))) or "none"
            log.warning("Tuning objective '%s' was not measured; this job measured: %s", tuned, measured)
        names = [tuned] if tuned in self.last else sorted(self._objectives & set(self.last))
        if names and all(math.isnan(self.last[name]) for name in names):
            raise UserError(
                f"metric {', '.join(names)} is nan at the end of training: it diverged; "
                "lower the learning rate, or look for extreme values in the data"
            )

    def _metrics(self, values: Mapping[str, float], start: float, end: float, **where: Any) -> None:
        content = {
            "StartTime": start,
            "EndTime": end,
            "Dimensions": {
                "Algorithm": self._algorithm,
                "Host": self._host,
                "Operation": "training",
                **where,
            },
            "Metrics": {
                name: {"sum": float(value), "count": 1, "min": value, "max": value}
                for name, value in values.items()
            },
        }
        self._out.plain(f"#metrics {json.dumps(content)}\n")


def _counts(
    total: tuple[int, int], most: tuple[int, int], since: tuple[int, int], resets: int
) -> dict[str, float]:
    """Records and batches by the names of AWS's images: in all, most in one pass, in the last pass."""
    return {
        "Total Records Seen": total[0],
        "Total Batches Seen": total[1],
        "Max Records Seen Between Resets": most[0],
        "Max Batches Seen Between Resets": most[1],
        "Reset Count": resets,
        "Number of Records Since Last Reset": since[0],
        "Number of Batches Since Last Reset": since[1],
    }


def _word(line: str) -> str:
    """The metric's own word in its line: `msd` of `#quality_metric: host=algo-1, test msd <loss>=0.5`."""
    return line.partition(" <")[0].rpartition(" ")[2]


def _text(value: Any) -> str:
    """A value as the string that SageMaker would carry."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)

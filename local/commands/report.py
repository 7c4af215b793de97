"""What came of a training job, on one page: `optml train --report`."""

from __future__ import annotations

import base64
import shlex
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from optml.algorithms import charts
from optml.algorithms.base import Algorithm
from optml.container.hyperparameters import as_text, fields, parse
from optml.errors import UserError
from optml.local.commands import picture
from optml.local.commands.joblog import JobLog
from optml.local.feeder import files
from optml.local.tree import Input

OPTION = "--report"
COLUMNS = 3  # charts of metrics side by side

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem }
h1 { margin-bottom: 0 } h2 { margin: 2rem 0 .5rem; font-size: 1.15rem }
table { border-collapse: collapse }
td, th { padding: .2rem .9rem .2rem 0; text-align: left; vertical-align: top }
th { border-bottom: 1px solid #999 } td { border-bottom: 1px solid #e2e2e2; overflow-wrap: anywhere }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
img { max-width: 100%; display: block; margin-top: .5rem } code { overflow-wrap: anywhere }
.muted { color: #555 }
@media print { body { margin: 0; max-width: none; font-size: 11px } h2, img, tr { break-inside: avoid } }
"""


@dataclass(frozen=True, slots=True)
class Job:
    """A training job that has come to a good end.

    command: the words that began it.   hyperparameters: as they were handed to it, counted ones among them.
    log:     read to its end.           seconds: from its start to its end.
    """

    algorithm: Algorithm
    command: Sequence[str]
    hyperparameters: Mapping[str, str]
    inputs: Mapping[str, Input]
    model: Path
    log: JobLog
    seconds: float


def place(path: Path) -> Path:
    """Where the page goes: `path`, or report.html in the folder that it names; the folder is made.

    Raises UserError, before there is anything to report, where none could be written in the end.
    """
    if path.suffix != ".html":
        if path.suffix and not path.is_dir():
            raise UserError(f"{OPTION} {path}: name a folder, or a file that ends in .html")
        path = path / "report.html"
    if path.parent.exists() and not path.parent.is_dir():
        raise UserError(f"{OPTION} {path}: {path.parent} is a file; name a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.require_place(path, OPTION)
    return path


def write(job: Job, path: Path) -> list[Path]:
    """Write the page, and the picture beside it as a PNG; returns both. Where the data do not do for a
    picture, the page says why, and there is no PNG."""
    drawn = path.with_suffix(".png")
    try:
        said = picture.draw(job.algorithm, job.model, job.inputs, drawn, job.hyperparameters)
        shown = f"{_image(drawn.read_bytes(), said)}<p class=muted>{escape(said)}</p>"
        paths = [path, drawn]
    except UserError as error:
        shown = f"<p>There is no picture: {escape(str(error))}</p>"
        paths = [path]
    path.write_text(page(job, shown), encoding="utf-8")
    return paths


def page(job: Job, shown: str) -> str:
    """The page, self-contained. shown: HTML of the picture."""
    algorithm = job.algorithm
    facts = {
        "finished": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, after {duration(job.seconds)}",
        "model": str(job.model),
    }
    title = f"{algorithm.title}: a training job"
    parts = [
        f"<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<title>{escape(title)}</title>\n"
        f"<style>{STYLE}</style>\n<h1>{escape(algorithm.title)}</h1>\n"
        f"<p class=muted>{escape(algorithm.task)}</p>",
        _table((), facts.items()),
        f"<p><code>{escape(shlex.join(job.command))}</code></p>",
        "<h2>Metrics</h2>",
        _table(("metric", "last value", "values"), _metrics(job.log)),
        _curves(job.log),
        f"<h2>The model</h2>\n{shown}",
        "<h2>Data</h2>",
        _table(("channel", "content type", "files", "bytes"), _data(job.inputs)),
        f"<p>{job.log.records:,} records in a pass over train</p>" if job.log.records else "",
        "<h2>Hyperparameters that differ from their defaults</h2>",
        _table(("name", "value", "default", "meaning"), _changed(job)),
    ]
    return "\n".join(parts) + "\n"


def duration(seconds: float) -> str:
    """As people say it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _metrics(log: JobLog) -> Iterable[tuple[str, float, int]]:
    return ((name, value, len(log.values[name])) for name, value in log.final().items())


def _data(inputs: Mapping[str, Input]) -> Iterable[tuple[str, str, int, int]]:
    for name, channel_input in inputs.items():
        paths = [file for source in channel_input.sources for file in files(source)]
        yield (
            name,
            channel_input.content_type or "found out",
            len(paths),
            sum(path.stat().st_size for path in paths),
        )


def _changed(job: Job) -> Iterable[tuple[str, str, str, str]]:
    """Name, value, default and meaning of the hyperparameters that are not as they would be by themselves."""
    final, _ = parse(job.hyperparameters, job.algorithm.hyperparameters, ())
    values = final.model_dump(mode="json", by_alias=True)
    known = {spec.name: spec for spec in fields(job.algorithm.hyperparameters)}
    for name, value in values.items():
        spec = known.get(name)
        if spec is None:  # one of the algorithm's library
            yield name, as_text(value), "the library's", ""
        elif spec.required or value != spec.default:
            default = "required" if spec.required else as_text(spec.default) or "none"
            yield name, as_text(value), default, spec.meaning


def _curves(log: JobLog) -> str:
    """The metrics that have several values, those of all channels in one chart."""
    groups: dict[str, dict[str, list[float]]] = {}
    for name, values in log.values.items():
        channel, _, metric = name.partition(":")
        if len(values) > 1 and metric != "progress":
            groups.setdefault(metric, {})[channel] = values
    if not groups:
        return ""
    columns = min(COLUMNS, len(groups))
    rows = -(-len(groups) // columns)
    with tempfile.TemporaryDirectory(prefix="optml-report-") as folder:
        path = Path(folder, "metrics.png")
        with charts.sheet(
            path, "Metrics in the order of the log", rows=rows, columns=columns, size=(12, 0.5 + 2.8 * rows)
        ) as axes:
            for axis in axes.flat[len(groups) :]:
                axis.set_visible(False)
            for axis, (metric, channels) in zip(axes.flat, groups.items(), strict=False):
                charts.curves(axis, channels, metric)
        return _image(path.read_bytes(), "metrics in the order of the log")


def _image(png: bytes, text: str) -> str:
    return f'<img alt="{escape(text)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["<table>"]
    if head:
        lines.append("<tr>" + "".join(f"<th>{escape(text)}" for text in head))
    lines += ["<tr>" + "".join(map(_cell, row)) for row in rows]
    return "\n".join([*lines, "</table>"])


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f"<td class=number>{value:,}"
    if isinstance(value, float):
        return f"<td class=number>{value:,.6g}"
    return f"<td>{escape(str(value))}"

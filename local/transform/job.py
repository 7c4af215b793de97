"""Batch transform: every file of a folder through a server, one output file for each.

The semantics are those of SageMaker's CreateTransformJob (serving-contract 6): each object is handled alone,
records of different objects never share a request; the output is `<name>.out` in the same folder relative to
the output; order is kept; if a request of an object fails for good, that object has no output and the others
go on. Memory is bounded by twice MaxConcurrentTransforms payloads and their answers.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Literal, get_args

from optml.errors import PlatformError, UserError
from optml.formats.content_type import CSV, JSON_LINES, RECORDIO_PROTOBUF, ContentType
from optml.local.client import Client
from optml.local.transform.jsonpath import JSONPath
from optml.local.transform.payloads import MEGABYTE, Payload, SplitType, Strategy, payloads
from optml.local.transform.processing import MEDIA, Processing
from optml.serving import lines

log = logging.getLogger(__name__)

_STRATEGIES: dict[str, Strategy] = {"MULTI_RECORD": "MultiRecord", "SINGLE_RECORD": "SingleRecord"}


@dataclass(frozen=True, slots=True)
class TransformSettings:
    """A transform job's request, with the names and the defaults of the API; None: ask the server, then 1
    at a time, MultiRecord, 6 MB. Raises UserError listing everything that does not go together."""

    content_type: str | None = None
    accept: str | None = None
    split_type: SplitType = "None"
    assemble_with: Literal["None", "Line"] = "None"
    batch_strategy: Strategy | None = None
    max_payload_mb: int | None = None  # 0: no limit, sent chunked
    max_concurrent_transforms: int | None = None
    input_filter: str = "$"
    output_filter: str = "$"
    join_source: Literal["None", "Input"] = "None"
    invocations_timeout: float = 600.0  # seconds
    invocations_retries: int = 3
    retry_pause: float = 0.5  # seconds before the first retry, doubled each time

    def __post_init__(self) -> None:
        problems = []
        for name, kind in [("split_type", SplitType), ("batch_strategy", Strategy)]:
            value = getattr(self, name)
            if value is not None and value not in get_args(kind):
                problems.append(f"{name} is '{value}'; expected one of {', '.join(get_args(kind))}")
        if self.assemble_with not in ("None", "Line"):
            problems.append(f"assemble_with is '{self.assemble_with}'; expected None or Line")
        if self.assemble_with == "Line" and _media(self.accept) == RECORDIO_PROTOBUF:
            problems.append(f"answers in {RECORDIO_PROTOBUF} are assembled with None: line ends damage them")
        if self.join_source not in ("None", "Input"):
            problems.append(f"join_source is '{self.join_source}'; expected None or Input")
        if self.batch_strategy == "MultiRecord" and self.split_type == "None":
            problems.append("the strategy MultiRecord needs a split type (Line or RecordIO)")
        if self.max_payload_mb is not None and not 0 <= self.max_payload_mb <= 100:
            problems.append(f"max_payload_mb is {self.max_payload_mb}; expected 0 (no limit) to 100")
        if self.max_concurrent_transforms is not None and self.max_concurrent_transforms < 0:
            problems.append(
                f"max_concurrent_transforms is {self.max_concurrent_transforms}; expected 0 or more"
            )
        problems += self._processing_problems()
        if problems:
            raise UserError("\n".join(problems))

    def _processing_problems(self) -> Iterator[str]:
        content, accept = _media(self.content_type), _media(self.accept)
        paths = []
        for text in (self.input_filter, self.output_filter):
            try:
                paths.append(JSONPath.parse(text))
            except UserError as error:
                yield str(error)
                return
        known = ", ".join(MEDIA)
        join = self.join_source == "Input"
        if (join or not paths[0].whole) and content not in MEDIA:
            yield f"an input filter or join needs a content type among {known}, not '{self.content_type}'"
        if (join or not paths[1].whole) and accept not in MEDIA:
            yield f"an output filter or join needs an accept among {known}, not '{self.accept}'"
        if join and content != accept:
            yield f"a join needs equal content type and accept, not '{content}' and '{accept}'"
        if join and self.split_type != self.assemble_with:
            both = f"{self.split_type} and {self.assemble_with}"
            yield f"a join needs equal split type and assemble_with, not {both}"

    @property
    def content(self) -> ContentType:
        """The content type of the input; of no media where nobody named one."""
        return ContentType.parse(self.content_type or "")

    def processing(self) -> Processing:
        return Processing(
            JSONPath.parse(self.input_filter),
            JSONPath.parse(self.output_filter),
            self.join_source == "Input",
            _media(self.content_type),
            _media(self.accept),
            header=lines.has_header(self.content),
        )

    def environment(self) -> dict[str, str]:
        """What SageMaker sets in the container of a transform job."""
        variables = {"SAGEMAKER_BATCH": "true"}
        if self.max_payload_mb is not None:
            variables["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = str(self.max_payload_mb)
        if self.batch_strategy is not None:
            names = {ours: theirs for theirs, ours in _STRATEGIES.items()}
            variables["SAGEMAKER_BATCH_STRATEGY"] = names[self.batch_strategy]
        if self.max_concurrent_transforms:
            variables["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] = str(self.max_concurrent_transforms)
        return variables

    def completed(self, answer: dict[str, Any]) -> TransformSettings:
        """These settings, filled up from an answer of /execution-parameters, then from the defaults.

        Values of the answer that make no sense are passed over.
        """

        def whole(name: str, default: int) -> int:
            value = answer.get(name)
            return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default

        strategy = self.batch_strategy
        if strategy is None:
            wanted = str(answer.get("BatchStrategy"))
            strategy = _STRATEGIES.get(wanted, "SingleRecord" if wanted == "SingleRecord" else "MultiRecord")
            if self.split_type == "None":
                strategy = "SingleRecord"  # the object is the record
        payload = self.max_payload_mb
        concurrent = self.max_concurrent_transforms or whole("MaxConcurrentTransforms", 1) or 1
        return replace(
            self,
            batch_strategy=strategy,
            max_payload_mb=min(whole("MaxPayloadInMB", 6), 100) if payload is None else payload,
            max_concurrent_transforms=concurrent,
        )


@dataclass(slots=True)
class Report:
    """What became of the objects, by their names relative to the input."""

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # name -> why


class _Output:
    """One object's output in the making: written under another name, so nothing half-done is ever seen."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.failure: str | None = None
        self._path = path
        self._part = path.with_name(f".{path.name}.part")
        self._file: IO[bytes] | None = None

    def write(self, data: bytes) -> None:
        if self.failure is None:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._part.open("wb")
            self._file.write(data)

    def fail(self, reason: str) -> None:
        if self.failure is None:
            self.failure = reason
            if self._file is not None:
                self._file.close()
                self._part.unlink(missing_ok=True)

    def finish(self) -> None:
        if self.failure is None:
            self.write(b"")  # an object without records has an empty output
            assert self._file is not None
            self._file.close()
            self._part.replace(self._path)


def objects(source: Path) -> list[str]:
    """The names, relative to `source`, of its files in order; hidden and empty-named ones are left out."""
    if source.is_file():
        return [source.name]
    if not source.is_dir():
        raise UserError(f"there is no input '{source}'")
    names = sorted(
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )
    if not names:
        raise UserError(f"input folder '{source}' holds no files")
    return names


def transform(
    source: Path,
    target: Path,
    url: str,
    settings: TransformSettings,
    *,
    progress: Callable[[str], None] = lambda name: None,
) -> Report:
    """Send every file of `source` (or the one file) to the server at `url`; write `<name>.out` to `target`.

    `progress` is called with the name of each object when it is through. Raises UserError for an input that
    is not there and an output within the input, PlatformError for a server that does not answer at all.
    """
    names = objects(source)
    folder = source.parent if source.is_file() else source
    if source.is_dir() and target.resolve().is_relative_to(source.resolve()):
        raise UserError(
            f"output '{target}' lies in the input '{source}': a second run would take it as input"
        )
    report = Report()

    def settle(output: _Output, answer: Future[bytes] | None) -> None:
        try:
            if answer is not None:
                output.write(answer.result())
            else:
                output.finish()
        except (UserError, PlatformError) as error:
            output.fail(str(error))
        except OSError as error:
            output.fail(f"cannot write its output: {error}")
        if answer is None:
            if output.failure is None:
                report.done.append(output.name)
            else:
                report.failed[output.name] = output.failure
            progress(output.name)

    flying: deque[tuple[_Output, Future[bytes] | None]] = deque()  # in the order of the input; None: its end
    with Client(
        url, settings.invocations_timeout, settings.invocations_retries, settings.retry_pause
    ) as client:
        job = _Job(client, settings)
        with ThreadPoolExecutor(job.concurrent) as pool:
            for name in names:
                output = _Output(name, target / f"{name}.out")
                try:
                    for payload in job.payloads(folder / name, name):
                        if output.failure is not None:
                            break
                        flying.append((output, pool.submit(job.invoke, payload)))
                        while len(flying) > 2 * job.concurrent:
                            settle(*flying.popleft())
                except UserError as error:
                    output.fail(f"ClientError: {error}")
                except OSError as error:
                    output.fail(f"cannot read it: {error}")
                flying.append((output, None))
            while flying:
                settle(*flying.popleft())
    return report


class _Job:
    """The settings as they are in force, and what is done with one payload."""

    def __init__(self, client: Client, settings: TransformSettings) -> None:
        self._client = client
        self._settings = settings = settings.completed(_execution_parameters(client))
        self._processing = settings.processing()
        self.concurrent = settings.max_concurrent_transforms or 1
        log.info(
            "MaxConcurrentTransforms=%d, MaxPayloadInMB=%d, BatchStrategy=%s",
            self.concurrent,
            settings.max_payload_mb,
            next(theirs for theirs, ours in _STRATEGIES.items() if ours == settings.batch_strategy),
        )
        self._headers = {}
        if settings.content_type:
            self._headers["Content-Type"] = str(lines.in_utf8(settings.content))
        if settings.accept:
            self._headers["Accept"] = settings.accept

    def payloads(self, path: Path, name: str) -> Iterator[Payload]:
        settings = self._settings
        return payloads(
            path,
            name=name,
            content=settings.content,
            split=settings.split_type,
            strategy=settings.batch_strategy or "MultiRecord",
            limit=settings.max_payload_mb * MEGABYTE if settings.max_payload_mb else None,
            outgoing=self._processing.outgoing if self._processing.filters_input else None,
            keep_original=self._processing.join,
        )

    def invoke(self, payload: Payload) -> bytes:
        """One request; what of its answer goes to the output. Raises UserError, PlatformError."""
        answer = self._client.post("/invocations", payload.stream or payload.body, self._headers)
        place = f" for {payload.name}" if payload.name else ""
        if not answer.ok:
            whose = "ClientError" if answer.status < 500 else "ServerError"
            message = answer.body.decode(errors="replace").strip()
            raise UserError(f"{whose}: {answer.status}{place}\n\nMessage:\n{message}")
        body = answer.body
        try:
            self._check_count(payload, body, _media(answer.headers.get("content-type")))
            if self._processing.changes_output:
                body = self._processing.incoming(payload.original, body)
        except UserError as error:
            raise UserError(f"ClientError: {error}{place}") from None
        if self._settings.assemble_with == "Line":
            return body.removesuffix(b"\n") + b"\n"
        return body

    def _check_count(self, payload: Payload, body: bytes, media: str) -> None:
        """Raise UserError for an answer of lines that has not one for each record: rows would be lost."""
        media = media or _media(self._settings.accept)
        if payload.first is None or payload.last is None or media not in (CSV, JSON_LINES):
            return
        records = payload.last - payload.first + 1
        answers = sum(1 for _ in lines.records(BytesIO(body), media))
        if answers != records:
            raise UserError(
                f"a response holds {answers} records but answers {records}; "
                "the strategy SingleRecord may help"
            )


def _execution_parameters(client: Client) -> dict[str, Any]:
    answer = client.get("/execution-parameters")
    try:
        parameters = json.loads(answer.body) if answer.ok else {}
    except ValueError:
        parameters = {}
    return parameters if isinstance(parameters, dict) else {}


def _media(content_type: str | None) -> str:
    return ContentType.parse(content_type).media if content_type else ""

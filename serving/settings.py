"""What the environment asks of the server. SageMaker's names where it has one; ours begin with OPTML_."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from optml.algorithms import registry
from optml.errors import UserError

REFUSING = 8  # threads of a worker that no queued request can take: they say that the queue is full


@dataclass(frozen=True)
class Settings:
    """One server's settings; sizes in bytes, times in seconds."""

    port: int = 8080  # SAGEMAKER_BIND_TO_PORT
    workers: int | None = (
        None  # SAGEMAKER_MODEL_SERVER_WORKERS, MODEL_SERVER_WORKERS; None: by CPUs, memory, GPUs
    )
    timeout: float = 60.0  # SAGEMAKER_MODEL_SERVER_TIMEOUT: how long a request may wait for its inference
    stall: float = 30.0  # OPTML_STALL_TIMEOUT: how long a request may stop coming, or an answer being taken
    max_content_length: int = 128 << 20  # MAX_CONTENT_LENGTH, also of a body that arrives compressed
    max_answer: int = 256 << 20  # OPTML_MAX_ANSWER_MB, of one request
    max_batch_records: int = 1024  # OPTML_MAX_BATCH_RECORDS
    max_batch_delay: float = 0.0  # OPTML_MAX_BATCH_DELAY_MS
    max_queue: int = 64  # OPTML_MAX_QUEUE: requests of one worker that may wait for inference
    batch: bool = False  # SAGEMAKER_BATCH: this server answers a batch transform job
    # OPTML_BAD_RECORD: what becomes of a request with records that have no answer. error: it is refused.
    # null: the others are answered, and in its place stands what is wrong: {"error": "..."}, in CSV a cell,
    # in RecordIO NaN with that as metadata. A request whose records cannot be told apart (broken JSON, a
    # damaged frame, Parquet), or of which more than 10,000 are bad, is refused all the same.
    bad_record: Literal["error", "null"] = "error"
    accept: str | None = None  # SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT
    multi_model: bool = False  # SAGEMAKER_MULTI_MODEL
    # OPTML_REQUEST_MEMORY_MB: of one worker, for what comes and goes slowly
    request_memory: int | None = None
    memory: int | None = None  # OPTML_MME_MEMORY_MB, for the models of a multi-model server
    algorithm: str | None = None  # OPTML_ALGORITHM
    log_level: int = 20  # SAGEMAKER_CONTAINER_LOG_LEVEL

    @property
    def threads(self) -> int:
        """Threads of one worker: one a waiting request, one that computes, and some that refuse others."""
        return self.max_queue + 1 + REFUSING

    @classmethod
    def of_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the environment. Raises UserError that lists every variable with a value it cannot take."""
        problems: list[str] = []

        def number(names: str, default: float, least: float = 1) -> float:
            for name in names.split():
                text = environ.get(name, "").strip()
                if not text:
                    continue
                try:
                    value = float(text)
                except ValueError:
                    value = float("nan")
                if least <= value <= 1 << 50:  # not true of NaN
                    return value
                problems.append(
                    f"environment variable {name} is '{text}'; expected a number from {least:g} on"
                )
            return default

        def flag(name: str) -> bool:
            text = environ.get(name, "").strip().lower()
            if text not in ("", "true", "1", "yes", "false", "0", "no"):
                problems.append(f"environment variable {name} is '{text}'; expected true or false")
            return text in ("true", "1", "yes")

        batch = flag("SAGEMAKER_BATCH")
        workers = int(number("SAGEMAKER_MODEL_SERVER_WORKERS MODEL_SERVER_WORKERS", 0))
        request_memory = int(number("OPTML_REQUEST_MEMORY_MB", 0))
        memory = int(number("OPTML_MME_MEMORY_MB", 0))
        bad_record = environ.get("OPTML_BAD_RECORD", "").strip().lower() or "error"
        if bad_record not in ("error", "null"):
            problems.append(
                f"environment variable OPTML_BAD_RECORD is '{bad_record}'; expected error or null"
            )
        settings = cls(
            port=int(number("SAGEMAKER_BIND_TO_PORT", cls.port)),
            workers=workers or None,
            # A batch transform job may wait for an answer for up to an hour.
            timeout=number(
                "SAGEMAKER_MODEL_SERVER_TIMEOUT MODEL_SERVER_TIMEOUT", 3600.0 if batch else cls.timeout
            ),
            stall=number("OPTML_STALL_TIMEOUT", cls.stall),
            max_content_length=int(number("MAX_CONTENT_LENGTH", cls.max_content_length)),
            max_answer=int(number("OPTML_MAX_ANSWER_MB", cls.max_answer >> 20)) << 20,
            max_batch_records=int(number("OPTML_MAX_BATCH_RECORDS", cls.max_batch_records)),
            max_batch_delay=number("OPTML_MAX_BATCH_DELAY_MS", 0.0, least=0) / 1000,
            max_queue=int(number("OPTML_MAX_QUEUE", cls.max_queue)),
            batch=batch,
            bad_record="null" if bad_record == "null" else "error",
            accept=environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "").strip() or None,
            multi_model=flag("SAGEMAKER_MULTI_MODEL"),
            request_memory=request_memory << 20 or None,
            memory=memory << 20 or None,
            algorithm=registry.chosen(environ),
            log_level=int(number("SAGEMAKER_CONTAINER_LOG_LEVEL", cls.log_level)),
        )
        if not settings.port < 1 << 16:
            problems.append(
                f"environment variable SAGEMAKER_BIND_TO_PORT is {settings.port}; ports end at 65535"
            )
        problems += _problems_of_algorithms(settings, environ)
        if problems:
            raise UserError("\n".join(problems))
        return settings


def _problems_of_algorithms(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the variables that models read."""
    from optml.serving.errors import RequestError
    from optml.serving.negotiation import of_answer, writable

    if settings.algorithm is not None and settings.algorithm not in registry.available():
        try:
            registry.get(settings.algorithm)
        except UserError as error:
            yield f"environment variable OPTML_ALGORITHM: {error}"
        return
    for name, slug in registry.VARIABLES.items():
        try:
            if name in environ:
                registry.get(slug).inference.variables[name](environ[name])
        except UserError as error:
            yield str(error)
    if settings.accept is not None:
        slugs = [settings.algorithm] if settings.algorithm else registry.available()
        offered = dict.fromkeys(media for slug in slugs for media in writable(registry.get(slug)))
        try:
            of_answer(settings.accept, tuple(offered))
        except RequestError as error:
            yield f"environment variable SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT: {error.message}"

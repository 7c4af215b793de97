"""The Flask application: SageMaker's routes, the order of work, and errors that are never HTML."""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from optml.errors import PlatformError
from optml.formats.content_type import JSON, JSON_LINES, TEXT
from optml.serving import metrics, negotiation
from optml.serving.codecs import lines
from optml.serving.errors import RequestError, busy
from optml.serving.log import one_line
from optml.serving.predictor import Predictor
from optml.serving.requests import read_body
from optml.serving.settings import Settings
from optml.serving.store import Store

log = logging.getLogger(__name__)

_ATTRIBUTES = "HTTP_X_AMZN_SAGEMAKER_CUSTOM_ATTRIBUTES"
_VISIBLE = re.compile(r"[\x20-\x7e]{1,1024}")
_STREAMED = 1 << 20  # bytes from which JSON lines are sent piece by piece
_MAX_PAYLOAD_MB = 6  # before a model is loaded, and of many models
_LONGEST_NAME = 256  # characters of a model's name; each takes up to 12 in a URL, which may have 4,094
_PAGE = 100  # models a page of GET /models


@dataclass(slots=True)
class WorkerState:
    """What a worker process is up to. `ready` answers for the whole server: has any worker its model?"""

    settings: Settings
    workers: int = 1
    ready: Callable[[], bool] = lambda: True
    device: str = "cpu"
    predictor: Predictor | None = None
    loaded: Event = field(default_factory=Event)

    def wait(self, deadline: float) -> Predictor:
        """The model, as soon as it is loaded. Raises RequestError (503) at the deadline."""
        if self.predictor is None:
            self.loaded.wait(max(0.0, deadline - time.monotonic()))
        if self.predictor is None:
            raise busy("the model is still loading")
        return self.predictor


def create_app(state: WorkerState, store: Store | None = None) -> Flask:
    """The application of one worker: of one model or, with a store, of many."""
    app = Flask("serving", static_folder=None)
    _add(app, "/ping", lambda: _ping(state))
    _add(app, "/execution-parameters", lambda: _execution_parameters(state))
    _add(app, "/metrics", lambda: _text(metrics.exposition(state.device), metrics.CONTENT_TYPE))
    if store is None:
        _add(app, "/invocations", lambda: _invoke(state, state.wait), "POST")
        _add(app, "/", lambda: _json(state.wait(time.monotonic()).served.describe()))
        _add(app, "/models", lambda: _json(state.wait(time.monotonic()).served.describe()))
    else:
        _add_models(app, state, store)
    app.register_error_handler(Exception, _failed)
    return app


def _add(app: Flask, path: str, view: Callable[..., Response], method: str = "GET") -> None:
    app.add_url_rule(path, f"{method} {path}", view, methods=[method], provide_automatic_options=False)


def _ping(state: WorkerState) -> Response:
    if request.method != "GET":  # Flask adds HEAD to every GET
        raise RequestError(405, "MethodNotAllowed", "use GET", [("Allow", "GET")])
    if not state.ready():
        return _json({"error": "loading"}, 503)
    return _text(b"", TEXT)


def _execution_parameters(state: WorkerState) -> Response:
    """Without BatchStrategy: SDK v2 in local mode dies of it, and the default is what we want."""
    served = state.predictor and state.predictor.served
    size = served.algorithm.inference.max_payload_mb if served else _MAX_PAYLOAD_MB
    concurrent = max(1, min(state.workers, 100 // size))
    return _json({"MaxConcurrentTransforms": concurrent, "MaxPayloadInMB": size})


def _invoke(state: WorkerState, predictor: Callable[[float], Predictor]) -> Response:
    """POST /invocations and POST /models/NAME/invoke."""
    environ = request.environ
    began = environ.get("optml.arrival") or time.monotonic()  # it may have waited for a thread
    deadline = began + state.settings.timeout
    body = read_body(environ, state.settings.max_content_length)
    answer, content_type = predictor(deadline).answer(
        body, environ.get("CONTENT_TYPE", ""), environ.get("HTTP_ACCEPT", ""), deadline
    )
    if len(answer) > _STREAMED and content_type == JSON_LINES:
        response = Response(iter(lines(answer)), 200, content_type=content_type)
    else:
        response = Response(answer, 200, content_type=content_type)
    _echo(response)
    seconds = time.monotonic() - began
    metrics.ANSWERS.observe(200)
    metrics.LATENCY.observe(seconds)
    if log.isEnabledFor(logging.DEBUG):  # a line costs a small request a tenth of its time
        log.debug("%s 200 %d %d %.1f ms", environ["PATH_INFO"], len(body), len(answer), seconds * 1e3)
    return response


def _echo(response: Response) -> None:
    attributes = request.environ.get(_ATTRIBUTES)
    if attributes and _VISIBLE.fullmatch(attributes):
        response.headers["X-Amzn-SageMaker-Custom-Attributes"] = attributes


def _text(body: bytes, content_type: str) -> Response:
    return Response(body, 200, content_type=content_type)


def _json(content: Any, status: int = 200) -> Response:
    try:
        body = orjson.dumps(content)
    except TypeError:  # integers of more than 64 bits, halves of surrogate pairs
        body = json.dumps(content).encode()
    return Response(body, status, content_type=JSON)


def _failed(error: Exception) -> Response:
    """Any error as an answer: one sentence, in JSON for those who speak it; tracebacks go to the log only."""
    environ = request.environ
    path = environ.get("PATH_INFO", "")
    if isinstance(error, RequestError):
        refusal = error
    elif isinstance(error, HTTPException):
        status = error.code or 500
        allow = [(name, value) for name, value in error.get_headers() if name == "Allow"]
        sentence = f"{error.name.lower()}: {environ.get('REQUEST_METHOD', '')} {path[:200]}"
        refusal = RequestError(status, error.name.replace(" ", ""), sentence, allow)
    elif isinstance(error, PlatformError):  # set up in a way that cannot work: the message says which
        log.error("%s: %s", one_line(path), one_line(str(error)))
        refusal = RequestError(500, "PlatformError", str(error))
    else:
        refusal = _internal(error, path)
    if path == "/invocations" or path.endswith("/invoke"):
        metrics.ANSWERS.observe(refusal.status)
    if refusal.status != 500:
        log.warning("%s %d %s", one_line(path), refusal.status, one_line(refusal.message))
    accept, content_type = environ.get("HTTP_ACCEPT", ""), environ.get("CONTENT_TYPE", "")
    body, media = refusal.body(json=negotiation.speaks_json(accept, content_type))
    if refusal.status == 204:  # which has none
        body = b""
    response = Response(body, refusal.status, refusal.headers, content_type=media)
    _echo(response)
    return response


def _internal(error: Exception, path: str) -> RequestError:
    request_id = uuid.uuid4().hex
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        log.error("request %s: out of memory: %s", request_id, one_line(str(error)))
        return RequestError(
            507, "InsufficientMemory", "not enough memory for this request; send less at a time"
        )
    log.error("request %s to %s failed", request_id, one_line(path), exc_info=error)
    message = "internal error; the log of the container tells more under this request_id"
    return RequestError(500, "InternalError", message, request_id=request_id)


def _add_models(app: Flask, state: WorkerState, store: Store) -> None:
    """The routes of a multi-model server."""

    def load() -> Response:
        try:
            wanted = orjson.loads(read_body(request.environ, 1 << 16))
            name, url = wanted["model_name"], wanted["url"]
        except (ValueError, TypeError, KeyError):
            name = url = None
        if not (isinstance(name, str) and name and "/" not in name and isinstance(url, str) and url):
            message = 'the body must be {"model_name": "...", "url": "/opt/ml/models/.../model"}'
            raise RequestError(400, "InvalidRequest", message)
        if len(name) > _LONGEST_NAME or not name.isprintable():  # then no URL could name it
            message = f"model_name must be of at most {_LONGEST_NAME} printable characters, without a slash"
            raise RequestError(400, "InvalidRequest", message)
        store.load(name, url)
        log.info("loaded model %s from %s", one_line(name), one_line(url))
        return _json({"modelName": name, "modelUrl": url})

    def listing() -> Response:
        limit = request.args.get("limit", "")
        size = int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 6 else _PAGE
        page, token = store.page(request.args.get("next_page_token", ""), max(1, size))
        models = [{"modelName": name, "modelUrl": url} for name, url in page]
        return _json({"models": models} | ({"nextPageToken": token} if token else {}))

    def invoke(name: str) -> Response:
        with store.use(name) as predictor:
            return _invoke(state, lambda _: predictor)

    def unload(name: str) -> Response:
        store.unload(name)
        log.info("unloaded model %s", one_line(name))
        return _json({"modelName": name})

    def single() -> Response:
        message = "this server has many models: use POST /models/NAME/invoke"
        raise RequestError(404, "NotFound", message)

    _add(app, "/models", load, "POST")
    _add(app, "/models", listing)
    _add(app, "/models/<name>", lambda name: _json({"modelName": name, "modelUrl": store.url(name)}))
    _add(app, "/models/<name>", unload, "DELETE")
    _add(app, "/models/<name>/invoke", invoke, "POST")
    _add(app, "/invocations", single, "POST")
    _add(app, "/", listing)

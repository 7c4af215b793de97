"""The models of a multi-model server: loaded and unloaded one by one while others answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Condition

from optml.algorithms import registry
from optml.errors import UserError
from optml.memory import free as free_memory
from optml.serving import memory, metrics
from optml.serving.batching import Queue
from optml.serving.errors import RequestError, cannot_load
from optml.serving.models import holds_model, load, unpacked
from optml.serving.predictor import Predictor
from optml.serving.settings import Settings

_SHOWN = 200  # characters of a URL in a message


@dataclass(slots=True)
class _Entry:
    url: str
    bytes: int
    device: str
    predictor: Predictor | None = None  # None: still loading, or leaving
    users: int = 0


class Store:
    """Models by name. A load or unload holds up its own model only.

    devices: where models may go; each goes where the fewest are. queues: device -> its queue.
    """

    def __init__(
        self, settings: Settings, queues: dict[str, Queue], free: Callable[[], int] = free_memory
    ) -> None:
        self._settings = settings
        self._queues = queues
        self._free = free
        self._entries: dict[str, _Entry] = {}
        self._lock = Condition()

    def load(self, name: str, url: str) -> None:
        """Load the model in the folder `url`.

        Raises RequestError: 400 it holds no model, 404 no such folder, 409 there is one of that name, 507 no
        room, 500 it is broken. A folder that holds no model is not described: any of the container may be
        named here.
        """
        folder = Path(url)
        try:
            if not folder.is_dir():
                raise RequestError(404, "ModelNotFound", f"there is no model folder {url[:_SHOWN]}")
            if not holds_model(folder):
                raise RequestError(400, "InvalidModel", f"{url[:_SHOWN]} is no folder of a model")
        except (OSError, ValueError) as error:  # a name too long, or with a zero byte
            message = f"the url {url[:_SHOWN]!r} cannot be a folder: {error.__class__.__name__}"
            raise RequestError(400, "InvalidRequest", message) from None
        entry = self._reserve(name, url, memory.needed(folder))
        try:
            with unpacked(folder) as content:
                if registry.recognise(content) is None:
                    raise RequestError(400, "InvalidModel", f"{url[:_SHOWN]} holds no model")
                served = load(content, entry.device, self._settings.algorithm)
        except BaseException as error:
            with self._lock:
                del self._entries[name]
            memory.give_back()
            if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
                raise _no_room(f"model {name} does not fit") from None
            if isinstance(error, UserError):
                raise cannot_load(str(error)) from None
            raise
        with self._lock:
            entry.predictor = Predictor(served, self._queues[entry.device], self._settings)
            metrics.gauge("models_loaded", len(self._entries))
            metrics.gauge("model_load_seconds", served.load_seconds)

    def _reserve(self, name: str, url: str, size: int) -> _Entry:
        with self._lock:
            if name in self._entries:
                raise RequestError(409, "ModelAlreadyLoaded", f"model {name} is already loaded")
            if self._settings.memory is not None:
                room = self._settings.memory - sum(entry.bytes for entry in self._entries.values())
            else:  # models in memory are in use already; those that are loading will be
                coming = sum(entry.bytes for entry in self._entries.values() if entry.predictor is None)
                room = self._free() - coming
            if size > room:
                raise _no_room(f"model {name} needs {size >> 20} MiB, {max(room, 0) >> 20} MiB are left")
            devices = [entry.device for entry in self._entries.values()]
            entry = _Entry(url, size, min(self._queues, key=devices.count))
            self._entries[name] = entry
            return entry

    @contextmanager
    def use(self, name: str) -> Iterator[Predictor]:
        """The model of that name, which stays in memory for the time being. Raises RequestError (404)."""
        with self._lock:
            entry = self._entries.get(name)
            predictor = entry.predictor if entry else None
            if entry is None or predictor is None:
                raise not_loaded(name)
            entry.users += 1
        try:
            yield predictor
        finally:
            del predictor
            with self._lock:
                entry.users -= 1
                if not entry.users:
                    self._lock.notify_all()

    def unload(self, name: str) -> None:
        """Drop a model once its requests are answered; its memory is free on return.

        Raises RequestError (404).
        """
        with self._lock:
            entry = self._entries.get(name)
            if entry is None or entry.predictor is None:
                raise not_loaded(name)
            entry.predictor = None  # no new requests
            until = time.monotonic() + self._settings.timeout
            while entry.users and self._lock.wait(max(0.0, until - time.monotonic())):
                pass
            del self._entries[name]
            metrics.gauge("models_loaded", len(self._entries))
        memory.give_back()

    def url(self, name: str) -> str:
        """Where the model of that name was loaded from. Raises RequestError (404)."""
        with self._lock:
            entry = self._entries.get(name)
            if entry is None or entry.predictor is None:
                raise not_loaded(name)
            return entry.url

    def page(self, after: str, limit: int) -> tuple[list[tuple[str, str]], str | None]:
        """Up to `limit` (name, url) in order of name that come after the token `after` ("": from the start),
        and the token of the next page, None at the end."""
        with self._lock:
            loaded = sorted(
                (name, entry.url) for name, entry in self._entries.items() if entry.predictor and name > after
            )
        page = loaded[:limit]
        return page, page[-1][0] if len(loaded) > limit else None


def not_loaded(name: str) -> RequestError:
    return RequestError(404, "ModelNotFound", f"model {name} is not loaded")


def _no_room(cause: str) -> RequestError:
    return RequestError(507, "InsufficientMemory", f"not enough memory: {cause}; unload another model")

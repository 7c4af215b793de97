import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from optml.errors import UserError
from optml.formats.records import Columns, Records
from optml.serving.batching import RUN, Batcher, Gate, Queue
from optml.serving.errors import RequestError
from tests.serving.sample import served


class Recorder:
    """Answers each record with itself, refuses -2, and notes how many records came at a time."""

    width = 1

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.busy = threading.Event()
        self.go = threading.Event()

    def predict(self, batch: Records, options: Mapping[str, str]) -> Columns:
        self.busy.set()
        assert self.go.wait(10)
        self.calls.append(len(batch))
        if (batch.features == -2).any():
            raise UserError("no")
        return {"score": batch.features[:, 0]}


def records(*values: float) -> Records:
    return Records(np.array(values, np.float32)[:, None])


def waiting(queue: Queue, model: Recorder, pool: ThreadPoolExecutor) -> Callable[..., Future[Columns]]:
    """Keep the queue busy with one request; what is returned sends others, which then wait."""
    model_served = served(model)
    until = time.monotonic() + 60

    def send(
        *values: float, options: Mapping[str, str] | None = None, deadline: float = until
    ) -> Future[Columns]:
        before = depth(queue)
        answer = pool.submit(queue.predict, model_served, records(*values), options or {}, deadline)
        while depth(queue) == before and not answer.done():
            time.sleep(0.001)
        return answer

    pool.submit(queue.predict, model_served, records(100.0), {}, until)
    assert model.busy.wait(60)
    return send


def depth(queue: Queue) -> int:
    """How many requests wait."""
    return queue._waiting if isinstance(queue, Gate) else len(queue._jobs)  # type: ignore[attr-defined]


def batcher(max_records: int = 1024, max_queue: int = 64, max_delay: float = 0.0) -> Batcher:
    return Batcher(max_records, max_delay, max_queue)


def test_what_waits_is_answered_by_one_call() -> None:
    model = Recorder()
    with ThreadPoolExecutor(8) as pool:
        send = waiting(batcher(), model, pool)
        answers = [send(1.0), send(2.0, 3.0), send(4.0)]
        model.go.set()
        assert [answer.result()["score"].tolist() for answer in answers] == [[1.0], [2.0, 3.0], [4.0]]
    assert model.calls == [1, 4]


def test_a_batch_has_no_more_records_than_allowed() -> None:
    model = Recorder()
    with ThreadPoolExecutor(8) as pool:
        send = waiting(batcher(max_records=2), model, pool)
        answers = [send(1.0), send(2.0), send(3.0), send(4.0, 5.0, 6.0)]
        model.go.set()
        assert [len(answer.result()["score"]) for answer in answers] == [1, 1, 1, 3]
    assert sorted(model.calls) == [1, 1, 2, 3]


def test_requests_with_other_options_do_not_join() -> None:
    model = Recorder()
    with ThreadPoolExecutor(8) as pool:
        send = waiting(batcher(), model, pool)
        answers = [send(1.0), send(2.0, options={"verbose": "true"}), send(3.0)]
        model.go.set()
        assert [answer.result()["score"].tolist() for answer in answers] == [[1.0], [2.0], [3.0]]
    assert model.calls == [1, 2, 1]


def test_a_bad_request_fails_alone() -> None:
    model = Recorder()
    with ThreadPoolExecutor(8) as pool:
        send = waiting(batcher(), model, pool)
        answers = [send(1.0), send(-2.0), send(3.0)]
        model.go.set()
        assert answers[0].result()["score"].tolist() == [1.0]
        assert answers[2].result()["score"].tolist() == [3.0]
        with pytest.raises(UserError):
            answers[1].result()


def test_a_delay_lets_requests_meet() -> None:
    model = Recorder()
    model.go.set()
    queue = batcher(max_records=2, max_delay=60)
    with ThreadPoolExecutor(8) as pool:
        until = time.monotonic() + 60
        model_served = served(model)
        answers = [pool.submit(queue.predict, model_served, records(n), {}, until) for n in (1.0, 2.0)]
        assert [answer.result()["score"].tolist() for answer in answers] == [[1.0], [2.0]]
    assert model.calls == [2]


@pytest.mark.parametrize("make", [lambda: Gate(1), lambda: batcher(max_queue=1)])
def test_a_full_queue_is_503_with_retry_after(make: Callable[[], Queue]) -> None:
    model = Recorder()
    with ThreadPoolExecutor(8) as pool:
        send = waiting(make(), model, pool)
        first = send(1.0)
        error = send(2.0).exception(60)
        assert isinstance(error, RequestError)
        assert error.status == 503
        assert ("Retry-After", "1") in error.headers
        model.go.set()
        assert first.result()["score"].tolist() == [1.0]


@pytest.mark.parametrize("make", [lambda: Gate(8), batcher])
def test_work_whose_client_has_gone_is_dropped(make: Callable[[], Queue]) -> None:
    model = Recorder()
    with ThreadPoolExecutor(8) as pool:
        send = waiting(make(), model, pool)
        late = send(2.0, deadline=time.monotonic() + 0.05)
        time.sleep(0.1)
        model.go.set()
        error = late.exception(60)
        assert isinstance(error, RequestError)
        assert error.status == 503
    assert model.calls == [1]


def test_heavy_requests_pass_the_gate_one_by_one() -> None:
    model = Recorder()
    with ThreadPoolExecutor(8) as pool:
        send = waiting(Gate(8), model, pool)
        answers = [send(1.0), send(2.0)]
        assert model.calls == []
        model.go.set()
        assert [answer.result()["score"].tolist() for answer in answers] == [[1.0], [2.0]]
    assert model.calls == [1, 1, 1]


class Counting:
    """Answers each record with itself and notes how many came at a time; then does what `late` does."""

    width = 1

    def __init__(self, late: Callable[[], None] = lambda: None) -> None:
        self.calls: list[int] = []
        self.late = late

    def predict(self, batch: Records, options: Mapping[str, str]) -> Columns:
        self.calls.append(len(batch))
        self.late()
        return {"score": batch.features[:, 0]}


@pytest.mark.parametrize("make", [lambda: Gate(8), lambda: batcher(max_records=1 << 20)])
def test_many_records_are_answered_in_runs(make: Callable[[], Queue]) -> None:
    model = Counting()
    many = Records(np.arange(2 * RUN + 5, dtype=np.float32)[:, None])
    answer = make().predict(served(model), many, {}, time.monotonic() + 60)
    assert answer["score"].tolist() == list(range(2 * RUN + 5))
    assert model.calls == [RUN, RUN, 5]


@pytest.mark.parametrize("make", [lambda: Gate(8), batcher])
def test_work_ends_at_the_deadline(make: Callable[[], Queue]) -> None:
    deadline = time.monotonic() + 0.2

    def outlast() -> None:
        while time.monotonic() <= deadline:
            time.sleep(0.01)

    model = Counting(outlast)
    many = Records(np.zeros((10 * RUN, 1), np.float32))
    with pytest.raises(RequestError, match="takes longer than a client waits"):
        make().predict(served(model), many, {}, deadline)
    assert model.calls == [RUN]

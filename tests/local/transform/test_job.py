import gzip
import random
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optml.local.transform.job
from optml.errors import PlatformError, UserError
from optml.formats.recordio import frame
from optml.local.transform.job import TransformSettings, transform
from tests.serving.stub import serving as stub_server


def lengths(body):
    """One answer a line: its length."""
    return b"".join(b"%d\n" % len(line) for line in body.splitlines())


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "in"
    (source / "deep").mkdir(parents=True)
    (source / "a.csv").write_bytes(b"1\n22\n333\n")
    (source / "deep" / "b.csv").write_bytes(b"4444\n")
    (source / ".hidden").write_bytes(b"no")
    return source


LINES = TransformSettings(
    content_type="text/csv", accept="text/csv", split_type="Line", assemble_with="Line", retry_pause=0.0
)


def outputs(target):
    return {
        path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()
    }


def changed(**options):
    return TransformSettings(**{name: getattr(LINES, name) for name in LINES.__slots__} | options)


def test_each_file_gets_its_own_output_in_the_same_folder(folder, tmp_path):
    through = []
    with stub_server(lengths) as server:
        report = transform(folder, tmp_path / "out", server.url, LINES, progress=through.append)
    assert outputs(tmp_path / "out") == {"a.csv.out": b"1\n2\n3\n", "deep/b.csv.out": b"4\n"}
    assert report.done == through == ["a.csv", "deep/b.csv"]
    assert not report.failed
    assert sorted(server.bodies) == [b"1\n22\n333\n", b"4444\n"]  # files never share a request
    assert {(h["Content-Type"], h["Accept"]) for h in server.headers} == {("text/csv", "text/csv")}


def test_one_file_is_an_input_as_well(folder, tmp_path):
    with stub_server(lengths) as server:
        transform(folder / "a.csv", tmp_path / "out", server.url, LINES)
    assert outputs(tmp_path / "out") == {"a.csv.out": b"1\n2\n3\n"}


def test_failing_request_costs_its_object_alone_and_is_reported(folder, tmp_path):
    def handler(body):
        return (400, b"record 1 is bad") if b"333" in body else lengths(body)

    with stub_server(handler) as server:
        report = transform(folder, tmp_path / "out", server.url, changed(batch_strategy="SingleRecord"))
    assert outputs(tmp_path / "out") == {"deep/b.csv.out": b"4\n"}
    assert report.done == ["deep/b.csv"]
    assert report.failed == {"a.csv": "ClientError: 400 for record 3\n\nMessage:\nrecord 1 is bad"}


def test_server_error_is_tried_again(folder, tmp_path):
    answers = iter([503, 500, 502])

    def handler(body):
        status = next(answers, 200)
        return lengths(body) if status == 200 else (status, b"later")

    with stub_server(handler) as server:
        report = transform(folder / "a.csv", tmp_path / "out", server.url, LINES)
    assert report.done == ["a.csv"]
    assert len(server.bodies) == 4


def test_lasting_server_error_fails_after_three_retries(folder, tmp_path):
    with stub_server(lambda body: (500, b"broken")) as server:
        report = transform(folder / "a.csv", tmp_path / "out", server.url, LINES)
    assert report.failed["a.csv"].startswith("ServerError: 500 for records 1-3")
    assert len(server.bodies) == 4


def test_client_error_is_not_tried_again(folder, tmp_path):
    with stub_server(lambda body: (400, b"bad")) as server:
        transform(folder / "a.csv", tmp_path / "out", server.url, LINES)
    assert len(server.bodies) == 1


def test_late_answer_is_tried_again(folder, tmp_path):
    first, again = iter([True]), threading.Event()

    def handler(body):
        if next(first, False):
            again.wait(60)
        again.set()
        return lengths(body)

    with stub_server(handler) as server:
        report = transform(folder / "a.csv", tmp_path / "out", server.url, changed(invocations_timeout=2))
    assert report.done == ["a.csv"]
    assert len(server.bodies) == 2


def test_server_that_is_not_there_is_an_error(folder, tmp_path):
    with pytest.raises(PlatformError, match="/execution-parameters failed"):
        transform(folder, tmp_path / "out", "http://127.0.0.1:9", LINES)


def test_server_is_asked_for_its_parameters_and_the_user_wins(folder, tmp_path):
    parameters = b'{"MaxConcurrentTransforms": 2, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 3}'
    with stub_server(lengths, parameters) as server:
        transform(folder / "a.csv", tmp_path / "out", server.url, LINES)
        assert sorted(server.bodies) == [b"1\n", b"22\n", b"333\n"]
    with stub_server(lengths, parameters) as server:
        transform(folder / "a.csv", tmp_path / "out", server.url, changed(batch_strategy="MultiRecord"))
        assert server.bodies == [b"1\n22\n333\n"]


@pytest.mark.parametrize(
    "answer", [b"no json", b"[]", b'{"MaxConcurrentTransforms": "x", "MaxPayloadInMB": -1}']
)
def test_senseless_parameters_are_passed_over(folder, tmp_path, answer):
    with stub_server(lengths, answer) as server:
        assert transform(folder, tmp_path / "out", server.url, LINES).done == ["a.csv", "deep/b.csv"]


def test_requests_overlap_and_the_order_is_kept(tmp_path):
    lock, now, most = threading.Lock(), [0], [0]
    pair = threading.Barrier(2)

    def handler(body):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        pair.wait(60)
        time.sleep(random.random() / 50)
        with lock:
            now[0] -= 1
        return body

    records = [b"%d\n" % number for number in range(60)]
    (tmp_path / "a").write_bytes(b"".join(records))
    with stub_server(handler) as server:
        options = changed(batch_strategy="SingleRecord", max_concurrent_transforms=4)
        transform(tmp_path / "a", tmp_path / "out", server.url, options)
    assert (tmp_path / "out" / "a.out").read_bytes() == b"".join(records)
    assert 1 < most[0] <= 4


def test_assembling_with_lines_ends_each_response_once(tmp_path):
    (tmp_path / "a").write_bytes(b"1\n2\n")
    single = {"batch_strategy": "SingleRecord"}
    with stub_server(lambda body: b"x\n" if body == b"1\n" else b"y") as server:
        transform(tmp_path / "a", tmp_path / "line", server.url, changed(**single))
        transform(tmp_path / "a", tmp_path / "none", server.url, changed(**single, assemble_with="None"))
    assert (tmp_path / "line" / "a.out").read_bytes() == b"x\ny\n"
    assert (tmp_path / "none" / "a.out").read_bytes() == b"x\ny"


def test_no_payload_limit_sends_the_object_chunked(tmp_path):
    content = b"".join(b"%d\n" % number for number in range(300_000))
    (tmp_path / "a").write_bytes(gzip.compress(content))
    with stub_server(lambda body: b"%d" % len(body)) as server:
        transform(tmp_path / "a", tmp_path / "out", server.url, changed(max_payload_mb=0))
    assert server.bodies == [content]
    assert server.headers[0]["Transfer-Encoding"] == "chunked"


def test_filters_and_join_keep_the_id(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"id1,5,5\nid2,5,55\n")
    options = changed(input_filter="$[1:]", output_filter="$[0,-1]", join_source="Input")
    with stub_server(lengths) as server:
        transform(tmp_path / "a.csv", tmp_path / "out", server.url, options)
    assert server.bodies == [b"5,5\n5,55\n"]
    assert (tmp_path / "out" / "a.csv.out").read_bytes() == b"id1,3\nid2,4\n"


def test_answer_that_cannot_be_joined_fails_its_object(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"1\n2\n")
    with stub_server(lambda body: b"1\n") as server:
        report = transform(tmp_path / "a.csv", tmp_path / "out", server.url, changed(join_source="Input"))
    assert "holds 1 records but answers 2" in report.failed["a.csv"]
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("accept", ["text/csv", "application/jsonlines"])
def test_fewer_answers_than_records_fail_their_object(folder, tmp_path, accept):
    with stub_server(lambda body: lengths(body).split(b"\n", 1)[-1] or b"1") as server:
        report = transform(folder, tmp_path / "out", server.url, changed(accept=accept))
    assert report.done == ["deep/b.csv"]
    assert "a response holds 2 records but answers 3" in report.failed["a.csv"]


def test_damaged_and_empty_files_do_not_stop_the_others(folder, tmp_path):
    (folder / "c.csv").write_bytes(gzip.compress(b"1\n" * 9999)[:-20])
    (folder / "d.csv").touch()
    with stub_server(lengths) as server:
        report = transform(folder, tmp_path / "out", server.url, LINES)
    assert report.done == ["a.csv", "d.csv", "deep/b.csv"]
    assert "cut off in the middle of its gzip data" in report.failed["c.csv"]
    assert outputs(tmp_path / "out")["d.csv.out"] == b""


def test_output_in_the_input_is_refused(folder):
    with pytest.raises(UserError, match="lies in the input"):
        transform(folder, folder / "out", "http://127.0.0.1:9", LINES)


def test_missing_and_empty_input_are_named(tmp_path):
    with pytest.raises(UserError, match="there is no input"):
        transform(tmp_path / "none", tmp_path / "out", "http://127.0.0.1:9", LINES)
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match="holds no files"):
        transform(tmp_path / "in", tmp_path / "out", "http://127.0.0.1:9", LINES)


def test_settings_list_all_that_does_not_fit():
    with pytest.raises(UserError) as error:
        TransformSettings(
            content_type="application/x-recordio-protobuf",
            accept="text/csv",
            batch_strategy="MultiRecord",
            max_payload_mb=101,
            max_concurrent_transforms=-1,
            join_source="Input",
            assemble_with="Line",
        )
    problems = str(error.value).splitlines()
    assert len(problems) == 6
    assert "needs a split type" in problems[0]
    with pytest.raises(UserError, match="begins with '\\$'"):
        TransformSettings(input_filter="x")
    with pytest.raises(UserError, match="assembled with None: line ends damage them"):
        TransformSettings(accept="recordio-protobuf", assemble_with="Line")


def test_environment_of_the_server_is_that_of_a_transform_job():
    assert TransformSettings().environment() == {"SAGEMAKER_BATCH": "true"}
    options = {"batch_strategy": "SingleRecord", "max_payload_mb": 4, "max_concurrent_transforms": 2}
    assert TransformSettings(**options).environment() == {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "4",
        "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "2",
    }


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.binary(max_size=30).map(frame), max_size=30), min_size=1, max_size=3),
    st.integers(40, 100),
    st.integers(1, 4),
)
def test_nothing_is_lost_or_reordered_on_the_way(files, limit, concurrent):
    megabyte = optml.local.transform.job.MEGABYTE
    optml.local.transform.job.MEGABYTE = 1  # the limit counts bytes, so that small data are many requests
    try:
        with tempfile.TemporaryDirectory() as folder, stub_server(lambda body: body) as server:
            source = Path(folder, "in")
            source.mkdir()
            for number, records in enumerate(files):
                (source / str(number)).write_bytes(b"".join(records))
            options = TransformSettings(
                split_type="RecordIO", max_payload_mb=limit, max_concurrent_transforms=concurrent
            )
            report = transform(source, Path(folder, "out"), server.url, options)
            assert not report.failed
            for number, records in enumerate(files):
                assert Path(folder, "out", f"{number}.out").read_bytes() == b"".join(records)
            assert all(0 < len(body) <= limit for body in server.bodies)
    finally:
        optml.local.transform.job.MEGABYTE = megabyte

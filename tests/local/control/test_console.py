"""The console: pages that say all without a script, and nothing that an object or a log could slip in."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from optml.local.control.console.invoke import Form
from optml.local.control.jobs import lifecycle, metrics
from optml.local.control.plane import Plane
from optml.local.control.tuning.children import Children
from optml.local.control.tuning.state import KIND, table_of
from optml.local.tuning import request as requests_of_tuning
from optml.local.tuning.trials import Proposal
from tests.local.control.conftest import Clients, running
from tests.local.control.test_jobs import ROLE, XGBOOST
from tests.local.control.test_tuning import METRIC, asked

SLY = '<script>alert("sly")</script>'


def get(plane: Plane, path: str, **more: Any) -> requests.Response:
    return requests.get(f"{plane.url}{path}", timeout=30, **more)


def _tune(plane: Plane) -> None:
    """A tuning job with three training jobs: one that has ended, one that has failed, one that runs."""
    request = asked("search")
    job = plane.resources.create(KIND, "search", "us-east-1", request, "InProgress")
    store = Children(plane.database, requests_of_tuning.read(request, table_of))
    children = store.add([Proposal(n, "", {"max_depth": str(n + 2)}) for n in range(1, 4)], job)
    for child, status in zip(children, ("Completed", "Failed", "InProgress"), strict=True):
        state = {"SecondaryStatus": "Training", "SecondaryStatusTransitions": lifecycle.first()}
        inner = {
            "AlgorithmSpecification": {"TrainingImage": XGBOOST, "TrainingInputMode": "File"},
            "RoleArn": ROLE,
        }
        plane.resources.create("TrainingJob", child.job, "us-east-1", inner, "InProgress", **state)
        if status != "InProgress":
            uri = f"s3://bkt/out/{child.job}/output/model.tar.gz"
            lifecycle.advance(
                plane.resources, child.job, status, status=status, message=status,
                ModelArtifacts={"S3ModelArtifacts": uri},
            )  # fmt: skip
    metrics.store([(children[0].job, METRIC, "algo-1", 1, 1796000000.0, 0.25)], plane.database)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A control plane with a job that runs, one that has failed, and an endpoint, none of which is real."""
    with running(tmp_path_factory.mktemp("shown")) as plane:
        plane.scheduler.close()
        request = {
            "TrainingJobName": "digits",
            "AlgorithmSpecification": {"TrainingImage": "123.dkr.ecr.us-east-1.amazonaws.com/kmeans:1"},
            "HyperParameters": {"k": SLY},
            "InputDataConfig": [
                {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3Uri": "s3://bkt/train"}}}
            ],
        }
        for name in ("digits", "broken"):
            state = {"SecondaryStatus": "Starting", "SecondaryStatusTransitions": lifecycle.first()}
            plane.resources.create("TrainingJob", name, "us-east-1", request, "InProgress", **state)
            log = plane.home.job("training", name) / "log"
            log.mkdir(parents=True)
            (log / "algo-1.log").write_text(f"1796000000000 epoch 1\n1796000001000 {SLY}\n")
        values = [("digits", "train:msd", "algo-1", n, 1796000000.0 + n, 1 / n) for n in range(1, 30)]
        metrics.store(values, plane.database)
        uri = "s3://bkt/out/digits/output/model.tar.gz"
        lifecycle.advance(plane.resources, "digits", "Training", ModelArtifacts={"S3ModelArtifacts": uri})
        lifecycle.advance(
            plane.resources, "broken", "Failed", status="Failed", message=SLY, FailureReason=SLY
        )
        _tune(plane)
        plane.resources.create("Endpoint", "asked", "us-east-1", {}, "Failed", FailureReason="no model")
        plane.s3.create("bkt")
        for key in ("page.html", "a b/é?.csv", SLY):
            content, path = plane.s3.contents.new()
            path.write_text(SLY)
            plane.s3.bucket("bkt").put(key, content, len(SLY), "0" * 32, {"content-type": "text/html"})
        yield plane


PAGES = [
    "/console",
    "/console?status=Failed&name=bro",
    "/console/jobs/training/digits",
    "/console/jobs/training/broken",
    "/console/tuning",
    "/console/tuning/search",
    "/console/endpoints",
    "/console/endpoints/asked",
    "/console/s3",
    "/console/s3/bkt",
    "/console/s3/bkt?prefix=a%20b%2F",
    "/console/support",
]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_light_and_escapes_what_it_shows(shown: Plane, path: str) -> None:
    answer = get(shown, path)
    assert answer.status_code == 200
    assert SLY not in answer.text
    weight = len(answer.content)
    for name in re.findall(r'(?:src|href)="(/console/static/[^"]+)"', answer.text):
        weight += len(get(shown, name).content)
    assert weight <= 150_000
    assert "://" not in "".join(re.findall(r'(?:src|href)="([^"]+)"', answer.text))


def test_a_job_is_told_without_a_script(shown: Plane) -> None:
    page = get(shown, "/console/jobs/training/digits").text
    for expected in (
        "InProgress: Training",
        "<svg",
        "train:msd",
        "epoch 1",
        "s3://bkt/out/digits/output/model.tar.gz",
        "create_training_job(**",
        "&lt;script&gt;",
    ):
        assert expected in page
    values = json.loads(re.search(r'id="values">(.*?)</script>', page)[1])  # type: ignore[index]
    assert len(values["train:msd"]) == 29
    assert "no model" in get(shown, "/console/endpoints/asked").text
    jobs = get(shown, "/console?status=Failed").text
    assert "broken" in jobs
    assert "digits" not in jobs


def test_a_tuning_job_is_told_without_a_script_and_its_best_deployed(shown: Plane) -> None:
    page = get(shown, "/console/tuning/search").text
    for expected in (
        "2 of 3 training jobs have ended",
        "<strong>0.25</strong>",
        'aria-label="validation:rmse of 1 jobs, best 0.25"',
        'aria-label="Hyperparameters of 1 jobs"',
        "<th>max_depth</th>",
        "/console/jobs/training/search-001-",
    ):
        assert expected in page
    assert "0.25" in get(shown, "/console/tuning").text
    with get(shown, "/console/tuning/search/events", stream=True) as answer:
        lines = answer.iter_lines(decode_unicode=True)
        assert next(lines) == "event: trials"
    url = f"{shown.url}/console/tuning/search/deploy"
    assert requests.post(url, headers={"Origin": "http://evil.example"}, timeout=30).status_code == 403
    deployed = requests.post(url, timeout=30, allow_redirects=False)
    assert deployed.status_code == 303
    name = deployed.headers["location"].rpartition("/")[2]
    model = shown.resources.get("Model", name)
    assert model is not None
    assert model.request["PrimaryContainer"]["ModelDataUrl"] == f"s3://bkt/out/{name}/output/model.tar.gz"
    assert requests.post(url, timeout=30, allow_redirects=False).status_code == 303  # it is there already
    assert get(shown, "/console/tuning/none").status_code == 404


def test_events_bring_values_states_and_logs(shown: Plane) -> None:
    with get(shown, "/console/jobs/training/digits/events", stream=True) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        names = []
        for line in answer.iter_lines(decode_unicode=True):
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
            if len(names) == 3:
                break
    assert names == ["values", "status", "log"]


def test_objects_are_handed_out_as_files_never_as_pages(shown: Plane) -> None:
    for key, name in (("page.html", "page.html"), ("a%20b/%C3%A9%3F.csv", "%C3%A9%3F.csv")):
        answer = get(shown, f"/console/s3/bkt/{key}")
        assert (answer.status_code, answer.text) == (200, SLY)
        assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''{name}"
        assert answer.headers["content-type"].startswith("application/x-download")


@pytest.mark.parametrize(
    "path",
    [
        "/console/x",
        "/console/jobs/training/none",
        "/console/jobs/none/digits",
        "/console/endpoints/none",
        "/console/s3/none",
        "/console/s3/bkt/none",
        "/console/static/..%2Fviews.py",
        "/console/static/%2Fetc%2Fpasswd",
    ],
)
def test_what_is_not_there_is_a_page_too(shown: Plane, path: str) -> None:
    answer = get(shown, path)
    assert answer.status_code == 404
    assert "Not here" in answer.text


def test_the_box_asks_the_endpoint_and_foreign_pages_may_not(shown: Plane) -> None:
    form = {"body": "1,2", "content_type": "text/csv", "accept": "application/json"}
    url = f"{shown.url}/console/endpoints/asked"
    page = requests.post(url, form, headers={"Origin": shown.url}, timeout=30)
    assert "is not InService: it is Failed" in page.text
    assert requests.post(url, form, headers={"Origin": "http://evil.example"}, timeout=30).status_code == 403


def test_a_form_is_read_in_both_encodings() -> None:
    offered = Form("text/csv", "application/json")
    urlencoded = b"body=1%2C2&content_type=text%2Fcsv"
    assert Form.read(urlencoded, "application/x-www-form-urlencoded", offered) == Form(
        "text/csv", "application/json", "1,2"
    )
    picture = b"\x89PNG\r\n\x1a\n\0\xff"
    request = requests.Request(
        "POST", "http://x", data={"content_type": "image/png"}, files={"file": ("a.png", picture)}
    ).prepare()
    assert isinstance(request.body, bytes)
    form = Form.read(request.body, request.headers["Content-Type"], offered)
    assert form == Form("image/png", "application/json", "", picture)
    assert Form.read(b"\xff no parts", "multipart/form-data; boundary=x", offered) == offered


def test_the_box_offers_what_the_algorithm_reads(plane: Plane) -> None:
    image = "813361260812.dkr.ecr.us-east-1.amazonaws.com/semantic-segmentation:1"
    models = {"m": {"PrimaryContainer": {"Image": image}}}
    plane.resources.create("Endpoint", "pictures", "us-east-1", {}, "Failed", Models=models)
    page = get(plane, "/console/endpoints/pictures").text
    assert 'name="content_type" value="image/jpeg"' in page
    assert "<option>image/png</option>" in page


def test_unsupported_calls_are_listed(plane: Plane, clients: Clients) -> None:
    with pytest.raises(Exception, match=f"see {plane.url}/console/support"):
        clients("sagemaker").list_domains()
    assert "sagemaker:ListDomains" in get(plane, "/console/support").text
    assert get(plane, "/", allow_redirects=False).headers["location"] == "/console"


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit_a_real_browser(shown: Plane, tmp_path: Path, width: int) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("needs Chromium: Debian's package chromium")
    for number, path in enumerate(PAGES):
        picture = tmp_path / f"{number}.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900"]
        options += ["--timeout=3000", f"--screenshot={picture}"]  # pages of running jobs never stop loading
        command = [browser, *options, f"{shown.url}{path}"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        assert picture.stat().st_size > 3000

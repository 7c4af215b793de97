"""DeepAR through `train`, `serve` and batch transform: as processes, stopped, resumed, on two hosts."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from optml.algorithms import registry
from optml.local.describe import metric_definitions
from tests.algorithms.forecasting_deepar.sample import SMALL, START, lines, waves
from tests.contract.server import serving
from tests.contract.tree import HOSTS, Tree, end, train_together

pytest.importorskip("torch")

TRAIN = ("-m", "optml.container", "train")


@pytest.fixture(autouse=True)
def algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTML_ALGORITHM", "forecasting-deepar")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of a short job."""
    made = tree(tmp_path_factory.mktemp("trained"), waves(), epochs=1)
    ended = made.train(*TRAIN, OPTML_ALGORITHM="forecasting-deepar")
    assert ended.code == 0, ended.log
    return made.model


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The arrays of a job of 4 epochs that nobody disturbed."""
    made = tree(tmp_path_factory.mktemp("undisturbed"), waves(), epochs=4)
    assert made.train(*TRAIN, OPTML_ALGORITHM="forecasting-deepar", OMP_NUM_THREADS="1").code == 0
    return arrays(made)


def tree(root: Path, records: list[dict[str, Any]], **given: Any) -> Tree:
    made = Tree(root)
    made.write("input/data/train/deep/er/series.json", lines(records).decode())
    made.hyperparameters(**(SMALL | given))
    return made


def arrays(made: Tree) -> dict[str, np.ndarray]:
    return load_file(made.model / "model.safetensors")


def with_features(records: list[dict[str, Any]], extra: int = 0) -> list[dict[str, Any]]:
    return [
        record | {"cat": [number % 3, 0], "dynamic_feat": [[0.1] * (len(record["target"]) + extra)]}
        for number, record in enumerate(records)
    ]


def test_a_network_is_trained_scored_and_served(tmp_path: Path) -> None:
    records = with_features(waves())
    made = tree(tmp_path, records, early_stopping_patience=5)
    made.write("input/data/test/series.json", lines(records).decode())
    ended = made.train(*TRAIN)
    assert ended.code == 0, ended.log
    for definition in metric_definitions(registry.get("forecasting-deepar")):
        values = re.findall(definition["Regex"], ended.log)
        assert values, definition["Name"]
        assert np.isfinite(float(values[-1]))
    for line in (
        "Using early stopping with patience 5",
        "[cardinality=auto] Inferred value of cardinality=[3, 1] from dataset.",
        "[num_dynamic_feat=auto] Inferred value of num_dynamic_feat=1 from dataset.",
        "number of time series: 12",
        "Small number of time series. Doing 7 passes over dataset with prob 0.9523809523809524 per epoch.",
        "Number of GPUs being used: 0",
        "best epoch loss so far",
        "Evaluating model accuracy on testset using 100 samples",
    ):
        assert line in ended.messages
    assert "test_score (algo-1) :" not in ended.log
    with serving(tmp_path) as server:
        headers = {"Content-Type": "application/json"}
        wanted = {"num_samples": 20, "output_types": ["quantiles", "samples"], "quantiles": ["0.1", "0.9"]}
        asked = with_features(waves(2), 4)
        answer = server.invoke(json.dumps({"instances": asked, "configuration": wanted}), headers=headers)
        assert answer.status_code == 200, answer.text
        one = answer.json()["predictions"][1]
        assert (np.shape(one["samples"]), list(one["quantiles"])) == ((20, 4), ["0.1", "0.9"])
        plain = server.invoke(json.dumps({"instances": asked}), headers=headers).json()
        assert [list(each) for each in plain["predictions"]] == [["mean"], ["mean"]]
        empty = server.invoke('{"instances": []}', headers=headers)
        assert (empty.status_code, empty.json()) == (200, {"predictions": []})
        wrong = server.invoke(json.dumps({"instances": with_features(waves(1))}), headers=headers)
        assert wrong.status_code == 400
        assert "instances[0]" in wrong.text
        assert "expected len(target)+prediction_length = 120+4 = 124, got 120" in wrong.text
        refused = server.invoke("1,2", headers={"Content-Type": "text/csv"})
        assert (refused.status_code, "text/csv not supported" in refused.text) == (415, True)


def test_batch_transform_answers_line_by_line(trained: Path, tmp_path: Path) -> None:
    from optml.local.endpoint import Endpoint
    from optml.local.transform.job import TransformSettings, transform

    source = tmp_path / "in"
    source.mkdir()
    (source / "a.jsonl").write_bytes(lines(waves(5)))
    environment = {"SAGEMAKER_BATCH": "true", "DEEPAR_INFERENCE_CONFIG": '{"num_samples": 9}'}
    answers = []
    with Endpoint(trained, environment=environment) as endpoint:
        for strategy in ("SingleRecord", "MultiRecord"):
            settings = TransformSettings(
                content_type="application/jsonlines",
                split_type="Line",
                assemble_with="Line",
                batch_strategy=strategy,  # type: ignore[arg-type]
            )
            report = transform(source, tmp_path / strategy, endpoint.url, settings)
            assert report.done == ["a.jsonl"], report.failed
            answers.append((tmp_path / strategy / "a.jsonl.out").read_text().splitlines())
    for text, other in zip(*answers, strict=True):
        assert set(json.loads(text)) == {"quantiles", "mean"}
        np.testing.assert_allclose(json.loads(text)["mean"], json.loads(other)["mean"], rtol=1e-5)
    assert len(answers[0]) == 5


@pytest.mark.parametrize("sent", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL])
def test_a_job_that_was_ended_goes_on_as_if_undisturbed(
    undisturbed: dict[str, np.ndarray], tmp_path: Path, sent: signal.Signals
) -> None:
    made = tree(tmp_path, waves(), epochs=4)
    made.checkpoints()
    with made.held("forecasting-deepar-0.2-*.ckpt") as (process,):
        process.send_signal(sent)
    ended = end(process)
    if sent == signal.SIGTERM:
        assert ended.code == 0, ended.log
        assert arrays(made).keys() == undisturbed.keys()  # a model as of then
    ended = made.train(*TRAIN)
    assert ended.code == 0, ended.log
    for name, array in undisturbed.items():
        np.testing.assert_array_equal(arrays(made)[name], array)


def test_two_hosts_train_one_network(tmp_path: Path) -> None:
    records = waves()
    hosts = []
    for rank, name in enumerate(HOSTS):
        each = tree(tmp_path / name, records[rank::2], epochs=1)
        each.write("input/data/test/a.json", lines(records).decode())
        channels = {"train": {"S3DistributionType": "ShardedByS3Key"}, "test": {}}
        each.write("input/config/inputdataconfig.json", channels)
        hosts.append(each)
    ended = train_together(hosts, *TRAIN)
    assert [one.code for one in ended] == [0, 0], ended[0].log + ended[1].log
    assert "test mean_wQuantileLoss <loss>=" in ended[0].log
    assert arrays(hosts[0])
    assert not hosts[1].model.exists() or not any(hosts[1].model.iterdir())


@pytest.mark.parametrize(
    ("records", "given", "problem"),
    [
        ([{"start": START, "target": [1, 2, 3, 4]}] * 20, {}, "have 80 observations in all; at least 300"),
        ([{"start": START + "Z", "target": [1]}], {}, "line 1 of train/deep/er/series.json"),
        (waves(), {"time_freq": "S"}, "expected one of M, W, D, H, min"),
        (waves(), {"likelihood": "beta"}, "likelihood=beta is for values from 0 to 1"),
        (with_features(waves()), {"cardinality": "[2, 1]"}, "is 2, but its cardinality is 2"),
    ],
)
def test_what_is_wrong_is_the_failure(
    tmp_path: Path, records: list[dict[str, Any]], given: dict[str, Any], problem: str
) -> None:
    made = tree(tmp_path, records, **given)
    ended = made.train(*TRAIN)
    assert ended.code == 2, ended.log
    assert problem in made.failure
    assert "Traceback" not in ended.log


def test_a_test_channel_that_does_not_fit_ends_the_job_before_its_first_epoch(tmp_path: Path) -> None:
    records = with_features(waves())
    made = tree(tmp_path, records, epochs=10_000)
    strange = [record | {"cat": [7, 0]} for record in records]
    made.write("input/data/test/series.json", lines(strange).decode())
    ended = made.train(*TRAIN)
    assert ended.code == 2, ended.log
    problem = "channel 'test' cannot be scored: 12 of 12 test series have categories"
    assert problem in made.failure
    assert "train loss" not in ended.log


def test_predict_draws_forecasts(trained: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from optml.local.cli import main

    (tmp_path / "series.jsonl").write_bytes(lines(waves(3)))
    words = ["predict", str(trained), "--input", str(tmp_path / "series.jsonl")]
    out = ["--output", str(tmp_path / "answers.jsonl"), "--plot", str(tmp_path / "forecasts.png")]
    assert main([*words, *out]) == 0
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == 3
    assert (tmp_path / "forecasts.png").read_bytes().startswith(b"\x89PNG")

"""`optml tune`."""

import json

import pytest

from optml.local.commands import tuning_request
from optml.local.tuning import tables

RANGE = ("--range", "k=2:6")


@pytest.fixture
def tuned(optml, table, tmp_path):
    def run(*words, ranges=RANGE):
        folder = tmp_path / "out"
        data = ("--train", table, "--test", table)
        return optml("tune", "kmeans", *data, *ranges, "--out", folder, "--seed", 3, *words)

    return run


def test_trials_are_trained_and_the_best_is_at_hand(tuned, optml, table, tmp_path):
    code, out, err = tuned("--objective", "test:msd", "--jobs", "2", "--strategy", "random")
    assert code == 0
    assert "note: AWS does not tune k of kmeans; here it is tuned" in err
    assert "complete: MaxNumberOfTrainingJobs, 2 jobs" in out
    best = tmp_path / "out" / "best"
    assert (best / "model" / "model.json").exists()
    assert "#quality_metric: host=algo-1, test msd" in (best / "log").read_text()
    given = json.loads((best / "input/config/hyperparameters.json").read_text())
    assert given["_tuning_objective_metric"] == "test:msd"
    assert (tmp_path / "out" / "tuning.png").read_bytes().startswith(b"\x89PNG")
    assert f"model: {best / 'model'}" in out
    # The model is one like any other.
    code, out, _ = optml("predict", best / "model", "--input", table)
    assert code == 0
    assert len(out.splitlines()) == 400
    # The same command once more finds nothing left to do.
    code, out, err = tuned("--objective", "test:msd", "--jobs", "2", "--strategy", "random")
    assert code == 0
    assert "complete: MaxNumberOfTrainingJobs, 2 jobs" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "say what to go by with --objective METRIC; with the channels given: test:msd, test:ssd"),
        (("--objective", "test:auc"), "test:auc is no metric to tune kmeans by; with the channels given"),
        (("--objective", "test:msd", "--strategy", "best"), "--strategy best is none of Bayesian, Random"),
        (("--objective", "test:msd", "--jobs", "0"), "--jobs 0: give a number >= 1"),
        (("--objective", "test:msd", "--range", "k"), "a range is NAME=LOW:HIGH or NAME=VALUE,VALUE"),
        (("--objective", "test:msd", "--range", "epochs=1:9:cubic"), "the scale 'cubic' is none of auto"),
        (
            ("--objective", "test:msd", "--range", "epochs=0:9"),
            "[epochs] does not take 0: it is an integer >= 1",
        ),
        (("--objective", "test:msd", "-p", "init_method=best"), "hyperparameter init_method='best' is not"),
        (("--objective", "test:msd", "--jobs", "751"), "MaxNumberOfTrainingJobs is 751; the limit is 750"),
    ],
)
def test_mistakes_are_said_before_anything_runs(tuned, tmp_path, words, message):
    code, _, err = tuned(*words)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_a_metric_of_a_channel_that_is_missing_names_the_channel(optml, table, tmp_path):
    words = ("--train", table, *RANGE, "--out", tmp_path / "out", "--objective", "test:msd")
    code, _, err = optml("tune", "kmeans", *words)
    assert code == 2
    assert "--objective test:msd needs the channel 'test': give it with --test PATH" in err


def test_ranges_are_read_by_the_kind_of_the_hyperparameter():
    ranges = tuning_request.ranges(
        ["eta=0:1", "max_depth=2:9", "alpha=1:100:log", "booster=gbtree,dart"], tables.table("xgboost")
    )
    assert [span["Name"] for span in ranges["ContinuousParameterRanges"]] == ["eta", "alpha"]
    assert ranges["ContinuousParameterRanges"][1]["ScalingType"] == "Logarithmic"
    assert ranges["IntegerParameterRanges"] == [
        {"Name": "max_depth", "MinValue": "2", "MaxValue": "9", "ScalingType": "Auto"}
    ]
    assert ranges["CategoricalParameterRanges"] == [{"Name": "booster", "Values": ["gbtree", "dart"]}]


def test_the_folder_names_the_job():
    from pathlib import Path

    assert tuning_request.name_of(Path("/x/my tuning_job.2")) == "my-tuning-job-2"
    assert tuning_request.name_of(Path("/x/" + "a" * 40)) == "a" * 32
    assert tuning_request.name_of(Path("/x/...")) == "tuning"

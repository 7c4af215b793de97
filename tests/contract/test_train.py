"""`train` as a program, on one host."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

from optml.algorithms import registry
from tests.contract.tree import Tree, end, read_until


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    made = Tree(tmp_path)
    made.numbers("train", *range(1, 21))
    return made


def test_a_job_leaves_a_model_and_says_what_regexes_read(tree: Tree) -> None:
    tree.hyperparameters(epochs=2, mini_batch_size=3)
    tree.numbers("test", 1, 2, 3)
    ended = tree.train(AWS_SECRET_ACCESS_KEY="not-for-the-log")
    assert ended.code == 0, ended.log
    assert sorted(path.name for path in tree.model.iterdir()) == ["model.json", "weights"]
    assert not (tree.root / "output/failure").exists()
    assert "not-for-the-log" not in ended.log

    assert ended.messages[0] == "Docker entrypoint called with argument(s): train"
    wanted = [
        "Reading default configuration from ",
        "Merging with provided configuration from ",
        "Final configuration: {'epochs': '2', 'mini_batch_size': '3'",
        "nvidia-smi identified ",
        "Number of GPUs being used: ",
        "Checkpoint loading and saving are disabled.",
        "processed a total of 20 examples",
        "#progress_metric: host=algo-1, completed 50.0 % of epochs",
        "#throughput_metric: host=algo-1, train throughput=",
        "Epoch 1 of 2: 20 records in ",
        "#progress_metric: host=algo-1, completed 100.0 % of epochs",
        f"#quality_metric: host=algo-1, train final={tree.state!r}",
        f"#test_score (algo-1) : ('loss', {tree.state - 6!r})",
        "#quality_metric: host=algo-1, test loss <loss>=",
    ]
    found = iter(ended.messages)
    for text in wanted:
        assert any(message.startswith(text) for message in found), text
    prefixed = [line for line in ended.log.splitlines() if line and line[0] not in "#D"]
    assert all(re.match(r"\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d [A-Z]+ \d+\] ", line) for line in prefixed)


def test_metrics_lines_are_json_followed_by_an_empty_line(tree: Tree) -> None:
    lines = tree.train().log.splitlines()
    found = {}
    for line, following in pairwise(lines):
        if line.startswith("#metrics "):
            assert following == ""
            content = json.loads(line.removeprefix("#metrics "))
            assert content["Dimensions"]["Algorithm"] == "AWS/Toy"
            found |= content["Metrics"]
    assert found["Total Records Seen"] == {"sum": 20.0, "count": 1, "min": 20, "max": 20}
    assert {"Number of Batches Since Last Reset", "Reset Count", "setuptime", "totaltime"} <= set(found)


def test_what_was_read_of_a_test_channel_is_counted(tree: Tree) -> None:
    tree.hyperparameters(mini_batch_size=2)
    tree.numbers("test", 1, 2, 3)
    lines = tree.train().log.splitlines()
    (counted,) = (line for line in lines if '"Meta": "test_data_iter"' in line)
    found = json.loads(counted.removeprefix("#metrics "))["Metrics"]
    assert {name: found[name]["sum"] for name in found if name.startswith("Total")} == {
        "Total Records Seen": 3,
        "Total Batches Seen": 2,
    }
    assert lines.index(counted) < next(i for i, line in enumerate(lines) if "#test_score" in line)


def test_a_missing_test_channel_is_told(tree: Tree) -> None:
    assert "Test data is not provided." in tree.train().messages


def test_a_user_error_is_the_last_line_and_the_failure_file(tree: Tree) -> None:
    tree.hyperparameters(epochs="abc", mini_batch_siz=3)
    ended = tree.train()
    assert ended.code == 2
    assert "Traceback" not in ended.log
    assert tree.failure.startswith("ClientError: hyperparameter epochs='abc' is not an integer >= 1")
    assert "did you mean 'mini_batch_size'?" in tree.failure
    assert "\n" not in tree.failure
    assert ended.last == "Customer Error: " + tree.failure.removeprefix("ClientError: ")
    assert not list(tree.model.glob("*"))


def test_a_long_reason_is_cut_to_1024_characters_and_logged_whole(tree: Tree) -> None:
    tree.hyperparameters(**{f"unknown_{index}": 1 for index in range(100)})
    ended = tree.train()
    assert len(tree.failure) == 1024
    assert "unknown_99" in ended.last


def test_bad_data_names_the_line(tree: Tree) -> None:
    tree.numbers("train", 1, 2, "three")
    assert tree.train().code == 2
    assert tree.failure == "ClientError: line 3 of train/a.csv is 'three', not a number"


def test_a_fault_of_ours_has_its_traceback_in_the_log(tree: Tree) -> None:
    tree.hyperparameters(fail_at=2)
    ended = tree.train()
    assert ended.code == 1
    assert tree.failure == "AlgorithmError: ZeroDivisionError: as asked, see the log for the traceback"
    assert "Traceback (most recent call last)" in ended.log
    assert ended.last == "Algorithm Error: ZeroDivisionError: as asked, see the log for the traceback"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to whom permissions mean nothing elsewhere")
def test_a_model_folder_that_is_a_file_is_the_platforms_fault(tree: Tree) -> None:
    tree.write("model", "")
    assert tree.train().code == 3
    assert tree.failure.startswith("PlatformError: the model folder ")


def test_an_image_with_several_algorithms_asks_which(tree: Tree) -> None:
    code = (
        "from optml.algorithms import registry; registry.MODULES['toy'] = 'x'; "
        "from optml.container.__main__ import train; train()"
    )
    ended = tree.train("-c", code, OPTML_ALGORITHM="")
    assert ended.code == 2
    known = ", ".join(sorted([*registry.available(), "toy"]))
    assert f"set the environment variable OPTML_ALGORITHM to one of {known}" in tree.failure


def test_sigterm_saves_the_model_of_the_moment_and_a_checkpoint(tree: Tree) -> None:
    tree.hyperparameters(epochs=5, mini_batch_size=1)
    folder = tree.checkpoints()
    with tree.held("toy-0.0-*.ckpt") as (process,):
        process.send_signal(signal.SIGTERM)
    ended = end(process)
    assert ended.code == 0
    assert "Stopping on SIGTERM after epoch 0" in ended.messages
    assert tree.state > 0
    assert len(list(folder.iterdir())) == 2

    resumed = tree.train(OPTML_CHECKPOINT_SECONDS="60")
    assert re.search(r"Checkpoint loaded from .*toy-0\.0-\d+\.ckpt at epoch 0", resumed.log)
    assert tree.state == undisturbed(tree, epochs=5, mini_batch_size=1)
    assert '"Total Records Seen": {"sum": 100.0' in resumed.log


def undisturbed(tree: Tree, **hyperparameters: object) -> float:
    """The state of the same job, run from its start."""
    other = Tree(tree.root / "undisturbed")
    other.numbers("train", *range(1, 21))
    other.hyperparameters(**hyperparameters)
    assert other.train().code == 0
    return other.state


def test_killed_in_mid_epoch_and_restarted_gives_the_undisturbed_model(tree: Tree) -> None:
    tree.hyperparameters(epochs=2, mini_batch_size=1)
    tree.kill_at("toy-0.1-*.ckpt")
    assert not tree.model.exists() or not any(tree.model.iterdir())
    resumed = tree.train()
    assert " at epoch 1" in resumed.log
    assert tree.state == undisturbed(tree, epochs=2, mini_batch_size=1)


def test_a_checkpoint_of_other_hyperparameters_is_left_out(tree: Tree) -> None:
    tree.checkpoints()
    tree.hyperparameters(epochs=2)
    assert tree.train().code == 0
    tree.hyperparameters(epochs=3)
    ended = tree.train()
    assert "is of a job with other hyperparameters" in ended.log
    assert "Checkpoint loaded" not in ended.log
    assert tree.state == undisturbed(tree, epochs=3)


def test_a_second_sigterm_ends_at_once(tree: Tree) -> None:
    tree.checkpoints()
    with tree.held("*.ckpt") as (process,):
        while process.poll() is None:  # one that comes before the first was taken is one with it
            process.send_signal(signal.SIGTERM)
            time.sleep(0.05)
    assert end(process).code == 128 + signal.SIGTERM


def test_sigint_before_training_ends_well_with_an_empty_model_folder(tree: Tree) -> None:
    hosts = {"current_host": "localhost", "hosts": ["127.0.0.1", "localhost"]}
    tree.write("input/config/resourceconfig.json", hosts)  # whose other host never comes
    process = tree.start(OPTML_PORT="1")
    read_until(process, "Number of GPUs being used")
    process.send_signal(signal.SIGINT)
    ended = end(process)
    assert ended.code == 0
    assert "there is no model" in ended.last
    assert not tree.model.exists() or not any(tree.model.iterdir())


def test_early_stopping_publishes_the_best_state(tree: Tree) -> None:
    tree.hyperparameters(epochs=10, patience=2, mini_batch_size=5)
    tree.numbers("validation", 165)
    ended = tree.train()
    assert ended.code == 0, ended.log
    losses = [float(text) for text in re.findall(r"validation loss=(\S+)", ended.log)]
    states = [float(text) for text in re.findall(r"train state=(\S+)", ended.log)]
    assert len(losses) < 10
    assert losses[-3] == min(losses)
    assert tree.state == states[losses.index(min(losses))]
    assert not list(Path("/tmp").glob("optml-*/toy-0.best.ckpt"))


def test_rounds_are_counted_in_updates(tree: Tree) -> None:
    tree.hyperparameters(epochs=2, round=7, mini_batch_size=2)
    tree.numbers("validation", 1)
    log = tree.train().log
    assert len(re.findall(r"validation loss=", log)) == 3  # after 7, 14 and, at the end, 20 updates


def test_a_model_channel_is_where_training_starts(tree: Tree) -> None:
    tree.write("input/data/model/weights", "100.0")
    tree.numbers("train", 1)
    assert tree.train().code == 0
    assert tree.state == 0.9 * 100 + 1


def test_a_model_of_another_algorithm_names_both(tree: Tree) -> None:
    tree.write("input/data/model/model.json", {"algorithm": "kmeans"})
    assert tree.train().code == 2
    assert tree.failure.startswith(
        "ClientError: channel 'model' holds a model of kmeans, but this job trains toy"
    )


def test_an_objective_that_is_nan_fails(tree: Tree) -> None:
    tree.hyperparameters(_tuning_objective_metric="train:final")
    tree.numbers("train", "nan")
    assert tree.train().code == 2
    assert tree.failure.startswith("ClientError: metric train:final is nan at the end of training")
    assert not any(tree.model.iterdir())


@pytest.mark.parametrize(
    ("argument", "said"), [("--help", "usage: python -m optml.container"), ("--version", "optml ")]
)
def test_help_and_version_answer_and_end(tree: Tree, argument: str, said: str) -> None:
    ended = tree.train("-m", "optml.container", argument)
    assert ended.code == 0
    assert ended.log.startswith(said)


@pytest.mark.parametrize("arguments", [(), ("anything",), ("train", "--more", "x")])
def test_training_starts_where_hyperparameters_are_given(tree: Tree, arguments: tuple[str, ...]) -> None:
    tree.hyperparameters(nonsense=1)
    ended = tree.train("-m", "optml.container", *arguments, OPTML_ALGORITHM="kmeans")
    assert ended.code == 2
    assert "hyperparameter 'nonsense' is unknown" in tree.failure

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from optml.algorithms.random_cut_forest.model import Model, load, recognises
from optml.errors import UserError
from optml.formats.records import Records
from tests.algorithms.random_cut_forest.training import fit

ROWS = np.random.default_rng(0).integers(0, 20, size=(3000, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> Model:
    return fit(ROWS, num_samples_per_tree=40)


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    model.save(tmp_path)
    return tmp_path


def test_a_loaded_model_gives_the_very_same_scores(model: Model, folder: Path) -> None:
    again = load(folder, "cpu")
    np.testing.assert_array_equal(again.scores(ROWS), model.scores(ROWS))
    assert again.width == 2
    assert again.hyperparameters["num_trees"] == 50


def test_the_artifact_leaves_out_what_follows_from_it(model: Model, folder: Path) -> None:
    size = (folder / "model.safetensors").stat().st_size
    assert size < model.forest.nbytes - model.forest.boxes.nbytes + 1000


def test_the_description_says_which_scores_are_high(model: Model, folder: Path) -> None:
    facts = json.loads((folder / "model.json").read_text())["facts"]
    scores = model.scores(ROWS)
    summary = facts["training_score"]
    assert (facts["rows_seen"], facts["samples_per_tree"]) == (3000, 40)
    assert summary["mean"] == pytest.approx(scores.mean(), rel=0.02)  # of the 2,000 rows sampled
    high = summary["mean"] + 3 * summary["standard_deviation"]
    assert summary["mean_plus_3_standard_deviations"] == pytest.approx(high)


def test_another_width_is_refused(model: Model) -> None:
    with pytest.raises(UserError, match="record 1 has 3 values, but the model was trained with 2 features"):
        model.predict(Records(np.zeros((1, 3), np.float32)), {})


def damage(folder: Path, name: str, change: object) -> None:
    arrays = load_file(folder / "model.safetensors")
    arrays[name] = change(arrays[name])  # type: ignore[operator]
    save_file(arrays, folder / "model.safetensors")


def put(place: object, value: object) -> object:
    def change(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[place] = value  # type: ignore[index]
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("children", put((0, 0), 0), "children are not those of their tree"),
        ("children", put((0, 0), 10**6), "children are not those of their tree"),
        ("children", put((0, 1), -(10**6)), "children are not those of their tree"),
        ("children", lambda array: put((1, 0), array[1, 1])(array), "has two parents"),
        ("leaf_masses", lambda array: put(3, array[3] + 1)(array), "do not add up to its 40 rows"),
        ("cut_dimensions", put(0, 2), "cut dimensions or masses out of range"),
        ("leaf_masses", put(0, 0), "cut dimensions or masses out of range"),
        ("points", put((0, 0), np.nan), "not finite"),
        ("points", lambda array: array.astype(np.float64), "expected int64, float32"),
        ("points", lambda array: array[:-1], "do not fit"),
        ("points", lambda array: array.ravel(), "points of shape"),
        ("tree_offsets", put(1, -1), "no ascending places"),
        ("cut_values", lambda array: array[:-1], "do not fit"),
    ],
)
def test_a_damaged_forest_is_refused_not_walked(
    folder: Path, name: str, change: object, message: str
) -> None:
    damage(folder, name, change)
    with pytest.raises(UserError, match=message):
        load(folder, "cpu")


def test_a_description_without_the_rows_of_a_tree_is_refused(folder: Path) -> None:
    description = json.loads((folder / "model.json").read_text())
    del description["facts"]["samples_per_tree"]
    (folder / "model.json").write_text(json.dumps(description))
    with pytest.raises(UserError, match="samples_per_tree is None; expected a number >= 1"):
        load(folder, "cpu")


def test_models_of_aws_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "model_algo-1").write_bytes(b"\x00\x01")
    assert not recognises(tmp_path)
    with pytest.raises(UserError, match=r"found model_algo-1\..*not public: train anew"):
        load(tmp_path, "cpu")

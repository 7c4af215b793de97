"""A model saved and loaded, and pictures of its forecasts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from optml.algorithms.forecasting_deepar.levels import Levels
from optml.algorithms.forecasting_deepar.model import Model, load
from optml.errors import UserError
from tests.algorithms.forecasting_deepar.networks import JSON, ask, decode, instance, model


@pytest.fixture(scope="module")
def made() -> Model:
    return model()


def test_a_saved_model_forecasts_the_same(made: Model, tmp_path: Path) -> None:
    made.save(tmp_path)
    loaded = load(tmp_path, "cpu")
    assert ask(loaded, instance()) == ask(made, instance())
    facts = json.loads((tmp_path / "model.json").read_text())["facts"]
    assert facts["cardinality"] == [2, 3]
    assert facts["calendar"] == ["hour_of_day", "day_of_week", "day_of_month", "day_of_year"]
    assert facts["lags"][:8] == [1, 2, 3, 4, 5, 6, 7, 23]


def test_levels_are_saved_with_a_model_and_checked(made: Model, tmp_path: Path) -> None:
    cats = np.array([[0, 0], [1, 2]])
    values = np.array([2, 500], np.float32)
    levels = Levels(values, values, cats)
    Model(made.parameters, made.facts, made.arrays, levels).save(tmp_path)
    loaded = load(tmp_path, "cpu")
    assert loaded.levels is not None
    assert loaded.levels.arrays().keys() == levels.arrays().keys()
    assert loaded.arrays.keys() == made.arrays.keys()
    new = [instance(0, target=[], cat=cat) for cat in cats.tolist()]
    low, high = (one["mean"] for one in ask(loaded, *new)["predictions"])
    assert np.abs(high).max() > 50 * np.abs(low).max()
    Model(made.parameters, made.facts, made.arrays, Levels(values, values, cats[:, :1])).save(tmp_path)
    with pytest.raises(UserError, match="levels, level_means, level_cats are not those of 2 cat"):
        load(tmp_path, "cpu")


def test_new_series_are_forecast_the_same_in_any_company_and_piece(
    made: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.array([2, 30, 500], np.float32)
    levels = Levels(values, values * [1, -1, 1], np.array([[0, 0], [0, 0], [1, 2]]))
    leveled = Model(made.parameters, made.facts, made.arrays, levels)
    new = [
        instance(length, target=[value] * length, cat=cat)
        for length, value, cat in ((0, 0, [0, 0]), (3, None, [1, 2]), (40, 0, [0, 1]), (2, 5.0, [0, 0]))
    ]
    whole = ask(leveled, *new, num_samples=7, output_types=["samples"])["predictions"]
    monkeypatch.setattr("optml.algorithms.forecasting_deepar.model.APART", 12_000)  # a few paths at a time
    for company in (new, new[::-1], new[2:], new[:1]):
        answers = ask(leveled, *company, num_samples=7, output_types=["samples"])["predictions"]
        for one, answer in zip(company, answers, strict=True):
            np.testing.assert_allclose(answer["samples"], whole[new.index(one)]["samples"], rtol=1e-4)
    assert len({tuple(path) for one in whole[:3] for path in one["samples"]}) == 21


def test_a_damaged_model_is_named(made: Model, tmp_path: Path) -> None:
    made.save(tmp_path)
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace('"num_dynamic_feat": 1', '"num_dynamic_feat": 2'))
    with pytest.raises(
        UserError, match=r"array 'lstm_l_0i2h_weight' has shape \[32, 53\], expected \[32, 54\]"
    ):
        load(tmp_path, "cpu")
    (tmp_path / "model.json").write_text(text.replace('"likelihood": "student-T"', '"likelihood": "beta"'))
    with pytest.raises(UserError, match="lacks the array 'alpha_Noneproj_weight'"):
        load(tmp_path, "cpu")


@pytest.mark.parametrize("frequency", ["H", "M"])
def test_forecasts_are_drawn(tmp_path: Path, frequency: str) -> None:
    pytest.importorskip("matplotlib")
    from optml.algorithms.forecasting_deepar.picture import draw

    drawn = model(time_freq=frequency)
    request = decode(json.dumps({"instances": [instance(), instance(2)] * 4}).encode(), JSON, drawn)
    assert draw(drawn, request, tmp_path / "a.png") == "forecasts of the first 6 of 8 series"
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")

import json

import numpy as np
import pytest

from optml.algorithms import registry
from optml.formats.images import record
from optml.local.commands import picture
from optml.local.tree import Input
from tests.algorithms.seq2seq.sample import copies
from tests.serving import every

SERIES = [
    {"start": "2016-01-01 00:00:00", "target": [1.0 + step % 5 for step in range(length)], "cat": [1]}
    for length in (2, 20, 30)
]
TEXTS = {
    "blazingtext": "__label__0 good film\n__label__1 bad film\nno label\n",
    "blazingtext words": "good film\nbad film\n",
    "ipinsights": "user,10.0.0.1\nother,10.0.0.2\n",
    "object2vec": '{"label": 1, "in0": [1, 2], "in1": [3]}\n{"label": 0, "in0": [4], "in1": [5]}\n',
    "forecasting-deepar": "".join(json.dumps(series) + "\n" for series in SERIES),
}


@pytest.fixture
def series(tmp_path):
    values = np.sin(np.arange(300) / 9)
    values[100] = 7
    np.savetxt(tmp_path / "series.csv", values)
    return tmp_path / "series.csv"


def test_training_draws_what_the_model_sees(optml, series, tmp_path):
    pytest.importorskip("matplotlib")
    words = ("-p", "num_trees=50", "--picture", tmp_path / "anomalies.png")
    code, out, _ = optml(
        "train", "randomcutforest", "--train", series, "--model-dir", tmp_path / "out", *words
    )
    assert code == 0
    assert f"picture: {tmp_path / 'anomalies.png'} (" in out
    assert "of 300 rows score above" in out
    assert (tmp_path / "anomalies.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("slug", "name", "said"),
    [
        ("kmeans", "a.svg", "the name of a picture ends in .png"),
        ("randomcutforest", "a.jpg", "the name of a picture ends in .png"),
        ("randomcutforest", "nowhere/a.png", "there is no folder"),
    ],
)
def test_what_cannot_be_drawn_is_told_before_training(optml, series, tmp_path, slug, name, said):
    picture = tmp_path / name
    code, _, err = optml(
        "train", slug, "--train", series, "--model-dir", tmp_path / "out", "--picture", picture
    )
    assert code == 2
    assert said in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", every.NAMES)
def test_data_of_a_job_are_drawn_for_every_algorithm(tmp_path, name):
    pytest.importorskip("matplotlib")
    algorithm = registry.get(every.slug(name))
    (tmp_path / "model").mkdir()
    every.served(name).model.save(tmp_path / "model")
    text = TEXTS.get(name)
    if name in every.PICTURES:
        content = every.request(name, "image/png")
        with (tmp_path / "data.rec").open("wb") as file:
            label = [1.0] if name == "image-classification" else [2, 5, 1, 0.2, 0.2, 0.6, 0.7]
            image = record.Image(np.array(label, np.float32), 0, content, vector=len(label) > 1)
            record.write([image] * 7, file)
        inputs = {"train": Input([tmp_path / "data.rec"])}
        said = picture.draw(algorithm, tmp_path / "model", inputs, tmp_path / "a.png", {})
        assert said.startswith("7 pictures")
        return
    if text is None:
        labels = (
            every.ROWS[:, :1] % 2 if algorithm.training.channel("train").label_size else every.ROWS[:, :0]
        )
        text = "".join(",".join(f"{v:g}" for v in row) + "\n" for row in np.hstack([labels, every.ROWS]))
    if name == "seq2seq":
        (tmp_path / "data").write_bytes(copies(5))
    else:
        (tmp_path / "data").write_text(text)
    inputs = {"train": Input([tmp_path / "data"], None if name in (*TEXTS, "seq2seq") else "text/csv")}
    said = picture.draw(algorithm, tmp_path / "model", inputs, tmp_path / "a.png", {})
    assert said.endswith("of channel 'train'")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    expected = {
        "blazingtext": "over 2 records",
        "forecasting-deepar": "forecasts of 2 series",
        "ipinsights": "2 pairs",
        "object2vec": "a map of 4 embeddings; accuracy",
        "seq2seq": "the attention of 4 translations",
        "knn": "accuracy",
        "kmeans": "40 rows",
    }
    assert expected.get(name, "") in said


def test_held_out_records_are_drawn_before_those_of_training(tmp_path):
    pytest.importorskip("matplotlib")
    for name, rows in {"train": 40, "test": 7}.items():
        np.savetxt(tmp_path / f"{name}.csv", every.ROWS[:rows], delimiter=",", fmt="%g")
    every.served("kmeans").model.save(tmp_path / "model")
    inputs = {name: Input([tmp_path / f"{name}.csv"]) for name in ("train", "test")}
    said = picture.draw(registry.get("kmeans"), tmp_path / "model", inputs, tmp_path / "a.png", {})
    assert said.startswith("7 rows")
    assert said.endswith("of channel 'test'")


def test_a_column_of_weights_is_no_feature(tmp_path):
    pytest.importorskip("matplotlib")
    rows = np.column_stack([every.ROWS[:, 0] // 3, np.ones(40), every.ROWS])
    np.savetxt(tmp_path / "train.csv", rows, delimiter=",", fmt="%g")
    every.served("xgboost").model.save(tmp_path / "model")
    inputs = {"train": Input([tmp_path / "train.csv"], "text/csv;label_size=1")}
    given = {"csv_weights": "1"}
    said = picture.draw(registry.get("xgboost"), tmp_path / "model", inputs, tmp_path / "a.png", given)
    assert said.endswith("of channel 'train'")

import numpy as np
import pytest


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
        ("kmeans", "a.png", "--picture: K-Means draws none"),
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

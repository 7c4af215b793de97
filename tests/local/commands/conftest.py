import numpy as np
import pytest

from optml.local import cli


@pytest.fixture
def optml(capfd):
    """Run a command line; returns its exit code, standard output and error."""

    def run(*words):
        capfd.readouterr()
        code = cli.main([str(word) for word in words])
        return code, *capfd.readouterr()

    return run


@pytest.fixture(scope="session")
def blobs():
    """(400, 3) float32: four well separated groups of a hundred points."""
    random = np.random.default_rng(0)
    centers = np.array([[0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 10]])
    rows = np.repeat(centers, 100, axis=0) + random.normal(size=(400, 3)) / 10
    return random.permutation(rows).astype(np.float32)


@pytest.fixture(scope="session")
def table(blobs, tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "blobs.csv"
    np.savetxt(path, blobs, delimiter=",", fmt="%.9g")
    return path


@pytest.fixture(scope="session")
def model(table, tmp_path_factory):
    """A model folder of K-Means with four centers among the blobs."""
    folder = tmp_path_factory.mktemp("model") / "out"
    words = ["train", "kmeans", "--train", str(table), "-p", "k=4", "--model-dir", str(folder)]
    assert cli.main(words) == 0
    return folder

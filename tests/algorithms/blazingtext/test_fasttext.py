"""fastText itself opens our models, and we its: in an environment of its own, for it fails with NumPy 2.

OPTML_FASTTEXT names a Python that has fastText; without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optml.algorithms.blazingtext import ALGORITHM
from optml.algorithms.blazingtext.classifier import Texts
from optml.algorithms.blazingtext.vectors import Lookup
from tests.algorithms.blazingtext.sample import topics
from tests.algorithms.blazingtext.test_learner import LABELS, VECTORS, trained

PYTHON = os.environ.get("OPTML_FASTTEXT", "")
pytestmark = pytest.mark.skipif(not PYTHON, reason="OPTML_FASTTEXT names no Python with fastText")
LINES = [*topics(20, False, seed=5).splitlines(), "unheard words only", "cat1 unheard of"]
WORDS = ["cat1", "sea3", "unheard", "é"]


def fasttext(script: str, *arguments: object) -> Any:
    """What a script prints as JSON; `fasttext`, `sys` and `json` are imported."""
    command = [PYTHON, "-c", f"import json, sys, fasttext\n{script}", *map(str, arguments)]
    return json.loads(
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    )


def test_it_predicts_with_our_classifier_as_we_do(tmp_path: Path) -> None:
    model, _ = trained(topics(300, True), **LABELS).finish()
    model.save(tmp_path)
    script = (
        "m = fasttext.load_model(sys.argv[1])\n"
        "print(json.dumps([[list(l), list(p)] for l, p in zip(*m.predict(json.loads(sys.argv[2]), k=2))],"
        " default=float))"
    )
    theirs = fasttext(script, tmp_path / "model.bin", json.dumps(LINES))
    ours = model.predict(Texts([line.encode() for line in LINES], [2] * len(LINES)), {})
    for (labels, likely), mine, p in zip(theirs, ours["label"], ours["prob"], strict=True):
        assert labels == mine
        np.testing.assert_allclose(likely, p, atol=1.1e-5)  # it adds 1e-5 to each


@pytest.mark.parametrize("given", [{"mode": "skipgram"}, {"mode": "cbow", "subwords": True, "buckets": 5000}])
def test_it_finds_the_vectors_in_our_file(tmp_path: Path, given: dict[str, Any]) -> None:
    model, _ = trained(topics(300, False), **(VECTORS | given)).finish()
    model.save(tmp_path)
    script = (
        "m = fasttext.load_model(sys.argv[1])\n"
        "print(json.dumps([m.get_word_vector(w).tolist() for w in json.loads(sys.argv[2])]))"
    )
    theirs = fasttext(script, tmp_path / "vectors.bin", json.dumps(WORDS))
    ours = model.predict(Lookup([word.encode() for word in WORDS]), {})["vector"]
    np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("settings", "exact"),
    [
        ({"loss": "softmax"}, True),
        ({"loss": "softmax", "maxn": 4, "minn": 2}, True),
        ({"loss": "hs"}, True),
        ({"loss": "ova"}, False),
        ({"loss": "ns"}, False),
        ({"loss": "softmax", "quantize": {"qnorm": False}}, True),
        ({"loss": "softmax", "quantize": {"qnorm": True, "cutoff": 300, "retrain": False}}, True),
        ({"loss": "softmax", "quantize": {"dsub": 3}}, True),
    ],
)
def test_we_predict_with_its_classifiers_as_it_does(
    tmp_path: Path, settings: dict[str, Any], exact: bool
) -> None:
    (tmp_path / "train.txt").write_text(topics(600, True))
    quantize = settings.pop("quantize", None)
    script = (
        "m = fasttext.train_supervised(sys.argv[1], dim=10, wordNgrams=2, bucket=1000, epoch=10, thread=1,"
        " verbose=0, **json.loads(sys.argv[3]))\n"
        "q = json.loads(sys.argv[4])\n"
        "m.quantize(input=sys.argv[1], **q) if q is not None else None\n"
        "m.save_model(sys.argv[2])\n"
        "print(json.dumps([[list(l), list(p)] for l, p in zip(*m.predict(json.loads(sys.argv[5]), k=2))],"
        " default=float))"
    )
    name = tmp_path / ("model.ftz" if quantize else "model.bin")
    theirs = fasttext(
        script, tmp_path / "train.txt", name, json.dumps(settings), json.dumps(quantize), json.dumps(LINES)
    )
    model: Any = ALGORITHM.inference.load(tmp_path, "cpu")
    ours = model.predict(Texts([line.encode() for line in LINES], [2] * len(LINES)), {})
    for (labels, likely), mine, p in zip(theirs, ours["label"], ours["prob"], strict=True):
        assert labels == mine
        # It adds 1e-5 to probabilities, and looks the logistic function up in a table of 512 values.
        np.testing.assert_allclose(likely, p, atol=5e-5 if exact else 0.01)


def test_its_file_begins_as_ours_does(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("__label__a x y\n__label__b z\n")
    script = (
        "m = fasttext.train_supervised(sys.argv[1], dim=3, bucket=1000, minCount=1, wordNgrams=2)\n"
        "m.save_model(sys.argv[2])\nprint(json.dumps(m.get_sentence_vector('x z').tolist()))"
    )
    fasttext(script, tmp_path / "train.txt", tmp_path / "theirs.bin")
    given = LABELS | {"vector_dim": 3, "buckets": 1000}
    trained("__label__a x y\n__label__b z\n", **given).finish()[0].save(tmp_path)
    ours, theirs = (tmp_path / "model.bin").read_bytes(), (tmp_path / "theirs.bin").read_bytes()
    assert ours[:8].hex() == theirs[:8].hex() == "ba164f2f0c000000"
    assert len(ours) == len(theirs)

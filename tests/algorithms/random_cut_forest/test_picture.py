from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optml.algorithms.random_cut_forest import ALGORITHM
from optml.formats.records import Records
from tests.algorithms.random_cut_forest.training import fit

pytest.importorskip("matplotlib")


@pytest.mark.parametrize("width", [1, 4])
def test_a_series_its_scores_and_the_threshold_are_drawn(tmp_path: Path, width: int) -> None:
    series = np.sin(np.arange(600, dtype=np.float32) / 9)
    series[300] = 9
    rows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(series, width))
    assert ALGORITHM.inference.picture is not None
    sentence = ALGORITHM.inference.picture(fit(rows), Records(rows), tmp_path / "anomalies.png")
    assert f" of {len(rows)} rows score above " in sentence
    assert int(sentence.split()[0]) >= 1
    assert (tmp_path / "anomalies.png").read_bytes().startswith(b"\x89PNG")

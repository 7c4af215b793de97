from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array

from optml.container import spill
from optml.container.spill import Spill
from optml.formats.records import Origin, Records

RNG = np.random.default_rng(0)
DENSE = Records(
    RNG.random((5, 3), dtype=np.float32),
    labels=RNG.random((5, 1)),
    weights=RNG.random(5, dtype=np.float32),
    origins=((0, Origin("train/a", 7, "row")),),
)
SPARSE = Records(csr_array(random_array((4, 900), density=0.01, rng=1, format="csr", dtype=np.float32)))
NOTHING = Records(csr_array((2, 3), dtype=np.float32))


def test_what_is_kept_is_what_was_passed_on(tmp_path: Path) -> None:
    kept = Spill(tmp_path)
    blocks = [DENSE, SPARSE, NOTHING]
    assert list(kept.keep(blocks)) == blocks
    assert kept.complete
    for _ in range(2):
        dense, sparse, nothing = kept.blocks()
        np.testing.assert_array_equal(dense.features, DENSE.features)
        np.testing.assert_array_equal(dense.labels, DENSE.labels)
        np.testing.assert_array_equal(dense.weights, DENSE.weights)
        assert dense.where(1) == "row 8 of train/a"
        assert isinstance(sparse.features, csr_array)
        np.testing.assert_array_equal(sparse.dense(), SPARSE.dense())
        assert sparse.features.indices.dtype == SPARSE.features.indices.dtype
        assert nothing.features.shape == (2, 3)
        assert nothing.labels is None
    assert list(tmp_path.iterdir()) == []


def test_a_pass_that_ends_early_is_forgotten(tmp_path: Path) -> None:
    kept = Spill(tmp_path)
    for _ in kept.keep([DENSE, DENSE]):
        break
    assert not kept.complete
    early = kept._file
    list(kept.keep([DENSE]))
    assert kept.complete
    assert len(list(kept.blocks())) == 1
    assert early is not None
    assert early.closed  # its space is free


def test_a_full_disk_costs_a_warning_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spill, "RESERVE", 1 << 80)
    kept = Spill(tmp_path)
    assert len(list(kept.keep([DENSE, SPARSE]))) == 2
    assert not kept.complete
    assert len(caplog.records) == 1
    assert "every epoch parses them anew" in caplog.text
    assert len(list(kept.keep([DENSE]))) == 1


class Full(io.BytesIO):
    """A file whose disk has room for its buffer alone."""

    def __init__(self, dir: Path) -> None:  # noqa: A002  # as tempfile calls it
        super().__init__()

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_turns_out_full_costs_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spill.tempfile, "TemporaryFile", Full)
    kept = Spill(tmp_path)
    assert len(list(kept.keep([DENSE, SPARSE]))) == 2
    assert not kept.complete
    assert "No space left on device" in caplog.text

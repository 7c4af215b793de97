from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from optml.algorithms.factorization_machines import parameters
from optml.errors import UserError
from optml.formats.records import Records
from tests.algorithms.factorization_machines.training import learner, sparse


def test_a_hundred_million_features_cost_what_occurs_of_them() -> None:
    rng = np.random.default_rng(0)
    indices = np.sort(rng.integers(0, 10**8, (1000, 3)), axis=1).astype(np.int32)
    features = csr_array(
        (np.ones(3000, np.float32), indices.ravel(), np.arange(0, 3001, 3)), shape=(1000, 10**8)
    )
    state = learner(10**8, num_factors=64)
    state.update(Records(features, rng.normal(size=(1000, 1))))
    assert state.parameters.state.rows.nbytes < 4 << 20
    model = state.model()
    assert model is not None
    assert model.ids is not None
    assert len(model.ids) == len(np.unique(indices))


def test_what_does_not_fit_is_said_in_numbers_first(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr("optml.memory.available", lambda device: 10_000)
    caplog.set_level(logging.INFO, "optml")
    state = learner(10**8, num_factors=64)
    assert "780 bytes" in caplog.text
    assert "72.6 GiB if all 100000000" in caplog.text
    features, labels = sparse(60, 30)
    wide = csr_array((features.data, features.indices, features.indptr), shape=(60, 10**8))
    with pytest.raises(
        UserError,
        match=r"30 features occur.* 22.9 KiB, but this machine has 9.77 KiB of",
    ):
        state.update(Records(wide, labels[:, None]))
    with pytest.raises(UserError, match=r"num_factors=1000: .* a single feature .* 11\.7 KiB, but this"):
        learner(3, num_factors=1000)
    with pytest.raises(UserError, match=r"has 9\.77 KiB"):
        learner(1000).update(Records(np.ones((2, 1000), np.float32), np.ones((2, 1))))


def test_batches_of_more_values_than_can_be_numbered_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters, "MOST", 100)
    features, labels = sparse()
    with pytest.raises(UserError, match=r"holds 360 values, more than 100: lower mini_batch_size"):
        learner(30).update(Records(features, labels[:, None]))


def test_rows_and_moments_outlive_the_growth_of_their_table() -> None:
    state = learner(5000, factors_lr=0.1)
    for first, last in ((0, 10), (10, 3000)):  # beyond twice what the first batch made room for
        before = [getattr(state.parameters.state, name)[:first].copy() for name in parameters.ARRAYS]
        row = csr_array(
            (np.ones(last - first, np.float32), ([0] * (last - first), range(first, last))), (1, 5000)
        )
        state.update(Records(row, np.ones((1, 1))))
        after = [getattr(state.parameters.state, name)[:first] for name in parameters.ARRAYS]
        np.testing.assert_array_equal(after, before)
    assert all(array.any() for array in before)

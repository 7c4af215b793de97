from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from optml.algorithms.linear_learner.hyperparameters import Hyperparameters
from optml.algorithms.linear_learner.scaler import Scaler
from optml.container.group import Alone
from optml.formats.records import Records
from tests.algorithms.hosts import on_hosts

RNG = np.random.default_rng(0)
ROWS = ((RNG.normal(size=(300, 5)) * [1, 1e-3, 1e3, 1, 0] + [0, 0, 1e6, 7, 3]) * [1, 1, 1, 0, 1]).astype(
    np.float32
)
LABELS = RNG.integers(3, size=300).astype(float)


def batches(rows: object = ROWS) -> list[Records]:
    whole = Records(rows, LABELS[:, None])
    return [whole[:100], whole[100:170], whole[170:]]


def regressor(**options: object) -> Hyperparameters:
    return Hyperparameters.model_validate({"predictor_type": "regressor"} | options)


def test_means_and_deviations_are_those_of_the_rows() -> None:
    scaler = Scaler.fit(batches(), 5, 3, Alone())
    exact = ROWS.astype(np.float64)
    np.testing.assert_allclose(scaler.mean, exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaler.stdev[:3], exact.std(axis=0)[:3], rtol=1e-9)
    np.testing.assert_allclose(scaler.label, [LABELS.mean(), LABELS.std()])
    np.testing.assert_array_equal(scaler.counts, np.bincount(LABELS.astype(int)))


def test_constant_features_are_divided_by_1() -> None:
    scaler = Scaler.fit(batches(), 5, 0, Alone())
    np.testing.assert_array_equal(scaler.stdev[3:], 1)
    np.testing.assert_array_equal(scaler.still, [False, False, False, False, True])


def test_sparse_rows_give_the_same() -> None:
    sparse, dense = (Scaler.fit(batches(rows), 5, 3, Alone()) for rows in (csr_array(ROWS), ROWS))
    np.testing.assert_allclose(sparse.mean, dense.mean, rtol=1e-12)
    np.testing.assert_allclose(sparse.stdev, dense.stdev, rtol=1e-9)


def test_hosts_agree_on_what_one_would_find() -> None:
    parts = batches()
    shares = [parts[:1], parts[1:], []]
    alone = Scaler.fit(parts, 5, 3, Alone())
    for scaler in on_hosts(3, lambda cluster: Scaler.fit(shares[cluster.rank], 5, 3, cluster)):
        np.testing.assert_allclose(scaler.mean, alone.mean, rtol=1e-12)
        np.testing.assert_allclose(scaler.stdev, alone.stdev, rtol=1e-9)
        np.testing.assert_array_equal(scaler.counts, alone.counts)


def test_switches_turn_scaling_and_centring_off() -> None:
    scaler = Scaler.fit(batches(), 5, 0, Alone())
    plain = regressor(normalize_data=False, unbias_data=False, normalize_label=False, unbias_label=False)
    np.testing.assert_array_equal(scaler.shift(plain), 0)
    np.testing.assert_array_equal(scaler.scale(plain), 1)
    assert (scaler.label_shift(plain), scaler.label_scale(plain)) == (0, 1)
    assert scaler.label_shift(regressor(use_bias=False)) == 0
    np.testing.assert_array_equal(scaler.shift(regressor(use_bias=False)), 0)
    classes = Hyperparameters.model_validate({"predictor_type": "binary_classifier", "normalize_label": True})
    assert (scaler.label_shift(classes), scaler.label_scale(classes)) == (0, 1)

"""Exact PCA: the scatter matrix of the rows, added up in one pass, and its eigenvectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from optml.algorithms.cluster import Cluster
from optml.algorithms.device import Device, host
from optml.algorithms.kernels import gram
from optml.algorithms.pca.components import Components, rank, require_finite

DENSITY = 0.05  # share of values that are not 0, up to which the products of their pairs beat dense ones
PIECE = 1 << 23  # values of sparse rows that are made dense at a time


class Covariance:
    """State: n rows seen, a shift c, t = sum (x - c) and G = sum (x - c)^T (x - c), float64 (d,) and (d, d).

    The scatter matrix M = G - t^T t / n about the mean m = c + t / n does not depend on c, its rounding does:
    with a shift near the mean nothing is lost where the mean is large. So c is the mean of the first rows, or
    0 where they are sparse, which are added up in float64 anyway. Without centering M + n m^T m takes the
    place of M.
    """

    def __init__(self, width: int, device: Device, *, centered: bool) -> None:
        self.width = width
        self.device = device
        self.centered = centered
        self.rows = 0
        self.shift: np.ndarray | None = None  # (d,) float32; None: 0
        self._shift: Any = None  # the same where the state lives
        self.sums = device.put(np.zeros(width))
        self.gram = device.put(np.zeros((width, width)))

    def absorb(self, features: Any) -> None:
        """Take in (n, d) float32 rows, dense or `csr_array`."""
        if not features.shape[0]:
            return
        if isinstance(features, csr_array):
            self._absorb_sparse(features)
            return
        if not self.rows:
            self._move(features[: gram.BLOCK].mean(axis=0, dtype=np.float64).astype(np.float32))
        gram.accumulate(self.device.stage(features), self._shift, self.gram, self.sums)
        self.rows += len(features)

    def _absorb_sparse(self, features: Any) -> None:
        sparse = features.nnz <= DENSITY * features.shape[0] * self.width
        if sparse and self.shift is None and self.device.name == "cpu":
            gram.accumulate_sparse(features, self.gram, self.sums)
            self.rows += features.shape[0]
            return
        size = max(1, PIECE // self.width)
        for start in range(0, features.shape[0], size):
            self.absorb(features[start : start + size].toarray())

    def _move(self, shift: np.ndarray) -> None:
        self.shift = shift
        self._shift = self.device.put(shift)

    def merged(self, cluster: Cluster) -> Covariance:
        """The state of all hosts' rows. With m_h the mean of the n_h rows of host h and m that of all,
        M = sum_h M_h + n_h (m_h - m)^T (m_h - m)  (Chan, Golub, LeVeque: "Updating Formulae and a Pairwise
        Algorithm for Computing Sample Variances", 1979). Collectives."""
        if cluster.size == 1:
            return self
        mean, scatter = self._moments()
        counts = np.concatenate(cluster.gather(np.array([self.rows], np.int64)))
        means = np.stack(cluster.gather(mean))  # (hosts, d)
        total = int(counts.sum())
        everyone = Covariance(self.width, Device("cpu"), centered=self.centered)
        everyone.rows = total
        mean = counts @ means / max(total, 1)
        away = means[cluster.rank] - mean
        scatter += self.rows * np.outer(away, away)
        everyone._move(mean)  # sums of (x - mean) are 0
        cluster.all_sum(scatter)
        everyone.gram = scatter
        return everyone

    def components(self, count: int) -> Components:
        """The leading ones of M, by LAPACK's `syevd` in float64 on the CPU wherever M was added up: so signs
        are those of AWS's image, and the same on every device."""
        mean, scatter = self._moments()
        require_finite(scatter)
        if not self.centered:
            scatter += self.rows * np.outer(mean, mean)
        total = float(np.trace(scatter))
        values, vectors = np.linalg.eigh(scatter)  # ascending
        values = values[self.width - count :].clip(min=0)
        # Beyond the rank there is nothing but rounding.
        values[: max(count - rank(self.rows, self.width, centered=self.centered), 0)] = 0
        directions = vectors[:, self.width - count :]
        return Components(np.sqrt(values), directions, mean if self.centered else None, total, self.rows)

    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean m (d,), and M (d, d) in a new array, both float64."""
        upper = np.triu(host(self.gram))
        sums = host(self.sums)
        mean = sums / max(self.rows, 1)
        with np.errstate(over="ignore", invalid="ignore"):  # `components` tells of it
            upper -= np.outer(mean, sums)
        scatter = np.triu(upper)
        scatter += np.triu(upper, 1).T
        return (mean if self.shift is None else mean + self.shift), scatter

    def state_dict(self) -> dict[str, np.ndarray]:
        state = {
            "rows": np.array(self.rows),
            "sums": host(self.sums).copy(),
            "gram": host(self.gram).copy(),
        }
        return state if self.shift is None else state | {"shift": self.shift.copy()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.rows = int(state["rows"])
        self.sums = self.device.put(np.array(state["sums"]))
        self.gram = self.device.put(np.array(state["gram"]))
        if "shift" in state:
            self._move(np.array(state["shift"]))

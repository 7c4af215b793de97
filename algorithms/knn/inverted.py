"""Inverted lists, of vectors as they are or compressed: FAISS's own, trained, searched and kept by it.

J. Sivic and A. Zisserman, "Video Google", ICCV 2003, for the lists; H. Jegou, M. Douze and C. Schmid,
"Product quantization for nearest neighbor search", PAMI 33 (2011), for the compression of residuals.

FAISS is taken here because its scan of compressed lists is hard to beat; it runs on the CPU, also where the
flat index would be on a GPU. It is imported when it is needed, in the process that computes.
"""

from __future__ import annotations

import importlib
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np

from optml.errors import UserError

log = logging.getLogger(__name__)

KINDS = {b"IwFl": "faiss.IVFFlat", b"IwPQ": "faiss.IVFPQ"}
PER_LIST = 39  # training points per centroid, below which FAISS calls k-means badly trained
MOST = 256  # training points per centroid; of more FAISS takes a sample
CODES = 256  # centroids of a codebook of product quantization: a code is one byte
BITS = 8
LLOYD = 10  # k-means iterations for the centroids of the lists; the codebooks take FAISS's 25
ABSENT = -1  # what FAISS pads a list of neighbours with

PQ_M = (1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96)
MOST_PQ_M = 16


class Inverted:
    """index: a trained `faiss.IndexIVFFlat` or `faiss.IndexIVFPQ` that holds points."""

    arrays: dict[str, np.ndarray] = {}  # noqa: RUF012  nothing of it needs to be kept elsewhere

    def __init__(self, index: Any, kind: str, nprobe: int) -> None:
        self.kind = kind
        self.nprobe = nprobe
        self.width = int(index.d)
        self._index = index
        self.inner = index.metric_type == _faiss().METRIC_INNER_PRODUCT

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """As `Flat.search`, among the points of the `nprobe` lists nearest to each query: places are ABSENT
        where those hold fewer than k. Where they hold none at all, more lists are looked into."""
        k = min(k, len(self))
        values, places = self._search(queries, k, self.nprobe)
        probes = self.nprobe
        while probes < self._index.nlist and (unanswered := np.flatnonzero(places[:, 0] == ABSENT)).size:
            probes = min(4 * probes, self._index.nlist)
            values[unanswered], places[unanswered] = self._search(queries[unanswered], k, probes)
        order = np.lexsort((places, -values if self.inner else values, places == ABSENT))
        return np.take_along_axis(values, order, axis=1), np.take_along_axis(places, order, axis=1)

    def _search(self, queries: np.ndarray, k: int, nprobe: int) -> tuple[np.ndarray, np.ndarray]:
        probes = _faiss().SearchParametersIVF(
            nprobe=min(nprobe, self._index.nlist)
        )  # threads share the index
        values, places = self._index.search(np.ascontiguousarray(queries), k, params=probes)
        return values, places

    def save(self, path: Path) -> None:
        self._index.nprobe = min(self.nprobe, self._index.nlist)
        _faiss().write_index(self._index, str(path))


def build(
    points: np.ndarray,
    kind: str,
    *,
    inner: bool,
    spherical: bool,
    lists: int,
    parts: int,
    nprobe: int,
    seed: int,
) -> Inverted:
    """Train an index of so many lists on points (n, w) float32, and fill it.

    spherical: centroids are unit vectors, as the points are.   parts: bytes of a compressed vector, which
    divide w. Raises UserError where there are too few points for codebooks.
    """
    if kind == "faiss.IVFPQ" and len(points) < CODES:
        raise UserError(
            f"hyperparameter index_type is '{kind}', whose codebooks of 8 bits need at least {CODES} points, "
            f"but the sample holds {len(points)}: give more rows, or take index_type faiss.Flat"
        )
    faiss = _faiss()
    metric = faiss.METRIC_INNER_PRODUCT if inner else faiss.METRIC_L2
    width = points.shape[1]
    quantizer = faiss.IndexFlat(width, metric)
    if kind == "faiss.IVFPQ":
        index = faiss.IndexIVFPQ(quantizer, width, lists, parts, BITS, metric)
        _prepare(index.pq.cp, seed)
        if len(points) < PER_LIST * CODES:
            log.warning(
                "%d points are few for codebooks of %d vectors: from %d on they are trained well; with "
                "fewer, faiss.Flat is exact and as fast",
                len(points),
                CODES,
                PER_LIST * CODES,
            )
    else:
        index = faiss.IndexIVFFlat(quantizer, width, lists, metric)
    _prepare(index.cp, seed)
    index.cp.niter = LLOYD
    index.cp.spherical = spherical
    index.train(points)
    return Inverted(index, kind, nprobe)


def fill(inverted: Inverted, points: np.ndarray) -> None:
    """Add the points to a trained index; a warning tells of lists that stay empty."""
    index = inverted._index
    index.add(points)
    empty = sum(index.get_list_size(number) == 0 for number in range(index.nlist))
    if empty:
        log.warning(
            "%d of %d inverted lists stay empty: the points are fewer or more alike than the lists; lower "
            "faiss_index_ivf_nlists",
            empty,
            index.nlist,
        )


def list_count(lists: int | str, points: int) -> int:
    """Inverted lists for so many points: what was asked for, the square root for auto; fewer where lists
    would hold less than PER_LIST points."""
    most = max(1, points // PER_LIST)
    if lists == "auto":
        return min(max(1, math.isqrt(points)), most)
    if int(lists) > most:
        log.warning(
            "faiss_index_ivf_nlists is %s, but a list needs %d of the %d points: taking %d lists",
            lists,
            PER_LIST,
            points,
            most,
        )
    return min(int(lists), most)


def part_count(parts: int | None, width: int) -> int:
    """Bytes of a compressed vector of `width` numbers: what was asked for, else at most 16 and at most half
    the width; one that divides the width where one of 4 or more does."""
    if parts is not None:
        return parts
    fitting = [m for m in PQ_M if m <= min(MOST_PQ_M, max(1, width // 2))]
    dividing = [m for m in fitting if width % m == 0]
    return dividing[-1] if dividing[-1] >= 4 else fitting[-1]


def load(path: Path, kind: str, nprobe: int | None) -> Inverted:
    """Map a file that FAISS wrote; `nprobe` None: as it says. Raises UserError for one it cannot read."""
    faiss = _faiss()
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
    except (RuntimeError, MemoryError) as error:
        reason = str(error).rpartition("Error: ")[2].strip() or "unknown"
        raise UserError(f"{path} cannot be read by FAISS ({reason}): truncated, or no index") from None
    if not index.ntotal:
        raise UserError(f"{path} holds no vectors")
    _require_places(index, path)
    return Inverted(index, kind, nprobe or int(index.nprobe))


def _require_places(index: Any, path: Path) -> None:
    """FAISS believes whatever the lists say of their vectors' places."""
    lists = index.invlists
    count = 0
    for number in range(index.nlist):
        size = lists.list_size(number)
        count += size
        if not size:
            continue
        places = _faiss().rev_swig_ptr(lists.get_ids(number), size)
        if places.min() < 0 or places.max() >= index.ntotal:
            raise UserError(
                f"{path} is damaged: list {number} names a vector beyond the {index.ntotal} of it"
            )
    if count != index.ntotal:
        raise UserError(f"{path} is damaged: its lists hold {count} vectors, but it has {index.ntotal}")


def _prepare(clustering: Any, seed: int) -> None:
    clustering.seed = seed % (1 << 31)
    clustering.max_points_per_centroid = MOST
    clustering.min_points_per_centroid = 1  # we tell of it ourselves


def _faiss() -> Any:
    try:
        return importlib.import_module("faiss")
    except ImportError:
        raise UserError(
            "indexes faiss.IVFFlat and faiss.IVFPQ need the package faiss-cpu: install it (the extra 'knn'), "
            "or take index_type faiss.Flat"
        ) from None

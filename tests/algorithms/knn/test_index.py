"""Our indexes against FAISS's own."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optml.algorithms.kernels.topk import reference
from optml.algorithms.knn import index, inverted
from optml.algorithms.knn.flat import Flat
from optml.algorithms.knn.inverted import Inverted
from optml.errors import UserError

faiss = pytest.importorskip("faiss")


def normal(rows: int, width: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def lists(points: np.ndarray, kind: str = "faiss.IVFFlat", **options: Any) -> Inverted:
    settings = {"inner": False, "spherical": False, "lists": 20, "parts": 4, "nprobe": 5, "seed": 0} | options
    lists_of_points = inverted.build(points, kind, **settings)
    inverted.fill(lists_of_points, points)
    return lists_of_points


def recall(places: np.ndarray, nearest: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(places, nearest, strict=True)]))


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("queries", [3, 100])
def test_flat_finds_what_faiss_finds(tmp_path: Path, inner: bool, queries: int) -> None:
    points, rows = normal(3000), normal(queries, seed=1)
    ours = Flat(points, inner=inner)
    ours.save(tmp_path / "index")
    theirs = faiss.read_index(str(tmp_path / "index"))
    assert type(theirs) is (faiss.IndexFlatIP if inner else faiss.IndexFlatL2)
    distances, places = ours.search(rows, 10)
    expected, nearest = theirs.search(rows, 10)
    np.testing.assert_array_equal(places, nearest)
    np.testing.assert_allclose(distances, expected, rtol=1e-4)
    again = index.load(tmp_path / "index", nprobe=None, device="cpu", terms={})
    np.testing.assert_array_equal(again.search(rows, 10)[0], distances)


@pytest.mark.parametrize("inner", [False, True])
def test_flat_writes_the_bytes_of_faiss(tmp_path: Path, inner: bool) -> None:
    points = normal(5, 3)
    Flat(points, inner=inner).save(tmp_path / "index")
    theirs = faiss.IndexFlatIP(3) if inner else faiss.IndexFlatL2(3)
    theirs.add(points)
    assert (tmp_path / "index").read_bytes() == faiss.serialize_index(theirs).tobytes()


@pytest.mark.parametrize(
    ("kind", "inner"), [("faiss.IVFFlat", False), ("faiss.IVFFlat", True), ("faiss.IVFPQ", False)]
)
def test_lists_are_files_of_faiss(tmp_path: Path, kind: str, inner: bool) -> None:
    points, targets = normal(2000), normal(30, seed=1)
    ours = lists(points, kind, inner=inner, nprobe=7)
    ours.save(tmp_path / "index")
    distances, places = ours.search(targets, 5)
    theirs = faiss.read_index(str(tmp_path / "index"))
    assert theirs.nprobe == 7
    np.testing.assert_array_equal(theirs.search(targets, 5)[1], places)
    again = index.load(tmp_path / "index", nprobe=None, device="cpu", terms={})
    assert (again.kind, again.nprobe, len(again), again.inner) == (kind, 7, 2000, inner)
    np.testing.assert_array_equal(again.search(targets, 5)[0], distances)


@pytest.mark.parametrize("inner", [False, True])
def test_all_lists_give_what_flat_gives(inner: bool) -> None:
    points, targets = normal(2000), normal(50, seed=1)
    places = lists(points, inner=inner, nprobe=1000).search(targets, 10)[1]
    np.testing.assert_array_equal(places, Flat(points, inner=inner).search(targets, 10)[1])


def test_lists_lose_few_neighbours() -> None:
    rng = np.random.default_rng(0)
    centres = 2 * rng.normal(size=(60, 16))
    everything = (centres[rng.integers(60, size=4100)] + rng.normal(size=(4100, 16))).astype(np.float32)
    points, targets = everything[100:], everything[:100]
    nearest = reference(targets, points, 10, False)[1]
    # A smaller mixture than that of the specification, which benchmarks/knn.py measures as it is.
    assert recall(lists(points, lists=63).search(targets, 10)[1], nearest) > 0.95
    nearest = reference(targets, points[:1500], 10, False)[1]
    codes = lists(points[:1500], "faiss.IVFPQ", lists=38, parts=8)
    assert recall(codes.search(targets, 10)[1], nearest) > 0.6


def test_the_same_seed_gives_the_same_lists() -> None:
    points, targets = normal(1000), normal(20, seed=1)
    first, again, other = (lists(points, nprobe=1, seed=seed).search(targets, 9)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_short_lists_give_fewer_neighbours_and_empty_ones_are_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    points = np.repeat(np.array([[0.0], [1.0], [9.0]], np.float32), [3, 3, 2], axis=0)
    index_of_lists = lists(points, lists=3, nprobe=1)
    values, places = index_of_lists.search(np.array([[8.0]], np.float32), 5)
    assert places.tolist() == [[6, 7, -1, -1, -1]]
    np.testing.assert_allclose(values[0, :2], 1)
    same = np.zeros((200, 2), np.float32)
    with caplog.at_level(logging.WARNING, logger="optml"):
        alike = lists(same, lists=10, nprobe=1)
    assert "inverted lists stay empty" in caplog.text
    far = np.array([[1e3, 1e3]], np.float32)
    assert alike.search(far, 4)[1].tolist() == [[0, 1, 2, 3]]


def test_codebooks_need_points() -> None:
    with pytest.raises(
        UserError, match=r"need at least 256 points, but the sample holds 100: .* faiss\.Flat"
    ):
        lists(normal(100), "faiss.IVFPQ", lists=2)


@pytest.mark.parametrize(
    ("lists", "points", "count"), [("auto", 200_000, 447), ("auto", 100, 2), ("auto", 5, 1), (10, 1000, 10)]
)
def test_lists_are_as_many_as_the_points_fill(lists: int | str, points: int, count: int) -> None:
    assert inverted.list_count(lists, points) == count


def test_more_lists_than_points_fill_are_fewer_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert inverted.list_count(500, 1000) == 25
    assert "faiss_index_ivf_nlists is 500, but a list needs 39 of the 1000 points: taking 25" in caplog.text


@pytest.mark.parametrize(
    ("count", "width", "parts"),
    [(12, 5, 12), (None, 64, 16), (None, 20, 4), (None, 7, 3), (None, 31, 12), (None, 1, 1), (None, 24, 12)],
)
def test_parts_fit_the_width(count: int | None, width: int, parts: int) -> None:
    assert inverted.part_count(count, width) == parts


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:20], "is truncated: 20 bytes"),
        (lambda data: data[:-3], "is truncated or damaged"),
        (lambda data: data + b"\0", "is truncated or damaged"),
        (lambda data: b"IxXX" + data[4:], r"begins with b'IxXX'; expected IxF2"),
        (lambda data: data[:4] + b"\xff\xff\xff\xff" + data[8:], "is damaged"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, damage: Any, message: str) -> None:
    path = tmp_path / "index"
    Flat(normal(10), inner=False).save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=message):
        index.load(path, nprobe=None, device="cpu", terms={})


def test_damaged_lists_are_named(tmp_path: Path) -> None:
    path = tmp_path / "index"
    lists(normal(400)).save(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match=r"cannot be read by FAISS \(.*\): truncated, or no index"):
        index.load(path, nprobe=None, device="cpu", terms={})

"""Top words and the quality of topics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from optml.algorithms.topics import cooccurrence, topics
from optml.algorithms.topics.cooccurrence import Sample
from optml.algorithms.topics.topics import Topics
from optml.container.group import Alone
from tests.algorithms.hosts import on_hosts
from tests.algorithms.topics.documents import documents


def test_top_words_are_the_largest_of_each_column() -> None:
    projection = np.random.default_rng(0).normal(size=(50, 3))
    expected = np.argsort(-projection, axis=0)[:20].T
    np.testing.assert_array_equal(topics.top(projection), expected)
    assert topics.top(projection[:7]).shape == (3, 7)  # of few words, all


def test_uniqueness_is_the_share_of_lists() -> None:
    words = np.array([[0, 1, 2], [0, 3, 4], [0, 1, 5]])
    np.testing.assert_allclose(
        topics.uniqueness(words), [(1 / 3 + 1 / 2 + 1) / 3, (1 / 3 + 2) / 3, (1 / 3 + 1 / 2 + 1) / 3]
    )


def test_topics_that_share_most_of_their_words_are_alike() -> None:
    def alike(*words: list[int]) -> bool:
        return Topics(np.array(words), topics.uniqueness(np.array(words))).alike

    assert alike([0, 1, 2], [0, 1, 2])
    assert alike([0, 1, 2, 3], [0, 1, 2, 4], [0, 1, 2, 5])
    assert not alike([0, 1, 2], [0, 3, 4])
    assert not alike([0, 1, 2])


def test_cosines_are_means_over_pairs() -> None:
    vectors = np.array([[[1.0, 0], [2, 0], [0, 1]], [[1, 1], [0, 0], [1, 1]]])
    np.testing.assert_allclose(topics.cosines(vectors), [1 / 3, 1 / 3])


def test_mutual_information_by_its_definition() -> None:
    counts = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1]])
    sample = Sample(3, 0, 0)
    sample.add(csr_array(counts.astype(np.float32)))
    joint, n = cooccurrence.joint(sample, np.array([[0, 1, 2]]), Alone())
    assert n == 4
    np.testing.assert_array_equal(joint[0], counts.T @ counts)
    together = np.log((2 / 4) / ((3 / 4) * (2 / 4))) / -np.log(2 / 4)
    np.testing.assert_allclose(topics.mutual_information(joint, n), [(together - 1 - 1) / 3])


def test_words_always_together_have_the_most_information() -> None:
    assert topics.mutual_information(np.full((1, 2, 2), 5.0), 5).tolist() == [1.0]


def test_words_of_one_topic_have_similar_vectors() -> None:
    counts, _ = documents(words=400, n=600)
    sample = Sample(400, 0, 0)
    sample.add(counts)
    vectors = cooccurrence.vectors(sample, np.arange(400), Alone())
    assert vectors.shape == (400, 50)
    own = topics.cosines(vectors.reshape(4, 100, -1))
    mixed = topics.cosines(vectors.reshape(100, 4, -1, order="F"))
    assert own.min() > mixed.max() + 0.2


def test_few_words_have_short_vectors() -> None:
    sample = Sample(3, 0, 0)
    sample.add(csr_array(np.eye(3, dtype=np.float32)))
    assert np.isfinite(cooccurrence.vectors(sample, np.array([0, 2]), Alone())).all()


def test_words_never_together_have_vectors_too() -> None:
    sample = Sample(300, 0, 0)
    sample.add(csr_array(np.eye(300, dtype=np.float32)))
    assert not cooccurrence.vectors(sample, np.arange(5), Alone()).any()


def test_hosts_count_as_one() -> None:
    counts, _ = documents()
    groups = np.array([[0, 1, 40], [2, 3, 4]])
    alone = Sample(60, 0, 0)
    alone.add(counts)

    def host(cluster: object) -> tuple[np.ndarray, float, np.ndarray]:
        sample = Sample(60, 0, cluster.rank)  # type: ignore[attr-defined]
        sample.add(counts[cluster.rank :: 2])  # type: ignore[attr-defined]
        joint, n = cooccurrence.joint(sample, groups, cluster)  # type: ignore[arg-type]
        return joint, n, cooccurrence.vectors(sample, groups[0], cluster)  # type: ignore[arg-type]

    expected, n = cooccurrence.joint(alone, groups, Alone())
    for joint, found, vectors in on_hosts(2, host):
        np.testing.assert_array_equal(joint, expected)
        assert found == n
        np.testing.assert_allclose(
            np.abs(vectors), np.abs(cooccurrence.vectors(alone, groups[0], Alone())), atol=1e-4
        )


def test_a_sample_is_bounded_and_resumes_exactly() -> None:
    counts, _ = documents(n=400)

    def fill(sample: Sample, first: int, last: int) -> None:
        for start in range(first, last, 40):
            sample.add(counts[start : start + 40])

    whole = Sample(60, 0, 0, most=500)
    fill(whole, 0, 400)
    held = whole.matrix()
    assert 0 < held.nnz <= 500
    assert whole.share < 1
    first = Sample(60, 0, 0, most=500)
    fill(first, 0, 200)
    second = Sample(60, 0, 0, most=500)
    second.load_state_dict(first.state_dict())
    fill(second, 200, 400)
    assert (second.matrix() != held).nnz == 0
    assert second.matrix().shape == held.shape


def test_lines_are_as_aws_prints_them(tmp_path: Path) -> None:
    words, unique = np.array([[3, 1], [1, 2]]), np.array([0.75, 0.5])
    assert list(Topics(words, unique).lines()) == [
        "Topics from epoch:final (num_topics:2) [, tu 0.62]:", "3 1", "1 2",
    ]  # fmt: skip
    named = Topics(words, unique, np.array([0.25, 0.5]), np.array([0.1, 0.2]), ("a", "b", "c", "dé"))
    assert list(named.lines()) == [
        "Topics from epoch:final (num_topics:2) [wetc 0.38, tu 0.62]:",
        "[0.25, 0.75] dé b",
        "[0.50, 0.50] b c",
    ]
    named.save(tmp_path)
    assert (tmp_path / "topics.txt").read_text(encoding="utf-8").splitlines() == [
        "# topic wetc tu npmi words", "0 0.25 0.75 0.10 dé b", "1 0.50 0.50 0.20 b c",
    ]  # fmt: skip
    assert (tmp_path / "vocab.txt").read_text(encoding="utf-8") == "a\nb\nc\ndé\n"
    assert named.facts() == {
        "wetc": 0.375, "tu": 0.625, "npmi": pytest.approx(0.15), "topics": [["dé", "b"], ["b", "c"]],
    }  # fmt: skip

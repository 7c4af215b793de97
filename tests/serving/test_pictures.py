"""Pictures of a small model of every algorithm."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optml.algorithms import registry
from optml.formats.content_type import ContentType
from optml.formats.records import Records
from optml.serving.batching import Gate
from optml.serving.predictor import Predictor
from optml.serving.settings import Settings
from tests.serving import every

pytest.importorskip("matplotlib")

TABLES = [name for name in every.NAMES if registry.get(every.slug(name)).inference.decode is None]
LABELS = np.arange(len(every.ROWS), dtype=np.float64)[:, None] % 2


def batch(name: str) -> Any:
    """Three records, as a request brings them."""
    media = every.content_types(name)[0]
    predictor = Predictor(every.served(name), Gate(1), Settings())
    return predictor.decode(every.request(name, media), ContentType(media))


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG."""
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", head[16:])
    return width, height


@pytest.mark.parametrize("name", every.NAMES)
def test_every_algorithm_draws_a_request(name: str, tmp_path: Path) -> None:
    served = every.served(name)
    assert served.algorithm.inference.picture is not None
    said = served.algorithm.inference.picture(served.model, batch(name), tmp_path / "a.png")
    assert said
    assert min(size(tmp_path / "a.png")) >= 200


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_drawn_with_its_labels_too(name: str, tmp_path: Path) -> None:
    served = every.served(name)
    assert served.algorithm.inference.picture is not None
    said = served.algorithm.inference.picture(served.model, Records(every.ROWS, LABELS), tmp_path / "a.png")
    judged = name in ("knn", "linear-learner", "factorization-machines", "xgboost")
    assert ("accuracy" in said) == judged
    assert min(size(tmp_path / "a.png")) >= 200


def test_a_word_without_a_vector_has_no_neighbours(tmp_path: Path) -> None:
    from optml.algorithms.blazingtext.picture import draw
    from optml.algorithms.blazingtext.vectors import Lookup, WordVectors

    model = every.served("blazingtext words").model
    assert isinstance(model, WordVectors)
    assert draw(model, Lookup([b"nowhere"]), tmp_path / "a.png") == "the nearest words of 1"

"""Labels of any content: an index, or a sentence for whoever wrote them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.algorithms.vision.boxes import boxes
from optml.algorithms.vision.channel import read
from optml.algorithms.vision.documents import numbers
from optml.algorithms.vision.index import ImageIndex
from optml.algorithms.vision.labels import classes, multi_hot
from optml.algorithms.vision.masks import LabelMap
from optml.errors import UserError
from optml.formats.images.vectors import Vectors
from tests.algorithms.vision.pictures import jpeg
from tests.algorithms.vision.sources import channel, write

KEYS = st.sampled_from(
    [
        "image_size",
        "annotations",
        "class_id",
        "left",
        "top",
        "width",
        "height",
        "file",
        "scale",
        "map",
        "0",
        "x",
    ]
)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text()
)
VALUES = st.recursive(
    SCALARS | st.sampled_from(["3", "1e400", "[0, 2]", '"1"', "nan"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
NUMBER = st.integers(-5, 600) | st.floats(width=32)
ANNOTATION = st.fixed_dictionaries(dict.fromkeys(("class_id", "left", "top", "width", "height"), NUMBER))
DOCUMENT = st.fixed_dictionaries(
    {
        "image_size": st.lists(st.fixed_dictionaries({"width": NUMBER, "height": NUMBER}), max_size=1),
        "annotations": st.lists(ANNOTATION, max_size=3),
    }
)


def indexed(**labels: object) -> ImageIndex:
    return ImageIndex(["a.jpg"], [b""], **labels)  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None)
@given(VALUES | DOCUMENT)
def test_any_json_gives_labels_or_a_sentence(value: object) -> None:
    text = orjson.dumps(value)
    with suppress(UserError):
        labels = boxes(indexed(documents=[text]), 3)
        assert np.isfinite(labels.values).all()
        assert (labels.values[:, 1:5] >= 0).all()
        assert (labels.values[:, 1:5] <= 1).all()
    with suppress(UserError):
        vectors = numbers([text], ["a.jpg"])
        if vectors is not None:
            assert 0 <= classes(indexed(labels=vectors), 3)[0] < 3
    with suppress(UserError):
        assert LabelMap.of(text, "map.json").table.shape == (256,)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(width=32) | st.integers(-1, 9).map(float), max_size=14))
def test_any_numbers_give_labels_or_a_sentence(label: list[float]) -> None:
    index = indexed(labels=Vectors.of([label]))
    for ask in (boxes, classes, multi_hot):
        with suppress(UserError):
            ask(index, 3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["source-ref", "class", "class-metadata", "x-ref"]), VALUES) | VALUES
    )
)
def test_any_manifest_gives_an_index_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, lines: list[object]
) -> None:
    folder: Path = tmp_path_factory.mktemp("manifest")
    write(folder, {"train/a.jpg": jpeg(0), "train/a.manifest": b"\n".join(map(orjson.dumps, lines)) + b"\n"})
    with suppress(UserError):
        read(channel(folder))
